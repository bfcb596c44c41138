# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Where bytes are kept: the settings of each kind of storage, and what a listing returns.

Knows nothing of what the bytes mean. Combinations that cannot work are refused here, before
anything is touched.
"""

from __future__ import annotations

import dataclasses
import os.path
import typing as t
import urllib.parse

from .._core.errors import ConfigError

if t.TYPE_CHECKING:
    from .._core.redaction import Secret

Buffer: t.TypeAlias = "bytes | bytearray | memoryview"


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

    ``endpoint`` is ``http://`` or ``https://``, host and port, and nothing else. Time-outs are in
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
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    tries: int = 5

    def __post_init__(self) -> None:
        _check_bucket(self.bucket)
        _check_prefix(self.prefix)
        _check_credentials(self)
        if self.endpoint is not None:
            check_endpoint(self.endpoint)
        if self.ca_bundle is not None and not os.path.isfile(self.ca_bundle):
            raise ConfigError(
                f"The CA bundle {self.ca_bundle!r} is not a file; give a file of certificates."
            )
        if min(self.connect_timeout_s, self.read_timeout_s) <= 0 or self.tries < 1:
            raise ConfigError("S3 time-outs must be above 0 and there must be at least 1 try.")

    @property
    def root(self) -> str:
        """The prefix with one slash at its end, or nothing."""
        folder = self.prefix.strip("/")
        return f"{folder}/" if folder else ""


BackendSettings: t.TypeAlias = "LocalSettings | S3Settings"


def check_endpoint(endpoint: str) -> None:
    """Refuse what is not the plain address of a server.

    Raises ``ConfigError``; its text shows nothing of an address that holds a password.
    """
    try:
        parts = urllib.parse.urlsplit(endpoint)
        parts.port  # noqa: B018 - raises ValueError when it is not a number
    except ValueError as exc:
        raise ConfigError(f"The S3 endpoint cannot be read: {exc}; correct it.") from exc
    if "@" in endpoint:
        raise ConfigError(
            "The S3 endpoint holds a user or password; give them as access_key and secret_key."
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"The S3 endpoint {endpoint!r} is no address of a server; "
            "write it as https://host or https://host:port."
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(
            f"The S3 endpoint {endpoint!r} holds more than scheme, host and port; "
            "name the bucket and the prefix by their own options."
        )


def _check_bucket(bucket: str) -> None:
    if not bucket or not bucket.isascii() or not bucket.isprintable() or set(bucket) & set(" /\\:"):
        raise ConfigError(f"{bucket!r} cannot be the name of an S3 bucket; correct bucket.")


def _check_prefix(prefix: str) -> None:
    segments = prefix.strip("/").split("/") if prefix.strip("/") else []
    if any(part in {"", ".", ".."} for part in segments) or not prefix.isprintable():
        raise ConfigError(
            f"The S3 prefix {prefix!r} cannot be used; "
            "write it as folder/folder, without empty parts, '.' or '..'."
        )


def _check_credentials(settings: S3Settings) -> None:
    if bool(settings.access_key) != bool(settings.secret_key):
        raise ConfigError("access_key and secret_key belong together; one of them is missing.")
    if settings.session_token and not settings.access_key:
        raise ConfigError(
            "session_token needs the access_key and secret_key that came with it; give all three."
        )
    if settings.profile and settings.access_key:
        raise ConfigError("profile and access_key cannot be used together; give one of them.")
