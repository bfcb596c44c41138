# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""From a module's parameters to the values that the engine takes."""

from __future__ import annotations

import typing as t

from .._core.errors import ConfigError
from .._core.redaction import Secret
from .._postgres.model import ConnectionSettings
from .._storage.model import AzureSettings, GcsSettings, LocalSettings, S3Settings
from .._workflows.check_result import CheckRequest
from .._workflows.keys import KeyRequest
from .._workflows.requests import RepositoryAccess

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from .._storage.model import BackendSettings

Params = t.Mapping[str, t.Any]


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value else None


def storage_settings(params: Params) -> BackendSettings:
    """Return the place of the repository from ``backend`` and the credentials beside it."""
    backend: Mapping[str, t.Any] = params["backend"]
    if backend["local"] is not None:
        return LocalSettings(path=backend["local"]["path"])
    if backend["gcs"] is not None:
        return GcsSettings(
            **backend["gcs"],
            credentials=_secret(params["service_account_contents"]),
            credentials_file=params["service_account_file"],
            ca_bundle=params["ca_bundle"],
        )
    if backend["azure"] is not None:
        return _azure_settings(backend["azure"], params)
    return S3Settings(
        **backend["s3"],
        access_key=_secret(params["access_key"]),
        secret_key=_secret(params["secret_key"]),
        session_token=_secret(params["session_token"]),
        profile=params["profile"],
        ca_bundle=params["ca_bundle"],
    )


def _azure_settings(place: Mapping[str, t.Any], params: Params) -> AzureSettings:
    if not params["storage_account_name"]:
        raise ConfigError(
            "A container is of a storage account; give its name as storage_account_name."
        )
    key = _secret(params["storage_account_key"])
    return AzureSettings(
        **place,
        account_name=params["storage_account_name"],
        account_key=key,
        # The environment may hold both, as the Azure CLI allows; the key opens everything.
        sas_token=None if key else _secret(params["storage_sas_token"]),
        ca_bundle=params["ca_bundle"],
    )


def check_request(params: Params) -> CheckRequest:
    """Return how a repository is to be checked."""
    return CheckRequest(
        repository=repository_access(params),
        read_data=params["read_data"],
        read_data_subset=params["read_data_subset"],
        repair=params["repair"],
    )


def key_request(params: Params) -> KeyRequest:
    """Return what is wanted of the repository's keys; an empty password stays one, and is refused
    later.
    """
    password = params["key_password"]
    return KeyRequest(
        repository=repository_access(params),
        state=params["state"],
        key_password=None if password is None else Secret(password),
        key_id=params["key_id"],
        replace=params["replace"],
    )


def repository_access(params: Params) -> RepositoryAccess:
    """Return the place of the repository with what opens it."""
    return RepositoryAccess(
        settings=storage_settings(params),
        passwords=(Secret(params["password"]),),
        lock_wait_seconds=params["repository_lock_wait"],
    )


def connection_settings(params: Params) -> ConnectionSettings:
    """Return how to reach the server; what is not given is left to libpq."""
    return ConnectionSettings(
        host=params["login_host"],
        port=params["login_port"],
        user=params["login_user"],
        password=_secret(params["login_password"]),
        unix_socket=params["login_unix_socket"],
        dbname=params["login_db"],
        ssl_mode=params["ssl_mode"],
        ca_cert=params["ca_cert"],
        ssl_cert=params["ssl_cert"],
        ssl_key=params["ssl_key"],
    )


def storage_libraries(params: Params) -> tuple[str, ...]:
    """Name the libraries that the repository of ``params`` needs."""
    libraries = {"s3": "boto3", "gcs": "google-cloud-storage", "azure": "azure-storage-blob"}
    needed = (name for kind, name in libraries.items() if params["backend"][kind] is not None)
    return ("cryptography", "zstandard", *needed)
