# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    InvalidObject,
    NotSupported,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
    allowed,
    unsupported,
)

Fields = dict[str, t.Any]


def repository(backend: Fields, **spec: t.Any) -> Fields:
    return {
        "kind": "Repository",
        "metadata": {"name": "repo", "namespace": "demo"},
        "spec": {"backend": {"storageSecretName": "secret", **backend}, **spec},
    }


def parse(backend: Fields, **spec: t.Any) -> RepositorySpec:
    return RepositorySpec.parse(repository(backend, **spec))


def test_s3_is_read_whole() -> None:
    spec = parse(
        {
            "s3": {
                "endpoint": "http://minio:9000",
                "bucket": "b",
                "prefix": "/demo/pg",
                "region": "eu-1",
                "insecureTLS": True,
            }
        },
        wipeOut=True,
    )
    assert (spec.provider, spec.bucket, spec.prefix) == ("s3", "b", "/demo/pg")
    assert (spec.endpoint, spec.region, spec.insecure_tls) == ("http://minio:9000", "eu-1", True)
    assert (spec.name, spec.namespace, spec.secret_name) == ("repo", "demo", "secret")
    assert spec.wipe_out


def test_the_container_of_azure_is_its_bucket() -> None:
    spec = parse({"azure": {"container": "c", "prefix": "p", "maxConnections": 8}})
    assert (spec.bucket, spec.max_connections) == ("c", 8)


def test_a_local_volume_is_handed_on_as_it_stands() -> None:
    claim = {"persistentVolumeClaim": {"claimName": "data"}}
    spec = parse({"local": {"mountPath": "/safe/data", "subPath": "x", **claim}})
    assert spec.local is not None
    assert (spec.bucket, spec.local.sub_path, spec.local.source) == ("/safe/data", "x", claim)
    assert not spec.local.is_outside_restricted


@pytest.mark.parametrize("source", ["hostPath", "nfs"])
def test_volumes_of_the_host_and_nfs_are_outside_restricted(source: str) -> None:
    spec = parse({"local": {"mountPath": "/safe/data", source: {"path": "/x"}}})
    assert spec.local is not None
    assert spec.local.is_outside_restricted


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ({}, "has none as its backend"),
        ({"gcs": {"bucket": "b"}, "azure": {"container": "c"}}, "has gcs, azure as its backend"),
        ({"gcs": {"bucket": "b"}, "storageSecretName": ""}, "names no Secret"),
        ({"s3": {"prefix": "p"}}, "give spec.backend.s3.bucket and spec.backend.s3.endpoint"),
        ({"azure": {}}, "give spec.backend.azure.container"),
        ({"local": {"hostPath": {}}}, "no absolute path in spec.backend.local.mountPath"),
        ({"local": {"mountPath": "/d"}}, "it has none"),
        ({"local": {"mountPath": "/d", "nfs": {}, "hostPath": {}}}, "it has hostPath, nfs"),
    ],
)
def test_a_repository_that_is_not_whole_is_refused(backend: Fields, words: str) -> None:
    with pytest.raises(InvalidObject, match="Repository demo/repo .*" + words):
        parse(backend)


@pytest.mark.parametrize("provider", ["b2", "swift", "rest"])
def test_backends_that_are_not_served_say_so(provider: str) -> None:
    spec = parse({provider: {"bucket": "b", "container": "c", "url": "http://r"}})
    assert f"is kept in {provider}, which Granary does not support" in (unsupported(spec) or "")
    with pytest.raises(NotSupported):
        spec.check_supported()


@pytest.mark.parametrize("path", ["/stash", "/stash/", "/stash/x", "/stash-tmp", "/", "/granary/a"])
def test_a_volume_is_not_mounted_over_our_own_folders(path: str) -> None:
    spec = parse({"local": {"mountPath": path, "hostPath": {"path": "/x"}}})
    with pytest.raises(InvalidObject, match=r"give another spec\.backend\.local"):
        spec.check_supported()


@pytest.mark.parametrize("path", ["/stashed", "/safe/data", "/stash-tmpx"])
def test_other_folders_are_fine(path: str) -> None:
    assert unsupported(parse({"local": {"mountPath": path, "hostPath": {"path": "/x"}}})) is None


GCS = {"gcs": {"bucket": "b"}}


def policy(**namespaces: t.Any) -> Fields:
    return {"usagePolicy": {"allowedNamespaces": namespaces}}


PRODUCTION = {"matchLabels": {"env": "prod"}}
NOT_TEST = {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["test"]}]}


@pytest.mark.parametrize(
    ("spec", "namespace", "labels", "may"),
    [
        ({}, "demo", {}, True),
        ({}, "other", {}, False),
        ({"usagePolicy": {}}, "demo", {}, True),
        (policy(), "other", {}, False),
        (policy(**{"from": "Same"}), "other", {}, False),
        (policy(**{"from": "All"}), "other", {}, True),
        (policy(**{"from": "Selector", "selector": PRODUCTION}), "other", {"env": "prod"}, True),
        (policy(**{"from": "Selector", "selector": PRODUCTION}), "other", {"env": "test"}, False),
        (policy(**{"from": "Selector", "selector": NOT_TEST}), "other", {"env": "test"}, False),
        (policy(**{"from": "Selector", "selector": NOT_TEST}), "other", {}, True),
        (policy(**{"from": "Selector"}), "other", {"env": "prod"}, False),
        (policy(**{"from": "Selector", "selector": {}}), "other", {}, True),
    ],
)
def test_the_usage_policy_decides_who_may_use_it(
    spec: Fields, namespace: str, labels: dict[str, str], may: bool
) -> None:
    assert allowed(parse(GCS, **spec), namespace, labels) is may
