# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules `backup_session` and `restore_session` against a real API server; what an operator
would write into a status is written by the test. tests/cluster/test_rights.py runs them with one.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest

from tests import stash_objects as stash
from tests.fix_ansible import Ansible, Result
from tests.testbed.kube.kubectl import Kubectl, Object


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sessions:
    """Runs the modules in a namespace that has a BackupConfiguration."""

    ansible: Ansible
    kubectl: Kubectl
    namespace: str

    def back_up(self, *, check: bool = False, **options: t.Any) -> Result:
        """Run `backup_session`, which waits for two seconds."""
        return self._run("backup", check, {"invoker": stash.CONFIGURATION, **options})

    def restore(self, *, check: bool = False, **options: t.Any) -> Result:
        """Run `restore_session`."""
        place = {"target": stash.BINDING, "repository": stash.REPOSITORY}
        return self._run("restore", check, {"name": "again", **place, **options})

    def end(self, what: str, phase: str, **status: t.Any) -> None:
        """Write what an operator writes."""
        patch = json.dumps({"status": {"phase": phase, **status}})
        where = (f"--namespace={self.namespace}", "--subresource=status", "--type=merge")
        self.kubectl("patch", what, *where, f"--patch={patch}")

    def _run(self, kind: str, check: bool, options: Object) -> Result:
        common = {
            "namespace": self.namespace,
            "kubeconfig": str(self.kubectl.kubeconfig),
            "wait_timeout": 2,
        }
        return self.ansible.task(f"{kind}_session", check=check, **common, **options)


@pytest.fixture
def sessions(ansible: Ansible, kubectl: Kubectl, crds: list[str], namespace: str) -> Sessions:
    """A namespace with a BackupConfiguration, and no operator."""
    kubectl.apply(stash.configuration(namespace, "postgres-backup"))
    return Sessions(ansible=ansible, kubectl=kubectl, namespace=namespace)


def test_a_backup_session_is_made_once_and_its_end_is_ours(sessions: Sessions) -> None:
    predicted = sessions.back_up(name="now", check=True)
    assert predicted["changed"]
    assert predicted["session"]["phase"] is None
    assert sessions.kubectl.list("backupsessions", sessions.namespace) == []

    started = sessions.back_up(name="now", wait=False)
    assert started["changed"]
    made = sessions.kubectl.get("backupsession", "now", sessions.namespace)
    assert made["spec"]["invoker"]["name"] == stash.CONFIGURATION
    assert made["metadata"]["labels"]["stash.appscode.com/invoker-name"] == stash.CONFIGURATION
    assert made["metadata"]["ownerReferences"][0]["name"] == stash.CONFIGURATION

    waited = sessions.back_up(name="now")
    assert waited.code == "session_unfinished"
    assert "has not been begun in time" in waited.message

    host = {"hostname": "host-0", "phase": "Failed", "duration": "1s", "error": "dump failed"}
    ref = stash.configuration("", "")["spec"]["target"]["ref"]
    targets = [{"ref": ref, "totalHosts": 1, "phase": "Failed", "stats": [host]}]
    sessions.end("backupsession/now", "Failed", targets=targets)
    failed = sessions.back_up(name="now")
    assert not failed["changed"]
    assert failed.code == "session_failed"
    assert failed.message == (f"BackupSession {sessions.namespace}/now is Failed: dump failed.")
    assert failed["session"]["stats"] == [host]

    sessions.end("backupsession/now", "Succeeded", sessionDuration="3s")
    good = sessions.back_up(name="now")
    assert not good.failed
    assert (good["changed"], good["session"]["duration"]) == (False, "3s")


def test_without_a_name_each_is_a_new_one(sessions: Sessions) -> None:
    made = sessions.back_up(wait=False)
    assert made["session"]["name"].startswith(f"{stash.CONFIGURATION}-")
    assert made["changed"]


def test_what_is_not_there_and_what_is_anothers_is_refused(sessions: Sessions) -> None:
    missing = sessions.back_up(invoker="nobody")
    assert missing.code == "cluster_object_missing"
    assert f"BackupConfiguration {sessions.namespace}/nobody" in missing.message

    other = stash.configuration(sessions.namespace, "postgres-backup", "other")
    sessions.kubectl.apply(other)
    sessions.back_up(name="now", wait=False)
    refused = sessions.back_up(name="now", invoker="other")
    assert refused.code == "config"


def test_a_restore_session_runs_once(sessions: Sessions) -> None:
    assert sessions.restore(check=True)["changed"]
    wanted: dict[str, t.Any] = {
        "params": {"clean": True, "databases": "shop"},
        "snapshot": "0f1e2d3c",
    }
    assert sessions.restore(wait=False, **wanted)["changed"]
    spec = sessions.kubectl.get("restoresession", "again", sessions.namespace)["spec"]
    assert spec["task"] == {
        "name": "postgres-restore",
        "params": [{"name": "clean", "value": "true"}, {"name": "databases", "value": "shop"}],
    }
    assert spec["target"]["rules"] == [{"snapshots": ["0f1e2d3c"]}]

    sessions.end("restoresession/again", "Succeeded")
    again = sessions.restore(**wanted)
    assert not again.failed
    assert not again["changed"]
    other = sessions.restore(snapshot="latest")
    assert other.code == "config"
    assert "choose another name" in other.message


def test_an_api_server_that_is_not_there_is_named(sessions: Sessions) -> None:
    refused = sessions.ansible.task(
        "backup_session",
        namespace="demo",
        invoker="pg",
        host="https://127.0.0.1:1",
        api_key="token",
        ca_cert="/nowhere/ca.crt",
    )
    assert refused.failed
    assert "certificates for the API server cannot be used" in refused.message
