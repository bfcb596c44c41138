# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Where bytes are kept: the settings of each kind of storage, and what a listing returns.

Knows nothing of what the bytes mean. Combinations that cannot work are refused here, before
anything is touched.
"""

from __future__ import annotations

import base64
import dataclasses
import os.path
import re
import typing as t
import urllib.parse

from .._core.errors import ConfigError

if t.TYPE_CHECKING:
    from .._core.redaction import Secret

Buffer: t.TypeAlias = "bytes | bytearray | memoryview"

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}\Z")
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}\Z")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stored object: its whole name and its size in bytes."""

    name: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What a write that has not ended, or never will, has left: name, size in bytes, age in
    seconds.
    """

    name: str
    size: int
    age_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """A folder of this host, by its absolute path."""

    path: str

    def __post_init__(self) -> None:
        if not os.path.isabs(self.path) or "\0" in self.path:
            raise ConfigError(
                f"The repository's folder {self.path!r} is not an absolute path; give it from /."
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """A bucket, and a folder-like prefix in it; what is None is left to boto3's own defaults.

    ``endpoint`` is ``http://`` or ``https://``, host and port, and nothing else. Without
    ``verify_tls`` any certificate will do, as with restic's --insecure-tls. Time-outs are in
    seconds, for one connection and for one silence; ``tries`` counts all attempts of one request,
    the first included.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    ca_bundle: str | None = None
    verify_tls: bool = True
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    tries: int = 5

    def __post_init__(self) -> None:
        _check_bucket(self.bucket, "an S3 bucket")
        _check_prefix(self.prefix)
        _check_credentials(self)
        if self.endpoint is not None:
            check_endpoint(self.endpoint)
        _check_connection(self)

    @property
    def root(self) -> str:
        """The prefix with one slash at its end, or nothing."""
        return _root(self.prefix)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GcsSettings:
    """A bucket of Google Cloud Storage, and a folder-like prefix in it.

    ``credentials`` is the JSON of a service account's key, or of another kind of credentials that
    Google's tools write; ``credentials_file`` names a file with it. With neither, Google's
    application default credentials are used (workload identity, the variable
    GOOGLE_APPLICATION_CREDENTIALS). ``project`` is needed where a bucket is made. An ``endpoint``
    on ``http://`` is an emulator's: it is never told who we are. ``max_connections`` holds for one
    process; time-outs and ``tries`` are as for S3.
    """

    bucket: str
    prefix: str = ""
    project: str | None = None
    credentials: Secret | None = None
    credentials_file: str | None = None
    endpoint: str | None = None
    ca_bundle: str | None = None
    max_connections: int = 5
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    tries: int = 5

    def __post_init__(self) -> None:
        _check_bucket(self.bucket, "a Google Cloud Storage bucket")
        _check_prefix(self.prefix)
        if self.credentials and self.credentials_file:
            raise ConfigError(
                "Google credentials were given both as a text and as a file; give one of them."
            )
        if self.credentials_file is not None and not os.path.isfile(self.credentials_file):
            raise ConfigError(
                f"The Google credentials {self.credentials_file!r} are not a file; "
                "give a file with the JSON of a service account's key."
            )
        if self.endpoint is not None:
            check_endpoint(self.endpoint, store="Google Cloud Storage")
        _check_connection(self)

    @property
    def root(self) -> str:
        """The prefix with one slash at its end, or nothing."""
        return _root(self.prefix)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    """A container of Azure Blob Storage, and a folder-like prefix in it.

    Either ``account_key`` (base64, as Azure shows it) or ``sas_token`` is given. ``endpoint`` is
    the blob service's own, without it Azure's public one; emulators have the account's name as its
    path. ``max_connections`` holds for one process; time-outs and ``tries`` are as for S3.
    """

    container: str
    prefix: str = ""
    account_name: str
    account_key: Secret | None = None
    sas_token: Secret | None = None
    endpoint: str | None = None
    ca_bundle: str | None = None
    max_connections: int = 5
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    tries: int = 5

    def __post_init__(self) -> None:
        if not _CONTAINER.match(self.container):
            raise ConfigError(
                f"{self.container!r} cannot be the name of an Azure container; "
                "it has 3 to 63 lower-case letters, digits and single hyphens."
            )
        if not _ACCOUNT.match(self.account_name):
            raise ConfigError(
                f"{self.account_name!r} cannot be the name of an Azure storage account; "
                "it has 3 to 24 lower-case letters and digits."
            )
        _check_prefix(self.prefix)
        _check_azure_credentials(self)
        if self.endpoint is not None:
            check_endpoint(self.endpoint, store="Azure", path=self.account_name)
        _check_connection(self)

    @property
    def root(self) -> str:
        """The prefix with one slash at its end, or nothing."""
        return _root(self.prefix)


BackendSettings: t.TypeAlias = "LocalSettings | S3Settings | GcsSettings | AzureSettings"


def check_endpoint(endpoint: str, *, store: str = "S3", path: str = "") -> None:
    """Refuse what is not the plain address of a server of ``store``; ``path`` may follow it.

    Raises ``ConfigError``; its text shows nothing of an address that holds a password.
    """
    try:
        parts = urllib.parse.urlsplit(endpoint)
        parts.port  # noqa: B018 - raises ValueError when it is not a number
    except ValueError as exc:
        raise ConfigError(f"The {store} endpoint cannot be read: {exc}; correct it.") from exc
    if "@" in endpoint:
        raise ConfigError(
            f"The {store} endpoint holds a user or password; give credentials by their own options."
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"The {store} endpoint {_shown(endpoint)} is no address of a server; "
            "write it as https://host or https://host:port."
        )
    if parts.path.strip("/") not in {"", path} or parts.query or parts.fragment:
        raise ConfigError(
            f"The {store} endpoint {_shown(endpoint)} holds more than scheme, host and port; "
            "name everything else by its own option."
        )


def _shown(endpoint: str) -> str:
    """Return it without its query: an Azure URL has its signature there."""
    return repr(endpoint.partition("?")[0])


def _root(prefix: str) -> str:
    folder = prefix.strip("/")
    return f"{folder}/" if folder else ""


def _check_bucket(bucket: str, what: str) -> None:
    if not bucket or not bucket.isascii() or not bucket.isprintable() or set(bucket) & set(" /\\:"):
        raise ConfigError(f"{bucket!r} cannot be the name of {what}; correct bucket.")


def _check_prefix(prefix: str) -> None:
    segments = prefix.strip("/").split("/") if prefix.strip("/") else []
    if any(part in {"", ".", ".."} for part in segments) or not prefix.isprintable():
        raise ConfigError(
            f"The prefix {prefix!r} cannot be used; "
            "write it as folder/folder, without empty parts, '.' or '..'."
        )


def _check_connection(settings: S3Settings | GcsSettings | AzureSettings) -> None:
    bundle = settings.ca_bundle
    if bundle is not None and not os.path.isfile(bundle):
        raise ConfigError(f"The CA bundle {bundle!r} is not a file; give a file of certificates.")
    if min(settings.connect_timeout_s, settings.read_timeout_s) <= 0 or settings.tries < 1:
        raise ConfigError("Storage time-outs must be above 0 and there must be at least 1 try.")
    if not isinstance(settings, S3Settings) and settings.max_connections < 1:
        raise ConfigError("max_connections must be at least 1.")


def _check_credentials(settings: S3Settings) -> None:
    if bool(settings.access_key) != bool(settings.secret_key):
        raise ConfigError("access_key and secret_key belong together; one of them is missing.")
    if settings.session_token and not settings.access_key:
        raise ConfigError(
            "session_token needs the access_key and secret_key that came with it; give all three."
        )
    if settings.profile and settings.access_key:
        raise ConfigError("profile and access_key cannot be used together; give one of them.")


def _check_azure_credentials(settings: AzureSettings) -> None:
    if bool(settings.account_key) == bool(settings.sas_token):
        raise ConfigError(
            "An Azure storage account needs its key or a SAS token; give exactly one of them."
        )
    if settings.account_key:
        try:
            # Here, because the library's own error shows the key.
            base64.b64decode(settings.account_key.reveal(), validate=True)
        except ValueError as exc:
            raise ConfigError(
                "The Azure account key is not base64; copy it again as Azure shows it."
            ) from exc
