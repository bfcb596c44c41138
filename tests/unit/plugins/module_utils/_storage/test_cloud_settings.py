# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings, endpoints and credentials of Google Cloud Storage and Azure."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from google.api_core.exceptions import from_http_status

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    AccessDenied,
    ConfigError,
    GranaryError,
    OutcomeUnknown,
    StorageUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret, redact
from ansible_collections.granary.postgres.plugins.module_utils._storage import (
    azure_client,
    gcs_client,
    gcs_errors,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.calls import Call
from ansible_collections.granary.postgres.plugins.module_utils._storage.http_session import Answers
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    AzureSettings,
    GcsSettings,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend

KEY = Secret("UExBTlRFRA==")
WRITE = Call(doing="write config to gs:x", secrets=(Secret("PLANTED"),), changes=True)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "STORAGE_EMULATOR_HOST",
        "AZURE_STORAGE_SERVICE_ENDPOINT",
        "AZURE_ENDPOINT_SUFFIX",
    ):
        monkeypatch.delenv(name, raising=False)


def azure(**more: t.Any) -> AzureSettings:
    options: dict[str, t.Any] = {
        "container": "backups",
        "account_name": "acct",
        "account_key": KEY,
    } | more
    return AzureSettings(**options)


def test_places_are_named_as_restic_names_them() -> None:
    assert open_backend(GcsSettings(bucket="b", prefix="/x/y/")).location == "gs:b:/x/y"
    assert open_backend(GcsSettings(bucket="b")).location == "gs:b:/"
    assert open_backend(azure(prefix="x")).location == "azure:backups:/x"


@pytest.mark.parametrize(
    "options",
    [
        {"bucket": ""},
        {"bucket": "a b"},
        {"prefix": "a//b"},
        {"endpoint": "storage.example.org"},
        {"endpoint": "https://storage.example.org/b"},
        {"credentials": Secret("PLANTED"), "credentials_file": "/dev/null"},
        {"credentials_file": "/nowhere/key.json"},
        {"ca_bundle": "/nowhere/ca.pem"},
        {"max_connections": 0},
        {"tries": 0},
    ],
)
def test_settings_of_google_that_cannot_work(options: dict[str, t.Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        GcsSettings(**{"bucket": "b"} | options)
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"container": "Backups"},
        {"container": "a--b"},
        {"container": "ab"},
        {"account_name": ""},
        {"account_name": "my-account"},
        {"account_key": None},
        {"sas_token": Secret("sv=1&sig=PLANTED")},
        {"account_key": Secret("PLANTED!")},
        {"endpoint": "https://acct.blob.core.windows.net/other"},
        {"endpoint": "https://acct.blob.core.windows.net/?sig=PLANTED"},
        {"read_timeout_s": 0},
    ],
)
def test_settings_of_azure_that_cannot_work(options: dict[str, t.Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        azure(**options)
    assert "PLANTED" not in str(caught.value)


def test_endpoints_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gcs_client.endpoint_of(GcsSettings(bucket="b")) == "https://storage.googleapis.com"
    assert azure_client.endpoint_of(azure()) == "https://acct.blob.core.windows.net"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:4443")
    assert gcs_client.endpoint_of(GcsSettings(bucket="b")) == "http://127.0.0.1:4443"
    monkeypatch.setenv("AZURE_ENDPOINT_SUFFIX", "core.chinacloudapi.cn")
    assert azure_client.endpoint_of(azure()) == "https://acct.blob.core.chinacloudapi.cn"
    monkeypatch.setenv("AZURE_STORAGE_SERVICE_ENDPOINT", "http://127.0.0.1:10000/acct/")
    assert azure_client.endpoint_of(azure()) == "http://127.0.0.1:10000/acct"
    monkeypatch.setenv("AZURE_STORAGE_SERVICE_ENDPOINT", "http://127.0.0.1:10000/other")
    with pytest.raises(ConfigError, match="more than scheme"):
        open_backend(azure())


@pytest.mark.parametrize(
    "text",
    [
        "PLANTED",
        "[]",
        '{"type": "PLANTED"}',
        '{"type": "service_account", "private_key": "PLANTED"}',
        '{"type": "service_account", "private_key": "PLANTED", "client_email": "a@b",'
        ' "token_uri": "https://login.example.org"}',
        '{"type": "authorized_user", "refresh_token": "PLANTED"}',
    ],
)
def test_credentials_that_cannot_be_read_are_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="The Google credentials") as caught:
        gcs_client.connect(GcsSettings(bucket="b", credentials=Secret(text)), Answers())
    assert "PLANTED" not in str(caught.value)
    assert caught.value.__cause__ is None or "PLANTED" not in str(caught.value.__cause__)


def test_credentials_come_from_a_file_as_well(tmp_path: Path) -> None:
    file = tmp_path / "user.json"
    fields = {"type": "authorized_user", "client_id": "i", "client_secret": "s"}
    file.write_text(json.dumps(fields | {"refresh_token": "PLANTED", "project_id": "ours"}))
    client = gcs_client.connect(GcsSettings(bucket="b", credentials_file=str(file)), Answers())
    assert client.project == "ours"
    client.close()


def test_nobody_is_told_who_we_are_over_http() -> None:
    settings = GcsSettings(bucket="b", credentials=Secret("PLANTED"), endpoint="http://127.0.0.1:1")
    client = gcs_client.connect(settings, Answers())
    assert type(client._http).__name__ == "Session"
    client.close()


def test_no_secret_is_in_a_sentence() -> None:
    key = "-----BEGIN PLANTED-----\nPLANTED1\nPLANTED2\n"
    google = GcsSettings(
        bucket="b", credentials=Secret(json.dumps({"private_key": key, "client_secret": "PLANTED"}))
    )
    said = f"x {' '.join(key.split())} y PLANTED z"
    assert redact(said, *gcs_client.secrets_of(google)) == "x *** y *** z"
    token = azure(account_key=None, sas_token=Secret("?sv=2024&sig=PLAN%2FTED%3D"))
    said = "https://x/?sv=1&sig=PLAN%2FTED%3D and PLAN/TED="
    assert "TED" not in redact(said, *azure_client.secrets_of(token))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccessDenied),
        (403, AccessDenied),
        (429, StorageUnavailable),
        (500, StorageUnavailable),
        (502, OutcomeUnknown),
        (504, OutcomeUnknown),
        (400, ConfigError),
    ],
)
def test_answers_of_a_server_without_words(status: int, kind: type[GranaryError]) -> None:
    with pytest.raises(GranaryError) as caught, gcs_errors.translated(WRITE):
        raise from_http_status(status, "PLANTED")
    assert caught.value.code == kind.code
    assert "PLANTED" not in str(caught.value)
