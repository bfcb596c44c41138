# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A BackupConfiguration's retention policy as the engine is asked."""

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.operator.job.post_actions import retention_request
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import InvalidObject
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import Retention
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    RepositoryAccess,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.retention_request import (
    check_request,
)

ACCESS = RepositoryAccess(settings=LocalSettings(path="/r"), passwords=(Secret("x"),))


def test_it_is_about_all_snapshots_by_host_and_paths() -> None:
    request = retention_request(
        Retention.parse(
            {"name": "p", "keepLast": 5, "keepDaily": 7, "keepYearly": 0, "prune": True}
        ),
        ACCESS,
    )
    assert (request.keep_last, request.keep_daily, request.keep_yearly) == ("5", "7", None)
    assert (request.host, request.wanted_paths, request.wanted_tags) == (None, (), ())
    assert request.group_by == ("host", "paths")
    assert request.prune is True
    assert check_request(request)


def test_tags_alone_are_a_policy() -> None:
    request = retention_request(Retention.parse({"name": "p", "keepTags": ["a", "b"]}), ACCESS)
    assert request.keep_tags == ("a", "b")
    assert request.prune is False


@pytest.mark.parametrize("policy", [{"name": "p", "prune": True}, {"name": "p", "keepLast": 0}])
def test_a_policy_that_keeps_nothing_is_refused(policy: dict[str, object]) -> None:
    with pytest.raises(InvalidObject, match="says nothing of what to keep"):
        retention_request(Retention.parse(policy), ACCESS)
