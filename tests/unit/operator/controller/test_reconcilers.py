# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.operator.controller.options import parse_options
from ansible_collections.granary.postgres.operator.controller.reconcilers import reconcile
from ansible_collections.granary.postgres.operator.controller.site import Site
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterObjectMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from tests.scripted_server import ScriptedServer

KEY = Key("BackupBatch", "demo", "b")
THERE = {
    "apiVersion": "stash.appscode.com/v1beta1",
    "kind": "BackupBatch",
    "metadata": {"name": "b", "namespace": "demo", "uid": "u1", "resourceVersion": "1"},
    "spec": {},
}
GONE = (404, {"reason": "NotFound", "message": "not found"})


def step(*answers: t.Any) -> float | None:
    """One step in which the write of the status, the third request, meets no object."""
    with ScriptedServer((200, THERE), (200, THERE), GONE, *answers) as server:
        cluster = Cluster.connect(host=server.url, api_key=Secret("token"))
        options = parse_options(["--image", "i"], {"GRANARY_POD_NAMESPACE": "ops"})
        return reconcile(Site(cluster=cluster, options=options, cluster_uid=""), KEY)


def test_an_object_that_is_deleted_during_a_step_is_looked_at_again_at_once() -> None:
    assert step(GONE) == 0.0


def test_something_else_that_is_missing_fails_the_step() -> None:
    with pytest.raises(ClusterObjectMissing, match="BackupBatch demo/b was not found"):
        step((200, THERE))
