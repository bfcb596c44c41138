# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.app_binding import (
    AppConnection,
    address_of,
    app_type,
    task_of,
)

Fields = dict[str, t.Any]
SECRETS: dict[str, dict[str, bytes]] = {
    "auth": {"username": b"postgres", "password": b"p:w@d"},
    "old": {"POSTGRES_USER": b"admin", "POSTGRES_PASSWORD": b"x"},
    "tls": {"tls.crt": b"CERT", "tls.key": b"KEY"},
    "half": {"tls.crt": b"CERT"},
    "more": {"username": b"extra"},
    "binary": {"username": b"\xff"},
    "none": {},
}


def binding(service: Fields | None = None, config: Fields | None = None, **spec: t.Any) -> Fields:
    found = {"service": {"scheme": "postgresql", "name": "pg", "port": 5433, **(service or {})}}
    return {
        "kind": "AppBinding",
        "metadata": {"name": "pg", "namespace": "demo"},
        "spec": {"clientConfig": config or found, "secret": {"name": "auth"}, **spec},
    }


def connect(tmp_path: Path, obj: Fields, user: str | None = None) -> AppConnection:
    return AppConnection.parse(obj, SECRETS.__getitem__, user_param=user, scratch=tmp_path)


def test_a_service_and_a_secret_are_enough(tmp_path: Path) -> None:
    found = connect(tmp_path, binding())
    assert (found.host, found.port, found.ssl_mode) == ("pg.demo.svc", 5433, None)
    assert (found.user, found.password) == ("postgres", Secret("p:w@d"))
    assert (found.ca_cert, found.client_cert, found.client_key) == (None, None, None)
    assert "p:w@d" not in repr(found)
    assert list(tmp_path.iterdir()) == []


def test_the_service_may_live_elsewhere_and_have_no_port() -> None:
    found = address_of(binding({"namespace": "apps", "port": 0, "query": "sslmode=require"}))
    assert (found.host, found.port, found.ssl_mode) == ("pg.apps.svc", 5432, "require")


def test_a_url_gives_host_port_and_ssl_mode() -> None:
    url = "postgresql://u:secret@db.example:6543/app?sslmode=disable&connect_timeout=3"
    found = address_of(binding(config={"url": url}))
    assert (found.host, found.port, found.ssl_mode) == ("db.example", 6543, "disable")


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (binding({"query": "sslmode=strict"}), "has sslmode 'strict'; use one of disable, allow"),
        (binding({"query": "sslmode="}), "has sslmode ''"),
        (binding({"query": "sslmode=require&x=1"}), "only one sslmode=... can stand there"),
        (binding({"query": "sslmode=require&sslmode=allow"}), "only one sslmode"),
        (binding({"name": ""}), "names no service"),
        (binding(config={"caBundle": ""}), "has no address"),
        (binding(config={"url": "postgresql://u:secret@db.example/app"}), "without host or port"),
        (binding(config={"url": "postgresql://u:secret@db:many"}), "cannot be read"),
    ],
)
def test_an_address_that_cannot_be_is_refused(obj: Fields, words: str) -> None:
    with pytest.raises(InvalidObject, match=f"AppBinding demo/pg .*{words}") as caught:
        address_of(obj)
    assert "secret" not in caught.value.message


def test_certificates_are_written_for_us_alone(tmp_path: Path) -> None:
    bundle = base64.encodebytes(b"CA" * 100).decode()
    service = binding({"query": "sslmode=verify-full"})["spec"]["clientConfig"]
    obj = binding(config={**service, "caBundle": bundle}, tlsSecret={"name": "tls"})
    found = connect(tmp_path, obj, "cert-user")
    assert found.user == "cert-user"
    for path, content in (
        (found.ca_cert, b"CA" * 100),
        (found.client_cert, b"CERT"),
        (found.client_key, b"KEY"),
    ):
        assert path is not None
        assert Path(path).read_bytes() == content
        assert os.stat(path).st_mode & 0o777 == 0o600


def test_the_parameter_user_counts_only_with_a_certificate(tmp_path: Path) -> None:
    assert connect(tmp_path, binding(), "other").user == "postgres"


def test_a_certificate_logs_in_without_a_secret(tmp_path: Path) -> None:
    found = connect(tmp_path, binding(secret=None, tlsSecret={"name": "tls"}), "cert-user")
    assert (found.user, found.password) == ("cert-user", None)


def test_deprecated_keys_are_read(tmp_path: Path) -> None:
    found = connect(tmp_path, binding(secret={"name": "old"}))
    assert (found.user, found.password) == ("admin", Secret("x"))


def test_transforms_are_applied_in_their_order(tmp_path: Path) -> None:
    transforms = [
        {"renameKey": {"from": "username", "to": "kept"}},
        {"addKeysFrom": {"secretRef": {"name": "more"}}},
        {"addKey": {"key": "password", "stringValue": "first"}},
        {"addKey": {"key": "password", "value": base64.b64encode(b"second").decode()}},
        {"removeKey": {"key": "kept"}},
        {"renameKey": {"from": "absent", "to": "username"}},
    ]
    found = connect(tmp_path, binding(secretTransforms=transforms))
    assert (found.user, found.password) == ("extra", Secret("second"))
    assert SECRETS["auth"]["username"] == b"postgres"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"secret": {"name": "none"}}, "gives no user"),
        ({"secret": None}, "gives no user"),
        ({"secret": {"name": "binary"}}, "username is not text"),
        ({"tlsSecret": {"name": "half"}}, "holds no tls.key"),
        ({"secretTransforms": [{}]}, "a secretTransform with 0 of"),
        ({"secretTransforms": [{"addKey": {"key": "a", "value": "!"}}]}, "given|is not base64"),
        ({"service": {"query": "sslmode=verify-ca"}}, "give spec.clientConfig.caBundle"),
        ({"config": {"url": "postgresql://h:1", "caBundle": "!"}}, "caBundle that is not base64"),
    ],
)
def test_credentials_that_cannot_be_are_refused(tmp_path: Path, spec: Fields, words: str) -> None:
    with pytest.raises(InvalidObject, match=words):
        connect(tmp_path, binding(**spec))


def test_the_app_binding_may_name_the_tasks() -> None:
    addon = {
        "backupTask": {"name": "b", "params": [{"name": "args", "value": "-x"}]},
        "restoreTask": {"name": "r"},
    }
    obj = binding(parameters={"kind": "StashAddon", "stash": {"addon": addon}})
    assert task_of(obj, backup=True).params == {"args": "-x"}
    assert task_of(obj, backup=False).name == "r"
    assert task_of(binding(), backup=True).name == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("kubedb.com/postgres", ("kubedb.com", "postgres")),
        ("postgres", ("", "postgres")),
        ("a/b/c", ("a/b", "c")),
        (None, ("appcatalog.appscode.com", "appbindings")),
    ],
)
def test_the_type_is_split_at_its_last_slash(text: str | None, wanted: tuple[str, str]) -> None:
    assert app_type(binding(type=text)) == wanted
