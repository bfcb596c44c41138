# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operator tells a Pushgateway, that is there or not, and takes back."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from tests import stash_objects as stash
from tests.fix_operator import OperatorFactory, OperatorProcess, StashBed, conditions_of
from tests.testbed.monitoring import Pushgateway
from tests.testbed.ports import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("reporting_image")

GOOD = stash.reporting()
CREATED = "stash_appscode_com_backupconfiguration_created"


@pytest.fixture
def gateway() -> Iterator[Pushgateway]:
    """One for this test alone."""
    with Pushgateway() as made:
        yield made


def told(gateway: Pushgateway) -> str:
    """All that it holds."""
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def telling(new_operator: OperatorFactory, bed: StashBed, url: str) -> OperatorProcess:
    """An operator of the namespace that tells this gateway."""
    operator = new_operator("--namespace", bed.namespace, "--pushgateway-url", url)
    operator.start()
    return operator


def test_metrics_are_pushed_and_go_with_their_invoker(
    new_operator: OperatorFactory, bed: StashBed, gateway: Pushgateway
) -> None:
    telling(new_operator, bed, gateway.url)
    bed.configured(GOOD)
    wait_for(lambda: f"{CREATED}{{" in told(gateway), "the first push")
    bed.session()
    bed.backup("first", "Succeeded")
    assert 'stash_appscode_com_backupsession_success{driver="Restic"' in told(gateway)
    assert "stash_backup_session_success{" in told(gateway)

    bed.cluster.delete("BackupConfiguration", stash.CONFIGURATION, bed.namespace)
    wait_for(lambda: stash.CONFIGURATION not in told(gateway), "the group to go")


def test_metrics_go_of_what_was_deleted_while_nobody_looked(
    new_operator: OperatorFactory, bed: StashBed, gateway: Pushgateway
) -> None:
    operator = telling(new_operator, bed, gateway.url)
    bed.configured(GOOD)
    bed.kubectl.apply(stash.configuration(bed.namespace, bed.task(GOOD), "other"))
    wait_for(lambda: told(gateway).count(f"{CREATED}{{") == 2, "both pushes")
    operator.kill()
    bed.cluster.delete("BackupConfiguration", "other", bed.namespace)

    operator.start()
    wait_for(lambda: 'invoker_name="other"' not in told(gateway), "the group to go")
    assert f'invoker_name="{stash.CONFIGURATION}"' in told(gateway)


def test_a_pushgateway_that_is_down_fails_nothing_and_is_told_later(
    new_operator: OperatorFactory, bed: StashBed
) -> None:
    port = free_port()
    telling(new_operator, bed, f"http://127.0.0.1:{port}")
    bed.configured(GOOD)
    bed.session()
    said = conditions_of(bed.backup("first", "Succeeded"))["MetricsPushed"]
    assert said[0] == "False"
    assert f"127.0.0.1:{port}" in said[1]

    with Pushgateway(port) as back:

        def is_told() -> bool:
            found = conditions_of(bed.status("BackupSession", "first"))
            return found["MetricsPushed"][0] == "True"

        wait_for(is_told, "the push", timeout_s=100)
        assert bed.status("BackupSession", "first")["phase"] == "Succeeded"
        assert "stash_appscode_com_backupsession_success{" in told(back)
