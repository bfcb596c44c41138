# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How the PostgreSQL server of an AppBinding is reached: address, credentials, TLS.

The rules are those of Stash's PostgreSQL add-on. Certificates are written into files that only we
can read, as libpq wants them.
"""

from __future__ import annotations

import base64
import dataclasses
import typing as t
import urllib.parse

from .._core.errors import InvalidObject
from .._core.redaction import Secret
from .objects import described_object, namespace_of, spec_of
from .private_file import write_private
from .references import TaskRef
from .secret_transforms import transformed

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .objects import Object

    SecretReader: t.TypeAlias = Callable[[str], Mapping[str, bytes]]
    """Returns the decoded data of the Secret of that name in the AppBinding's namespace."""

DEFAULT_PORT = 5432
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the server listens; ``ssl_mode`` None leaves it to libpq."""

    host: str
    port: int
    ssl_mode: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppConnection:
    """How to log in to the server of an AppBinding; certificates are paths of files."""

    host: str
    port: int
    ssl_mode: str | None
    user: str
    password: Secret | None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    database: str = "postgres"

    @classmethod
    def parse(
        cls,
        binding: Object,
        read_secret: SecretReader,
        *,
        user_param: str | None = None,
        scratch: Path,
    ) -> AppConnection:
        """Read an AppBinding and what it refers to; writes certificates into ``scratch``.

        ``user_param``, the Task's parameter ``user``, counts only together with a client
        certificate. Raises ``InvalidObject``, and what ``read_secret`` raises.
        """
        what, spec = described_object(binding), spec_of(binding)
        address = address_of(binding)
        ca_cert = _ca_cert(spec, what, scratch)
        if (address.ssl_mode or "").startswith("verify-") and ca_cert is None:
            raise InvalidObject(
                f"{what} has sslmode {address.ssl_mode} and nothing to verify with; "
                "give spec.clientConfig.caBundle."
            )
        cert, key = _client_certificate(spec, what, read_secret, scratch)
        user, password = _credentials(spec, what, read_secret)
        user = user_param if cert and user_param else user
        if not user:
            raise InvalidObject(
                f"{what} gives no user; its Secret needs the keys username and password."
            )
        return cls(
            host=address.host,
            port=address.port,
            ssl_mode=address.ssl_mode,
            user=user,
            password=password,
            ca_cert=ca_cert,
            client_cert=cert,
            client_key=key,
        )


def address_of(binding: Object) -> Address:
    """Return where an AppBinding's server listens. Raises ``InvalidObject``."""
    what = described_object(binding)
    config = spec_of(binding).get("clientConfig") or {}
    service, url = config.get("service"), config.get("url")
    if service:
        if not service.get("name"):
            raise InvalidObject(f"{what} names no service; give spec.clientConfig.service.name.")
        namespace = service.get("namespace") or namespace_of(binding)
        modes = urllib.parse.parse_qs(service.get("query") or "", keep_blank_values=True)
        if set(modes) - {"sslmode"} or len(modes.get("sslmode", [])) > 1:
            raise InvalidObject(
                f"{what} has {service['query']!r} in spec.clientConfig.service.query; "
                "only one sslmode=... can stand there."
            )
        host, port = f"{service['name']}.{namespace}.svc", service.get("port") or DEFAULT_PORT
    elif url:
        host, port, modes = _parts_of_url(url, what)
    else:
        raise InvalidObject(
            f"{what} has no address; give spec.clientConfig.service or spec.clientConfig.url."
        )
    return Address(host=host, port=int(port), ssl_mode=_ssl_mode(modes, what))


def task_of(binding: Object, *, backup: bool) -> TaskRef:
    """Return the Task that the AppBinding names for those who name none, perhaps an empty one."""
    parameters = spec_of(binding).get("parameters") or {}
    addon = (parameters.get("stash") or {}).get("addon") or {}
    return TaskRef.parse(addon.get("backupTask" if backup else "restoreTask"))


def app_type(binding: Object | None) -> tuple[str, str]:
    """Return group and resource of the application, as variables and metrics call them.

    Those of AppBindings themselves where ``spec.type`` is empty.
    """
    text = spec_of(binding or {}).get("type") or ""
    if not text:
        return "appcatalog.appscode.com", "appbindings"
    group, dummy, resource = text.rpartition("/")
    return group, resource


def _parts_of_url(url: str, what: str) -> tuple[str, int, dict[str, list[str]]]:
    # The URL is never shown: it may hold a password.
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise InvalidObject(f"{what} has a URL that cannot be read; correct it.") from exc
    if not host or port is None:
        raise InvalidObject(
            f"{what} has a URL without host or port; write it as scheme://host:port."
        )
    return host, port, urllib.parse.parse_qs(parts.query, keep_blank_values=True)


def _ssl_mode(query: Mapping[str, list[str]], what: str) -> str | None:
    mode = query.get("sslmode", [None])[-1]
    if mode is not None and mode not in _SSL_MODES:
        raise InvalidObject(f"{what} has sslmode {mode!r}; use one of {', '.join(_SSL_MODES)}.")
    return mode


def _ca_cert(spec: Object, what: str, scratch: Path) -> str | None:
    bundle = (spec.get("clientConfig") or {}).get("caBundle")
    if not bundle:
        return None
    try:
        pem = base64.b64decode("".join(bundle.split()), validate=True)
    except ValueError as exc:
        raise InvalidObject(
            f"{what} has a caBundle that is not base64; encode the PEM file."
        ) from exc
    return write_private(scratch / "postgres-ca.crt", pem)


def _client_certificate(
    spec: Object, what: str, read_secret: SecretReader, scratch: Path
) -> tuple[str | None, str | None]:
    name = (spec.get("tlsSecret") or {}).get("name")
    if not name:
        return None, None
    secret = read_secret(name)
    missing = [key for key in ("tls.crt", "tls.key") if not secret.get(key)]
    if missing:
        raise InvalidObject(
            f"Secret {name}, the tlsSecret of {what}, holds no {' and no '.join(missing)}; add it."
        )
    return (
        write_private(scratch / "postgres-client.crt", secret["tls.crt"]),
        write_private(scratch / "postgres-client.key", secret["tls.key"]),
    )


def _credentials(
    spec: Object, what: str, read_secret: SecretReader
) -> tuple[str | None, Secret | None]:
    """Return user and password by the keys of today, or the deprecated ones."""
    name = (spec.get("secret") or {}).get("name")
    found = dict(read_secret(name)) if name else {}
    found = transformed(found, spec.get("secretTransforms") or [], read_secret, what)
    user = _text(found, "username", "POSTGRES_USER", what)
    password = _text(found, "password", "POSTGRES_PASSWORD", what)
    return user, Secret(password) if password else None


def _text(found: Mapping[str, bytes], key: str, deprecated: str, what: str) -> str | None:
    value = found.get(key) or found.get(deprecated)
    try:
        return value.decode() if value else None
    except UnicodeDecodeError as exc:
        raise InvalidObject(f"{what} has a Secret whose {key} is not text; correct it.") from exc
