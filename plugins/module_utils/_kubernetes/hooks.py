# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Hooks as users write them: what is to be done before and after a backup or a restore, and when.

Nothing is done here. A handler may hold several actions; they are done in a fixed order (exec,
httpGet, httpPost, tcpSocket), each to its end.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import InvalidObject

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .objects import Object

Port: t.TypeAlias = "int | str"

ALWAYS = "Always"
ON_SUCCESS = "OnSuccess"
ON_FAILURE = "OnFailure"
ON_FINAL_RETRY_FAILURE = "OnFinalRetryFailure"
_POLICIES = (ALWAYS, ON_SUCCESS, ON_FAILURE, ON_FINAL_RETRY_FAILURE)
_TEMPLATE_MARK = "{{"
_SCHEMES = ("HTTP", "HTTPS")
_MOST_PORT = 65535


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExecAction:
    """A command for a container of the executor pod."""

    command: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HttpAction:
    """One request; ``host`` None is the executor pod, ``port`` may be the name of one of its ports.

    ``body`` is None for a GET; ``form`` takes its place where both are given.
    """

    method: t.Literal["GET", "POST"]
    port: Port
    host: str | None = None
    path: str = "/"
    scheme: str = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    form: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TcpAction:
    """A connection that is opened and closed."""

    port: Port
    host: str | None = None


Action: t.TypeAlias = "ExecAction | HttpAction | TcpAction"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """All actions of one hook, in their order; ``container`` is where commands run and where names
    of ports are looked up, None is the pod's first one.
    """

    actions: tuple[Action, ...]
    container: str | None
    policy: str

    def with_texts(self, change: Callable[[str], str]) -> Handler:
        """Return the handler with every text that may be a template changed: the words of commands
        and the bodies of requests, where they hold ``{{``.
        """

        def rendered(text: str) -> str:
            return change(text) if _TEMPLATE_MARK in text else text

        def of(action: Action) -> Action:
            if isinstance(action, ExecAction):
                return ExecAction(command=tuple(map(rendered, action.command)))
            if isinstance(action, HttpAction) and action.body is not None:
                return dataclasses.replace(action, body=rendered(action.body))
            return action

        return dataclasses.replace(self, actions=tuple(map(of, self.actions)))


def parse_handler(hook: Object) -> Handler:
    """Return the handler that a hook (``preBackup`` and so on) asks for.

    Raises ``InvalidObject`` for one that cannot be done.
    """
    policy = hook.get("executionPolicy") or ALWAYS
    if policy not in _POLICIES:
        raise InvalidObject(
            f"The hook's executionPolicy is {policy!r}; give one of {', '.join(_POLICIES)}."
        )
    actions: list[Action] = []
    if hook.get("exec") is not None:
        actions.append(_exec(hook["exec"]))
    if hook.get("httpGet") is not None:
        actions.append(_http("GET", hook["httpGet"]))
    if hook.get("httpPost") is not None:
        actions.append(_http("POST", hook["httpPost"]))
    if hook.get("tcpSocket") is not None:
        tcp = hook["tcpSocket"]
        actions.append(TcpAction(port=_port("tcpSocket", tcp), host=tcp.get("host") or None))
    if not actions:
        raise InvalidObject(
            "The hook asks for nothing; give it exec, httpGet, httpPost or tcpSocket."
        )
    return Handler(
        actions=tuple(actions), container=hook.get("containerName") or None, policy=policy
    )


def _exec(fields: Mapping[str, t.Any]) -> ExecAction:
    command = tuple(map(str, fields.get("command") or ()))
    if not command:
        raise InvalidObject("The hook's exec has no command; give it one, as a list of words.")
    return ExecAction(command=command)


def _http(method: t.Literal["GET", "POST"], fields: Mapping[str, t.Any]) -> HttpAction:
    name = f"http{method.capitalize()}"
    scheme = str(fields.get("scheme") or "HTTP").upper()
    if scheme not in _SCHEMES:
        raise InvalidObject(f"The hook's {name} has the scheme {scheme!r}; give HTTP or HTTPS.")
    posts = method == "POST"
    form = tuple(
        (str(one["key"]), tuple(map(str, one.get("values") or ())))
        for one in fields.get("form") or ()
    )
    return HttpAction(
        method=method,
        port=_port(name, fields),
        host=fields.get("host") or None,
        path=fields.get("path") or "/",
        scheme=scheme,
        headers=tuple(
            (str(one["name"]), str(one.get("value") or ""))
            for one in fields.get("httpHeaders") or ()
        ),
        body=str(fields.get("body") or "") if posts else None,
        form=form if posts else (),
    )


def _port(name: str, fields: Mapping[str, t.Any]) -> Port:
    """Return a number, also one that was written as a text, or the name of a port."""
    port = fields.get("port")
    if isinstance(port, str) and port.isascii() and port.isdecimal():
        port = int(port)
    if isinstance(port, int) and not isinstance(port, bool) and 0 < port <= _MOST_PORT:
        return port
    if isinstance(port, str) and port:
        return port
    raise InvalidObject(
        f"The hook's {name} has the port {port!r}; give a number from 1 to {_MOST_PORT}, or the "
        "name of a container's port."
    )


def reason_to_skip(policy: str, *, failed: bool, retry_left: int) -> str | None:
    """Return why a hook does not run after a session that ``failed`` or did not; None if it does.

    ``retry_left`` is how often the session will be tried again if it failed.
    """
    if policy == ON_SUCCESS and failed:
        return "the session has failed"
    if policy in {ON_FAILURE, ON_FINAL_RETRY_FAILURE} and not failed:
        return "the session has succeeded"
    if policy == ON_FINAL_RETRY_FAILURE and retry_left > 0:
        return "the session will be tried again"
    return None
