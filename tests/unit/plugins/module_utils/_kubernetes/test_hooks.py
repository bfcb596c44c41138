# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hooks: what is asked for, when it is done, and what is sent."""

from __future__ import annotations

import dataclasses
import http.server
import socket
import ssl
import sys
import threading
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    HookFailed,
    InvalidObject,
    ProgramMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hook_run import (
    HookRunner,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hook_template import (
    render,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hooks import (
    ExecAction,
    HttpAction,
    TcpAction,
    parse_handler,
    reason_to_skip,
)
from tests.testbed.certificates import Authority
from tests.testbed.ports import HOST, free_port

POD: dict[str, t.Any] = {
    "metadata": {"name": "pg-0", "namespace": "demo"},
    "spec": {
        "containers": [
            {"name": "postgres", "ports": [{"name": "db", "containerPort": 5432}]},
            {"name": "side", "ports": [{"name": "web", "containerPort": 8080}]},
        ]
    },
    "status": {"podIP": HOST},
}


def test_all_actions_in_their_order() -> None:
    handler = parse_handler(
        {
            "tcpSocket": {"port": "5432"},
            "httpPost": {"port": 80, "body": "x", "form": [{"key": "a", "values": ["1", "2"]}]},
            "httpGet": {"port": "web", "path": "/up", "scheme": "https", "host": "h"},
            "exec": {"command": ["/bin/sh", "-c", "true"]},
            "containerName": "side",
            "executionPolicy": "OnFailure",
        }
    )
    assert handler.actions == (
        ExecAction(command=("/bin/sh", "-c", "true")),
        HttpAction(method="GET", port="web", path="/up", scheme="HTTPS", host="h"),
        HttpAction(method="POST", port=80, body="x", form=(("a", ("1", "2")),)),
        TcpAction(port=5432),
    )
    assert (handler.container, handler.policy) == ("side", "OnFailure")


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ({}, "asks for nothing"),
        ({"containerName": "x"}, "asks for nothing"),
        ({"exec": {"command": []}, "httpGet": None}, "no command"),
        ({"httpGet": {"port": 0}}, "httpGet has the port 0"),
        ({"httpGet": {}}, "has the port None"),
        ({"tcpSocket": {"port": 70000}}, "from 1 to 65535"),
        ({"tcpSocket": {"port": True}}, "has the port True"),
        ({"httpPost": {"port": 1, "scheme": "gopher"}}, "scheme 'GOPHER'"),
        ({"tcpSocket": {"port": 1}, "executionPolicy": "Never"}, "'Never'; give one of Always"),
    ],
)
def test_what_cannot_be_done_is_said(hook: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidObject, match=words):
        parse_handler(hook)


@pytest.mark.parametrize(
    ("policy", "failed", "retry_left", "runs"),
    [
        ("Always", False, 0, True),
        ("Always", True, 3, True),
        ("OnSuccess", False, 0, True),
        ("OnSuccess", True, 0, False),
        ("OnFailure", True, 1, True),
        ("OnFailure", False, 0, False),
        ("OnFinalRetryFailure", True, 0, True),
        ("OnFinalRetryFailure", True, 1, False),
        ("OnFinalRetryFailure", False, 0, False),
    ],
)
def test_when_a_hook_runs(policy: str, failed: bool, retry_left: int, runs: bool) -> None:
    skipped = reason_to_skip(policy, failed=failed, retry_left=retry_left)
    assert (skipped is None) is runs


def test_templates_are_commands_and_bodies_that_look_so() -> None:
    handler = parse_handler(
        {
            "exec": {"command": ["echo", "{{ .Name }}", "{ }"]},
            "httpPost": {"port": 1, "path": "/{{ .Name }}", "body": "{{ .Status.Phase }}"},
            "tcpSocket": {"port": 1},
        }
    )
    asked: list[str] = []

    def change(text: str) -> str:
        asked.append(text)
        return "rendered"

    changed = handler.with_texts(change)
    assert asked == ["{{ .Name }}", "{{ .Status.Phase }}"]
    command, post, tcp = changed.actions
    assert command == ExecAction(command=("echo", "rendered", "{ }"))
    assert isinstance(post, HttpAction)
    assert (post.body, post.path) == ("rendered", "/{{ .Name }}")
    assert tcp == handler.actions[-1]


@dataclasses.dataclass
class Site:
    """A web server: what it was sent, and by path how it answers (status, headers)."""

    port: int = 0
    received: list[tuple[str, str, dict[str, str], str]] = dataclasses.field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str]]] = dataclasses.field(default_factory=dict)


def serve(site: Site, context: ssl.SSLContext | None = None) -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            site.received.append((self.command, self.path, headers, body))
            status, more = site.answers.get(self.path, (200, {}))
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"said by  the\nserver")

        do_GET = do_POST = _answer  # http.server's names

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 # its name there
            """Say nothing."""

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        site.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield site
        server.shutdown()


@pytest.fixture
def site() -> Iterator[Site]:
    yield from serve(Site())


@pytest.fixture
def tls_site(tmp_path: Path) -> Iterator[Site]:
    authority = Authority(tmp_path)
    certificate = authority.issue("site")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    yield from serve(Site(), context)


def nobody() -> dict[str, t.Any]:
    raise HookFailed("There is no pod.")


def run(
    hook: dict[str, t.Any],
    *,
    find_pod: Callable[[], dict[str, t.Any]] = nobody,
    verify_tls: bool = False,
) -> list[tuple[str | None, tuple[str, ...]]]:
    executed: list[tuple[str | None, tuple[str, ...]]] = []
    HookRunner(
        find_pod=find_pod,
        execute=lambda pod, container, command, timeout: executed.append((container, command)),
        verify_tls=verify_tls,
        timeout_seconds=5,
    ).run(parse_handler(hook))
    return executed


def test_a_request_to_a_named_host_needs_no_pod(site: Site) -> None:
    run(
        {
            "httpGet": {
                "host": HOST,
                "port": site.port,
                "path": "up?x=1",
                "httpHeaders": [{"name": "X-Who", "value": "me"}],
            }
        }
    )
    ((method, path, headers, body),) = site.received
    assert (method, path, headers["x-who"], body) == ("GET", "/up?x=1", "me", "")


@pytest.mark.parametrize(
    ("post", "kind", "sent"),
    [
        ({"body": '{"text": "done"}'}, "application/json", '{"text": "done"}'),
        ({"body": "done"}, "text/plain; charset=utf-8", "done"),
        (
            {"body": "x", "form": [{"key": "a", "values": ["1 2", "3"]}, {"key": "b"}]},
            "application/x-www-form-urlencoded",
            "a=1+2&a=3",
        ),
        (
            {"body": "{}", "httpHeaders": [{"name": "content-type", "value": "text/x"}]},
            "text/x",
            "{}",
        ),
    ],
)
def test_a_post(site: Site, post: dict[str, t.Any], kind: str, sent: str) -> None:
    run({"httpPost": {"host": HOST, "port": site.port, **post}})
    ((method, dummy, headers, body),) = site.received
    assert (method, headers["content-type"], body) == ("POST", kind, sent)


@pytest.mark.parametrize("status", [400, 404, 503])
def test_a_bad_answer_fails_with_its_words(site: Site, status: int) -> None:
    site.answers["/"] = (status, {})
    with pytest.raises(HookFailed, match=f"status {status}: said by the server"):
        run({"httpGet": {"host": HOST, "port": site.port}})


@pytest.mark.parametrize("status", [200, 204, 304, 399])
def test_a_good_answer(site: Site, status: int) -> None:
    site.answers["/"] = (status, {})
    run({"httpGet": {"host": HOST, "port": site.port}})


def test_a_redirect_within_the_server_is_followed(site: Site) -> None:
    site.answers["/a"] = (302, {"Location": "/b?c=d"})
    site.answers["/b?c=d"] = (500, {})
    with pytest.raises(HookFailed, match="status 500"):
        run({"httpGet": {"host": HOST, "port": site.port, "path": "/a"}})
    assert [path for dummy, path, dummy2, dummy3 in site.received] == ["/a", "/b?c=d"]


def test_a_redirect_to_another_server_is_not_followed(site: Site) -> None:
    site.answers["/"] = (301, {"Location": f"http://{HOST}:{free_port()}/"})
    run({"httpGet": {"host": HOST, "port": site.port}})
    assert len(site.received) == 1


def test_redirects_without_end_are_left(site: Site) -> None:
    site.answers["/"] = (302, {"Location": "/"})
    run({"httpGet": {"host": HOST, "port": site.port}})
    assert len(site.received) == 11


def test_certificates_are_looked_at_only_where_that_is_wanted(tls_site: Site) -> None:
    hook = {"httpGet": {"host": HOST, "port": tls_site.port, "scheme": "HTTPS"}}
    run(hook)
    assert len(tls_site.received) == 1
    with pytest.raises(HookFailed, match="CERTIFICATE_VERIFY_FAILED"):
        run(hook, verify_tls=True)


def test_a_server_that_is_not_there() -> None:
    port = free_port()
    with pytest.raises(HookFailed, match="refused"):
        run({"httpGet": {"host": HOST, "port": port}})
    with pytest.raises(HookFailed, match=f"could not connect to {HOST}, port {port}"):
        run({"tcpSocket": {"host": HOST, "port": port}})


def test_a_connection() -> None:
    with socket.create_server((HOST, 0)) as server:
        run({"tcpSocket": {"host": HOST, "port": server.getsockname()[1]}})


def test_without_a_host_it_is_the_pod_and_its_ports_have_names(site: Site) -> None:
    pod = {
        **POD,
        "spec": {
            "containers": [
                {"name": "other", "ports": [{"name": "web", "containerPort": 1}]},
                {"name": "side", "ports": [{"name": "web", "containerPort": site.port}]},
            ]
        },
    }
    run({"httpGet": {"port": "web"}, "containerName": "side"}, find_pod=lambda: pod)
    assert len(site.received) == 1
    with pytest.raises(HookFailed, match="has no port called 'nope'"):
        run({"httpGet": {"port": "nope"}}, find_pod=lambda: pod)
    with pytest.raises(HookFailed, match="has no address yet"):
        run({"tcpSocket": {"port": 1}}, find_pod=lambda: {**pod, "status": {}})
    with pytest.raises(HookFailed, match="There is no pod"):
        run({"tcpSocket": {"port": 1}})


def test_a_command_goes_to_the_named_container_and_ends_the_hook_where_it_fails() -> None:
    hook = {"exec": {"command": ["a", "b"]}, "containerName": "side"}
    assert run(hook, find_pod=lambda: POD) == [("side", ("a", "b"))]
    with socket.create_server((HOST, 0)) as server:
        both = {**hook, "tcpSocket": {"host": HOST, "port": server.getsockname()[1]}}
        with pytest.raises(HookFailed, match="no pod"):
            run(both)
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


TEMPLATE_PROGRAM = """#!{python}
import json, os, sys
request = json.load(sys.stdin)
if "fail" in request["template"]:
    sys.exit("template: :1: unclosed action")
print(request["data"]["Name"], sorted(os.environ), end="")
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "hook-template"
    path.write_text(TEMPLATE_PROGRAM.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


def test_a_template_is_rendered_by_the_program_without_our_environment(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTIC_PASSWORD", "secret")
    assert render("{{ .Name }}", {"Name": "s-1"}, program=program).startswith("s-1 ")
    assert "RESTIC_PASSWORD" not in render("{{ .Name }}", {"Name": "s-1"}, program=program)


def test_a_template_that_is_wrong_is_said_in_the_programs_words(program: str) -> None:
    with pytest.raises(HookFailed, match="cannot be rendered: template: :1: unclosed action"):
        render("{{ fail", {}, program=program)


def test_a_template_without_the_program() -> None:
    with pytest.raises(ProgramMissing):
        render("{{ .Name }}", {}, program="/nowhere/hook-template")
