# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users may get wrong in more than one object, or to excess: one clear sentence says so.

What the API server itself refuses is in test_crds.py; crons, backends and hooks that cannot be
served in test_backup_configuration.py; variables that nobody gives in test_backup_session.py.
"""

from __future__ import annotations

import pytest

from tests import stash_objects as stash
from tests.fix_cluster import NamespaceFactory
from tests.fix_operator import OperatorFactory, OperatorProcess, StashBed, conditions_of
from tests.testbed.kube.kubectl import KubectlRefusedError, Object

LONGEST = "n" * 253


def _validated(status: Object) -> tuple[str, str]:
    return conditions_of(status)["ValidationPassed"]


def test_a_namespace_that_may_not_use_the_repository(
    new_operator: OperatorFactory, bed: StashBed, new_namespace: NamespaceFactory
) -> None:
    """Neither to back up nor to restore, until it may."""
    user = StashBed(bed.kubectl, bed.cluster, new_namespace())
    new_operator("--namespace", bed.namespace, "--namespace", user.namespace).start()
    bed.parts()
    theirs = {"name": stash.REPOSITORY, "namespace": bed.namespace}
    user.kubectl.apply(
        stash.binding(user.namespace),
        stash.configuration(user.namespace, "no-task", repository=theirs),
        stash.restore_session(user.namespace, "no-task", repository=theirs),
    )
    sentence = (
        f"Namespace {user.namespace} is not allowed to use Repository {bed.namespace}/repo; its "
        "spec.usagePolicy says who is."
    )
    refused = user.ends("BackupConfiguration", stash.CONFIGURATION, "Invalid")
    assert _validated(refused) == ("False", sentence)
    assert _validated(user.ends("RestoreSession", "pg-restore", "Invalid")) == ("False", sentence)
    assert user.cluster.list("CronJob", user.namespace) == []

    bed.parts(usagePolicy={"allowedNamespaces": {"from": "All"}})
    user.ends("BackupConfiguration", stash.CONFIGURATION, "Ready")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslmode=sometimes", "has sslmode 'sometimes'; use one of disable, allow"),
        ("sslmode=require&x=1", "only one sslmode=... can stand there"),
    ],
)
def test_an_ssl_mode_that_there_is_not(
    operator: OperatorProcess, bed: StashBed, query: str, words: str
) -> None:
    bed.parts()
    bed.kubectl.apply(
        stash.binding(bed.namespace, query=query), stash.configuration(bed.namespace, "no-task")
    )
    status, message = _validated(bed.ends("BackupConfiguration", stash.CONFIGURATION, "Invalid"))
    assert status == "False"
    assert words in message


@pytest.mark.usefixtures("reporting_image")
def test_sessions_with_the_longest_name_run(operator: OperatorProcess, bed: StashBed) -> None:
    bed.configured(stash.reporting())
    bed.session(LONGEST)
    bed.backup(LONGEST, "Succeeded")
    restore = stash.restore_session(bed.namespace, bed.task(stash.reporting()), LONGEST)
    bed.kubectl.apply(restore)
    bed.ends("RestoreSession", LONGEST, "Succeeded")
    assert all(len(name) <= 63 for name in bed.jobs())


@pytest.mark.usefixtures("crds")
def test_a_name_longer_than_that_is_refused(bed: StashBed) -> None:
    with pytest.raises(KubectlRefusedError, match="must be no more than 253"):
        bed.kubectl.apply(stash.configuration(bed.namespace, "no-task", f"{LONGEST}n"))
