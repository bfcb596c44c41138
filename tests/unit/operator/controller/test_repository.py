# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import typing as t

import pytest

from ansible_collections.granary.postgres.operator.controller.repository import (
    retry_in_s,
    wanted_finalizers,
)
from ansible_collections.granary.postgres.operator.controller.repository_references import (
    with_reference,
    without_references,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

OURS = "granary.postgres/wipe-out"
T0 = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def repository(wipe_out: bool, *finalizers: str, **meta: t.Any) -> Object:
    return {
        "kind": "Repository",
        "metadata": {"name": "r", "namespace": "a", "finalizers": list(finalizers), **meta},
        "spec": {"wipeOut": wipe_out},
    }


@pytest.mark.parametrize(
    ("obj", "finalizers"),
    [
        (repository(False), []),
        (repository(True), [OURS]),
        (repository(True, OURS), [OURS]),
        (repository(False, OURS), []),
        (repository(False, "stash", "theirs"), ["theirs"]),
        (repository(True, "stash", "theirs"), ["theirs", OURS]),
    ],
)
def test_which_finalizers_a_repository_has(obj: Object, finalizers: list[str]) -> None:
    assert wanted_finalizers(obj) == finalizers


def test_a_failed_deletion_is_tried_again_ever_later() -> None:
    obj = repository(True, OURS, deletionTimestamp="2026-01-01T00:00:00Z")

    def pause(made_after_s: int) -> float:
        made = T0 + datetime.timedelta(seconds=made_after_s)
        job = {"metadata": {"creationTimestamp": made.isoformat()}}
        return retry_in_s(obj, job, made)

    assert [pause(at) for at in (0, 15, 60, 5000)] == [15, 15, 60, 600]


def test_references_name_each_invoker_once() -> None:
    mine = {"apiGroup": "g", "kind": "BackupConfiguration", "name": "pg", "namespace": "a"}
    other = {**mine, "namespace": "b"}
    status = with_reference(with_reference({"snapshotCount": 3}, mine), other)

    assert status == {"snapshotCount": 3, "references": [mine, other]}
    assert with_reference(status, {**mine, "apiGroup": "other"}) == status
    assert without_references(status, lambda each: each is mine)["references"] == [other]
    assert without_references(status, lambda each: False) is status
