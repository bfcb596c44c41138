# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""S3 servers that do not do what others do: each as the documentation says."""

from __future__ import annotations

import typing as t

import pytest

from tests.fix_ansible import Task, bucket_repository
from tests.fix_quick_key import make_key_quick
from tests.fix_repository import PREFIX, Place
from tests.fix_stage import Stage
from tests.integration.test_bad_input import is_one_sentence
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.s3 import Bucket

SECOND = "the second one"


def by_proxy(bucket: Bucket, proxy: HttpProxy) -> dict[str, t.Any]:
    """The options of a bucket behind a proxy."""
    options = bucket_repository(bucket, prefix=PREFIX)
    options["backend"]["s3"]["endpoint"] = proxy.endpoint
    return options


def test_one_that_ignores_if_none_match_works(stage: Stage, careless_s3_bucket: Bucket) -> None:
    options = bucket_repository(careless_s3_bucket, prefix=PREFIX)
    run = stage.ansible.tasks(
        Task(module="repository", options=options),
        stage.backup(**options),
        stage.backup(**options),
        Task(module="repository_key", options={**options, "key_password": SECOND}),
        Task(module="retention", options={**options, "keep_last": 1}),
        Task(module="repository_info", options=options),
        stage.restore(**options, host="main", clean=True),
        Task(module="repository", options={**options, "state": "absent", "force": True}),
    )
    assert run.status == 0, run.output
    info = run.results[5]
    assert (len(info["snapshots"]), info["locks"]) == (1, [])
    assert run.results[6]["verified"]
    assert careless_s3_bucket.list_keys("") == []


def test_one_whose_listings_lag_is_refused(
    stage: Stage, s3_bucket: Bucket, s3_proxy: HttpProxy
) -> None:
    with Place(where=s3_bucket, cache_dir=stage.path).create() as repository:
        make_key_quick(repository)
    before = s3_bucket.list_keys("")
    options = by_proxy(s3_bucket, s3_proxy)
    s3_proxy.hide_from_listings(seconds=30)
    refused = stage.ansible.tasks(
        stage.backup(**options),
        Task(module="retention", options={**options, "keep_last": 1}),
        Task(module="repository_key", options={**options, "key_password": SECOND}),
        Task(module="repository", options={**options, "state": "absent"}),
    ).results
    for result in refused:
        assert result.failed
        assert "a storage whose listings lag cannot hold a repository" in result.message
        assert is_one_sentence(result.message)
    assert s3_bucket.list_keys("") == before
    # One that lags for less than we look back is waited for.
    s3_proxy.hide_from_listings(seconds=0.4)
    run = stage.ansible.tasks(stage.backup(**options), stage.backup(**options))
    assert run.status == 0, run.output
    assert all(result["stats"]["stored_bytes"] < 100_000 for result in run.results[1:])


def test_one_that_refuses_to_delete_takes_backups_and_says_what_it_refuses(
    stage: Stage, s3_bucket: Bucket, s3_proxy: HttpProxy
) -> None:
    place = Place(where=s3_bucket, cache_dir=stage.path)
    with place.create() as repository:
        make_key_quick(repository)
    options = by_proxy(s3_bucket, s3_proxy)
    fault = s3_proxy.add(Fault(kind="answer", method="DELETE", status=403))
    alone = [
        Task(module="retention", options={**options, "keep_last": 1}),
        Task(module="repository_key", options={**options, "key_password": SECOND}),
        Task(module="repository", options={**options, "state": "absent", "force": True}),
    ]
    run = stage.ansible.tasks(stage.backup(**options), stage.backup(**options), *alone)
    first, second, *refused = run.results
    for result in (first, second):
        assert result["snapshot"]["id"]
        assert any("could not be removed" in warning for warning in result["warnings"])
    for result in refused:
        assert (result.failed, result.code) == (True, "repository_locked")
        assert "the storage does not let it be removed" in result.message
        assert "AccessDenied" in result.message
        assert is_one_sentence(result.message)
    assert fault.hits
    with place.open() as repository:
        assert len(list(repository.backend.entries("snapshots/"))) == 2
        assert len(list(repository.backend.entries("locks/"))) == 2
    place.restic("0.19").run("check", "--no-lock", "--read-data")
    # Once it may, whoever must be alone cleans up.
    s3_proxy.clear()
    run = stage.ansible.tasks(*alone)
    assert run.status == 0, run.output
    assert s3_bucket.list_keys("") == []


@pytest.mark.slow
def test_one_that_keeps_packs_and_snapshots_alone(
    stage: Stage, s3_bucket: Bucket, s3_proxy: HttpProxy
) -> None:
    """The right to delete locks alone: retention says what it could not do."""
    place = Place(where=s3_bucket, cache_dir=stage.path)
    with place.create() as repository:
        make_key_quick(repository)
    options = by_proxy(s3_bucket, s3_proxy)
    s3_proxy.add(Fault(kind="answer", method="DELETE", path="/(data|snapshots|index)/", status=403))
    run = stage.ansible.tasks(
        stage.backup(**options),
        stage.backup(**options),
        Task(module="retention", options={**options, "keep_last": 1}),
        stage.backup(**options),
    )
    first, second, refused, third = run.results
    assert not any(result.failed for result in (first, second, third)), run.output
    assert not any("could not be removed" in str(r.values.get("warnings")) for r in (first, third))
    assert refused.failed
    assert "AccessDenied" in refused.message
    place.restic("0.19").run("check", "--read-data")
