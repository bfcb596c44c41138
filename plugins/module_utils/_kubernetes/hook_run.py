# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Does what a hook asks for: a command in a container, a request, a connection.

Each action has five minutes. Certificates of servers are not looked at unless that is asked for:
Stash never does, and its users' hooks talk to servers whose authority no pod knows.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import typing as t
import urllib.parse

from .._core.errors import HookFailed
from .hook_pod import address_of, port_of
from .hooks import ExecAction, HttpAction

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .hooks import Handler, TcpAction
    from .objects import Object

TIMEOUT_SECONDS = 300.0
_MOST_REDIRECTS = 10
_WORDS_BYTES = 300
_REDIRECTS = (301, 302, 303, 307, 308)

FindPod: t.TypeAlias = "Callable[[], Object]"
Execute: t.TypeAlias = "Callable[[Object, str | None, tuple[str, ...], float], None]"


class HookRunner:
    """Runs handlers.

    ``find_pod`` returns the pod that executes, and is asked only when an action needs it;
    ``execute`` runs a command in a container of it (the first one for None) within so many seconds.
    Both raise ``HookFailed`` or what the API server raises.
    """

    def __init__(
        self,
        *,
        find_pod: FindPod,
        execute: Execute,
        verify_tls: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._find_pod = find_pod
        self._execute = execute
        self._verify_tls = verify_tls
        self._timeout = timeout_seconds

    def run(self, handler: Handler) -> None:
        """Do all actions in their order. Raises ``HookFailed`` at the first that fails."""
        for action in handler.actions:
            if isinstance(action, ExecAction):
                self._execute(self._find_pod(), handler.container, action.command, self._timeout)
            elif isinstance(action, HttpAction):
                self._request(action, *self._address(action, handler.container))
            else:
                self._connect(*self._address(action, handler.container))

    def _address(self, action: HttpAction | TcpAction, container: str | None) -> tuple[str, int]:
        host, port = action.host, action.port
        if host is not None and isinstance(port, int):
            return host, port
        pod = self._find_pod()
        number = port if isinstance(port, int) else port_of(pod, port, container)
        return host or address_of(pod), number

    def _connect(self, host: str, port: int) -> None:
        try:
            with socket.create_connection((host, port), timeout=self._timeout):
                return
        except OSError as exc:
            raise HookFailed(
                f"The hook could not connect to {host}, port {port}: {exc}; check the address."
            ) from exc

    def _request(self, action: HttpAction, host: str, port: int) -> None:
        path = action.path if action.path.startswith("/") else f"/{action.path}"
        for dummy_try in range(_MOST_REDIRECTS + 1):
            status, words, location = self._send(action, host, port, path)
            onward = _same_host_path(location, action.scheme, host, port)
            if status not in _REDIRECTS or onward is None:
                break
            path = onward
        if not 200 <= status < 400:  # noqa: PLR2004 - what Stash takes for a success
            raise HookFailed(
                f"The hook's {action.method} to {host}, port {port}, was answered with status "
                f"{status}: {words or 'without a word'}; check what it sends and to whom."
            )

    def _send(
        self, action: HttpAction, host: str, port: int, path: str
    ) -> tuple[int, str, str | None]:
        body, headers = _body_and_headers(action)
        connection = self._open(action.scheme, host, port)
        try:
            connection.request(action.method, path, body=body, headers=headers)
            response = connection.getresponse()
            words = response.read(_WORDS_BYTES).decode("utf-8", "replace")
            return response.status, " ".join(words.split()), response.getheader("Location")
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise HookFailed(
                f"The hook's {action.method} to {host}, port {port}, failed: {exc}; check the "
                "address and the scheme."
            ) from exc
        finally:
            connection.close()

    def _open(self, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
        if scheme == "HTTP":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = ssl.create_default_context()
        if not self._verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)


def _body_and_headers(action: HttpAction) -> tuple[bytes | None, dict[str, str]]:
    """Return what is sent; a type of content that the user names stays as it is."""
    if action.method == "GET":
        return None, dict(action.headers)
    if action.form:
        pairs = [(key, value) for key, values in action.form for value in values]
        body, kind = urllib.parse.urlencode(pairs), "application/x-www-form-urlencoded"
    else:
        body = action.body or ""
        kind = "application/json" if _is_json(body) else "text/plain; charset=utf-8"
    headers = dict(action.headers)
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = kind
    return body.encode(), headers


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _same_host_path(location: str | None, scheme: str, host: str, port: int) -> str | None:
    """Return path and query of a redirect within the server; None for any other, which is not
    followed.
    """
    if location is None:
        return None
    parts = urllib.parse.urlsplit(
        urllib.parse.urljoin(f"{scheme.lower()}://{host}:{port}", location)
    )
    if (parts.scheme, parts.netloc) != (scheme.lower(), f"{host}:{port}"):
        return None
    return urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
