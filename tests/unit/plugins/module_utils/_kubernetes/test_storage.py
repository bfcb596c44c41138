# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    InvalidObject,
    NotSupported,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.storage import (
    password,
    storage_settings,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import (
    AzureSettings,
    GcsSettings,
    LocalSettings,
    S3Settings,
)


def spec(**fields: t.Any) -> RepositorySpec:
    backend = {"storageSecretName": "secret", **fields}
    meta = {"name": "repo", "namespace": "demo"}
    obj = {"kind": "Repository", "metadata": meta, "spec": {"backend": backend}}
    return RepositorySpec.parse(obj)


def s3(tmp_path: Path, secret: dict[str, bytes] | None = None, **fields: t.Any) -> S3Settings:
    settings = storage_settings(
        spec(s3={"endpoint": "s3.example", "bucket": "b", **fields}), secret or {}, scratch=tmp_path
    )
    assert isinstance(settings, S3Settings)
    return settings


@pytest.mark.parametrize(
    ("endpoint", "wanted", "region"),
    [
        ("http://minio.demo.svc:9000/", "http://minio.demo.svc:9000", None),
        ("minio.demo.svc:9000", "https://minio.demo.svc:9000", None),
        ("s3.amazonaws.com", None, None),
        ("https://s3.eu-central-1.amazonaws.com", None, "eu-central-1"),
        ("s3-us-gov-west-1.amazonaws.com", None, "us-gov-west-1"),
        ("https://s3.amazonaws.com.example", "https://s3.amazonaws.com.example", None),
    ],
)
def test_the_endpoint_is_read_as_restic_reads_it(
    tmp_path: Path, endpoint: str, wanted: str | None, region: str | None
) -> None:
    settings = s3(tmp_path, endpoint=endpoint)
    assert (settings.endpoint, settings.region) == (wanted, region)


@pytest.mark.parametrize("prefix", ["demo/pg", "/demo/pg", "/demo//pg/", "./demo/./pg"])
def test_a_prefix_names_one_folder_however_it_is_written(tmp_path: Path, prefix: str) -> None:
    assert s3(tmp_path, prefix=prefix).root == "demo/pg/"


def test_a_prefix_does_not_lead_out_of_its_bucket(tmp_path: Path) -> None:
    with pytest.raises(InvalidObject, match=r"prefix '../other/pg' cannot be used"):
        s3(tmp_path, prefix="../other/pg")


def test_a_bucket_may_go_on_as_a_path(tmp_path: Path) -> None:
    settings = s3(tmp_path, bucket="b/team", prefix="pg")
    assert (settings.bucket, settings.root) == ("b", "team/pg/")


def test_the_secret_gives_keys_and_certificate(tmp_path: Path) -> None:
    secret = {
        "AWS_ACCESS_KEY_ID": b"id\n",
        "AWS_SECRET_ACCESS_KEY": b"key",
        "CA_CERT_DATA": b"PEM",
    }
    settings = s3(tmp_path, secret, region="eu-1")
    assert (settings.access_key, settings.secret_key) == (Secret("id"), Secret("key"))
    assert settings.region == "eu-1"
    assert settings.ca_bundle is not None
    assert Path(settings.ca_bundle).read_bytes() == b"PEM"
    assert os.stat(settings.ca_bundle).st_mode & 0o777 == 0o600


def test_keys_are_not_needed(tmp_path: Path) -> None:
    assert s3(tmp_path).access_key is None


def test_one_key_without_the_other_names_the_repository(tmp_path: Path) -> None:
    with pytest.raises(InvalidObject, match="Repository demo/repo cannot be used: access_key"):
        s3(tmp_path, {"AWS_ACCESS_KEY_ID": b"id"})


def test_gcs(tmp_path: Path) -> None:
    secret = {"GOOGLE_PROJECT_ID": b"p", "GOOGLE_SERVICE_ACCOUNT_JSON_KEY": b"{}"}
    settings = storage_settings(
        spec(gcs={"bucket": "b", "prefix": "/x", "maxConnections": 3}), secret, scratch=tmp_path
    )
    assert isinstance(settings, GcsSettings)
    assert (settings.bucket, settings.root, settings.project) == ("b", "x/", "p")
    assert settings.credentials == Secret("{}")
    assert settings.max_connections == 3


def test_azure(tmp_path: Path) -> None:
    secret = {"AZURE_ACCOUNT_NAME": b"account", "AZURE_ACCOUNT_KEY": b"a2V5"}
    settings = storage_settings(spec(azure={"container": "con"}), secret, scratch=tmp_path)
    assert isinstance(settings, AzureSettings)
    assert (settings.container, settings.account_name) == ("con", "account")
    assert settings.account_key == Secret("a2V5")
    assert settings.max_connections == 5


def test_azure_needs_its_account(tmp_path: Path) -> None:
    with pytest.raises(InvalidObject, match=r"Secret demo/secret.* holds no AZURE_ACCOUNT_NAME"):
        storage_settings(spec(azure={"container": "con"}), {}, scratch=tmp_path)


def test_local_is_where_the_volume_is_mounted(tmp_path: Path) -> None:
    local = {"mountPath": "/safe/data", "hostPath": {"path": "/x"}}
    settings = storage_settings(spec(local=local), {}, scratch=tmp_path)
    assert settings == LocalSettings(path="/safe/data")


def test_a_backend_that_is_not_served_has_no_settings(tmp_path: Path) -> None:
    with pytest.raises(NotSupported):
        storage_settings(spec(b2={"bucket": "b"}), {}, scratch=tmp_path)


def test_the_password_is_taken_as_it_stands() -> None:
    assert password(spec(gcs={"bucket": "b"}), {"RESTIC_PASSWORD": b"a b\n"}) == Secret("a b\n")
    for wrong in ({}, {"RESTIC_PASSWORD": b""}, {"RESTIC_PASSWORD": b"\xff"}):
        with pytest.raises(InvalidObject, match="RESTIC_PASSWORD"):
            password(spec(gcs={"bucket": "b"}), wrong)
