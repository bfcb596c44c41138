# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""From a Repository and its Secret to the settings of the storage layer and the password."""

from __future__ import annotations

import re
import typing as t

from .._core.errors import ConfigError, InvalidObject
from .._core.redaction import Secret
from .._storage.model import AzureSettings, GcsSettings, LocalSettings, S3Settings
from .private_file import write_private

if t.TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .._storage.model import BackendSettings
    from .repository_spec import RepositorySpec

PASSWORD_KEY = "RESTIC_PASSWORD"
_CA_KEY = "CA_CERT_DATA"
_CONNECTIONS = 5  # what restic takes where nothing is said
_AWS = re.compile(
    r"s3(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-\d+))?\.amazonaws\.com(?:\.cn)?\Z", re.IGNORECASE
)


def password(spec: RepositorySpec, secret: Mapping[str, bytes]) -> Secret:
    """Return the repository's password. Raises ``InvalidObject`` where the Secret has none.

    It is taken as it stands, a line end too: restic takes it so from its environment.
    """
    _needed(spec, secret, PASSWORD_KEY)
    return Secret(secret[PASSWORD_KEY].decode())


def storage_settings(
    spec: RepositorySpec, secret: Mapping[str, bytes], *, scratch: Path
) -> BackendSettings:
    """Return how the storage layer reaches the repository.

    ``secret`` is the decoded data of the Secret that the Repository names; a certificate in it is
    written into the folder ``scratch``. Raises ``NotSupported``, ``InvalidObject``.
    """
    spec.check_supported()
    bundle = _ca_bundle(secret, scratch)
    try:
        match spec.provider:
            case "local":
                return LocalSettings(path=spec.bucket)
            case "s3":
                return _s3(spec, secret, bundle)
            case "gcs":
                return _gcs(spec, secret, bundle)
            case _:
                return _azure(spec, secret, bundle)
    except ConfigError as exc:
        raise InvalidObject(
            f"Repository {spec.namespace}/{spec.name} cannot be used: {exc.message}"
        ) from exc


def _s3(spec: RepositorySpec, secret: Mapping[str, bytes], bundle: str | None) -> S3Settings:
    # restic takes an endpoint without a scheme for https, and the bucket may go on as a path.
    endpoint = spec.endpoint or ""
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    endpoint = endpoint.rstrip("/")
    aws = _AWS.match(endpoint.partition("://")[2])
    bucket, dummy, prefix = _folder(f"{spec.bucket}/{spec.prefix}").partition("/")
    return S3Settings(
        bucket=bucket,
        prefix=prefix,
        endpoint=None if aws else endpoint,
        region=spec.region or (aws["region"] if aws else None),
        access_key=_optional(secret, "AWS_ACCESS_KEY_ID"),
        secret_key=_optional(secret, "AWS_SECRET_ACCESS_KEY"),
        session_token=_optional(secret, "AWS_SESSION_TOKEN"),
        ca_bundle=bundle,
        verify_tls=not spec.insecure_tls,
    )


def _gcs(spec: RepositorySpec, secret: Mapping[str, bytes], bundle: str | None) -> GcsSettings:
    project = _optional(secret, "GOOGLE_PROJECT_ID")
    return GcsSettings(
        bucket=spec.bucket,
        prefix=_folder(spec.prefix),
        project=project.reveal() if project else None,
        credentials=_optional(secret, "GOOGLE_SERVICE_ACCOUNT_JSON_KEY"),
        ca_bundle=bundle,
        max_connections=_connections(spec),
    )


def _azure(spec: RepositorySpec, secret: Mapping[str, bytes], bundle: str | None) -> AzureSettings:
    return AzureSettings(
        container=spec.bucket,
        prefix=_folder(spec.prefix),
        account_name=_needed(spec, secret, "AZURE_ACCOUNT_NAME"),
        account_key=Secret(_needed(spec, secret, "AZURE_ACCOUNT_KEY")),
        ca_bundle=bundle,
        max_connections=_connections(spec),
    )


def _folder(path: str) -> str:
    """Return a path without the slashes and dots that mean nothing; restic drops them too."""
    return "/".join(part for part in path.split("/") if part not in {"", "."})


def _connections(spec: RepositorySpec) -> int:
    return spec.max_connections if spec.max_connections > 0 else _CONNECTIONS


def _needed(spec: RepositorySpec, secret: Mapping[str, bytes], key: str) -> str:
    value = _optional(secret, key)
    if value is None:
        raise InvalidObject(
            f"Secret {spec.namespace}/{spec.secret_name}, which Repository {spec.name} names, "
            f"holds no {key}; add it."
        )
    return value.reveal()


def _optional(secret: Mapping[str, bytes], key: str) -> Secret | None:
    """Return a value without the line end that ``echo`` and editors leave at its end."""
    try:
        text = secret.get(key, b"").decode().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise InvalidObject(f"The Secret's {key} is not text; write it again.") from exc
    return Secret(text) if text else None


def _ca_bundle(secret: Mapping[str, bytes], scratch: Path) -> str | None:
    data = secret.get(_CA_KEY)
    return write_private(scratch / "storage-ca.crt", data) if data else None
