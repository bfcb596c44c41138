# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError
from ansible_collections.granary.postgres.plugins.module_utils._core.events import SilentEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._storage.local import LocalBackend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    LocalSettings,
    S3Settings,
    check_endpoint,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.s3 import S3Backend

KEYS: dict[str, t.Any] = {"access_key": Secret("AKPLANTED"), "secret_key": Secret("SKPLANTED")}


@pytest.mark.parametrize("path", ["", "backups", "./backups", "~/backups", "/srv/\0"])
def test_a_local_path_must_be_absolute(path: str) -> None:
    with pytest.raises(ConfigError, match="absolute"):
        LocalSettings(path=path)


def test_each_kind_of_settings_opens_its_backend() -> None:
    local = open_backend(LocalSettings(path="/srv/backups/"), SilentEvents())
    s3 = open_backend(S3Settings(bucket="b", prefix="/x/y/", endpoint="https://s3.example.org/"))
    assert isinstance(local, LocalBackend)
    assert local.location == "/srv/backups"
    assert isinstance(s3, S3Backend)
    assert s3.location == "s3:https://s3.example.org/b/x/y"


def test_aws_is_meant_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    assert open_backend(S3Settings(bucket="b")).location == "s3:s3.amazonaws.com/b"


def test_the_endpoint_of_the_environment_is_held_to_the_same_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.org")
    assert open_backend(S3Settings(bucket="b")).location == "s3:https://s3.example.org/b"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.org/folder")
    with pytest.raises(ConfigError, match="more than scheme, host and port"):
        open_backend(S3Settings(bucket="b"))


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("s3.example.org", "no address of a server"),
        ("ftp://s3.example.org", "no address of a server"),
        ("https://", "no address of a server"),
        ("https://s3.example.org/bucket", "more than scheme, host and port"),
        ("https://s3.example.org?x=y", "more than scheme, host and port"),
        ("https://s3.example.org:port", "cannot be read"),
    ],
)
def test_refused_endpoints(endpoint: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        S3Settings(bucket="b", endpoint=endpoint)


def test_a_password_in_an_endpoint_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        check_endpoint("https://me:SKPLANTED@s3.example.org/x")
    assert "SKPLANTED" not in str(caught.value)


@pytest.mark.parametrize("bucket", ["", "a/b", "a b", "arn:aws:s3", "eimer-ä"])
def test_refused_buckets(bucket: str) -> None:
    with pytest.raises(ConfigError, match="bucket"):
        S3Settings(bucket=bucket)


@pytest.mark.parametrize("prefix", ["a//b", "a/../b", "./a", "a\nb"])
def test_refused_prefixes(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        S3Settings(bucket="b", prefix=prefix)


@pytest.mark.parametrize(
    "options",
    [
        {"access_key": Secret("AKPLANTED")},
        {"secret_key": Secret("SKPLANTED")},
        {"session_token": Secret("STPLANTED")},
        {"profile": "p", **KEYS},
        {"ca_bundle": "/nowhere/ca.pem"},
        {"tries": 0},
        {"connect_timeout_s": 0},
        {"read_timeout_s": -1},
    ],
)
def test_options_that_cannot_work(options: dict[str, t.Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        S3Settings(bucket="b", **options)
    assert "PLANTED" not in str(caught.value)


def test_settings_show_no_secret(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    settings = S3Settings(
        bucket="b", session_token=Secret("STPLANTED"), ca_bundle=str(bundle), **KEYS
    )
    assert "PLANTED" not in repr(settings)
