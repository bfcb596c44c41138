# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The client of Azure Blob Storage: where it goes, as whom, and that retries are ours."""

from __future__ import annotations

import os
import sys
import typing as t
import urllib.parse

from .._core.errors import ConfigError
from .._core.redaction import Secret
from .model import check_endpoint

if t.TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

    from .http_session import Answers
    from .model import AzureSettings

_SUFFIX = "core.windows.net"
# Put Blob and one GET take all that we ever store in one request.
_WHOLE_BYTES = 4000 * 1024 * 1024


def secrets_of(settings: AzureSettings) -> tuple[Secret | None, ...]:
    """Return what must not be seen in a text; a SAS token's signature in both its spellings."""
    found = [settings.account_key, settings.sas_token]
    if settings.sas_token:
        fields = urllib.parse.parse_qs(settings.sas_token.reveal().lstrip("?"))
        for signature in fields.get("sig", ()):
            found += [Secret(signature), Secret(urllib.parse.quote(signature, safe=""))]
    return tuple(found)


def endpoint_of(settings: AzureSettings) -> str:
    """Return the blob service's address: of the settings, of the environment (as the Azure CLI and
    restic read it), or Azure's public one.

    Raises ``ConfigError`` when that of the environment cannot be used.
    """
    account = settings.account_name
    suffix = os.environ.get("AZURE_ENDPOINT_SUFFIX") or _SUFFIX
    found = (
        settings.endpoint
        or os.environ.get("AZURE_STORAGE_SERVICE_ENDPOINT")
        or f"https://{account}.blob.{suffix}"
    )
    check_endpoint(found, store="Azure", path=account)
    return found.rstrip("/")


def connect(settings: AzureSettings, answers: Answers) -> ContainerClient:
    """Return a new client of the container, heard by ``answers``; asks nobody anything.

    It may be shared by threads but not across a fork. Raises ``ConfigError``.
    """
    try:
        import requests
        from azure.core.pipeline.transport import RequestsTransport
        from azure.storage.blob import ContainerClient
    except ImportError as exc:
        raise ConfigError(
            "Azure Blob Storage needs the Python library azure-storage-blob, which "
            f"{sys.executable} does not have ({exc}); install it there."
        ) from exc
    session = requests.Session()
    answers.attach(session, connections=settings.max_connections, ca_bundle=settings.ca_bundle)
    return ContainerClient(
        endpoint_of(settings),
        settings.container,
        credential=_credential(settings),
        transport=RequestsTransport(
            session=session,
            connection_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            connection_verify=settings.ca_bundle or True,
        ),
        retry_total=0,
        permit_redirects=False,
        max_single_put_size=_WHOLE_BYTES,
        max_single_get_size=_WHOLE_BYTES,
    )


def _credential(settings: AzureSettings) -> t.Any:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    if settings.account_key:
        return AzureNamedKeyCredential(settings.account_name, settings.account_key.reveal())
    token = t.cast("Secret", settings.sas_token)
    return AzureSasCredential(token.reveal().lstrip("?"))
