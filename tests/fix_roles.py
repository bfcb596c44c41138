# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our Kubernetes roles as their users run them, against the test cluster."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Iterator, Mapping

import pytest

from tests.fix_ansible import Ansible, Run
from tests.testbed.kube.kubectl import Kubectl

OURS = "app.kubernetes.io/name=granary,app.kubernetes.io/managed-by=granary.postgres"
BUILT_IN = (
    "deployments,services,serviceaccounts,configmaps,roles,rolebindings,clusterroles,"
    "clusterrolebindings"
)
KINDS = f"{BUILT_IN},functions,tasks"
"""What the role makes beside CRDs and its namespace."""
NO_IMAGE = "local.test/none:1"
"""No node has it: enough where it is what the API server holds that counts."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Runs one role at a time as administrator of the cluster."""

    ansible: Ansible
    kubectl: Kubectl
    home: str

    def run(self, role: str, *arguments: str, **options: t.Any) -> Run:
        """Run a role with its variables; it may fail."""
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [
                {
                    "name": role,
                    "ansible.builtin.include_role": {"name": f"granary.postgres.{role}"},
                    "vars": options,
                }
            ],
        }
        playbook = self.ansible.folder / f"{role}.json"
        playbook.write_text(json.dumps([play]), encoding="utf-8")
        env = {"K8S_AUTH_KUBECONFIG": str(self.kubectl.kubeconfig)}
        return self.ansible.playbook(str(playbook), *arguments, env=env)

    def playbook(self, name: str, **variables: t.Any) -> Run:
        """Run one of our playbooks, by its name, for the operator's namespace of the tests."""
        common = {
            "granary_kubeconfig": str(self.kubectl.kubeconfig),
            "granary_operator_namespace": self.home,
        }
        return self.ansible.playbook(f"granary.postgres.{name}", variables={**common, **variables})

    def operator(self, *arguments: str, **options: t.Any) -> Run:
        """Run the role `operator`, in a namespace of its own; `options` without their prefix."""
        given: Mapping[str, t.Any] = {
            "namespace": self.home,
            "image": NO_IMAGE,
            "wait": False,
            **options,
        }
        prefixed = {f"operator_{name}": value for name, value in given.items()}
        return self.run("operator", *arguments, **prefixed)


def changes(run: Run) -> list[str]:
    """The tasks that changed something, without their role; the run must have succeeded."""
    assert run.status == 0, run.output
    return [
        result.task.rpartition(" : ")[2] for result in run.results if result.values.get("changed")
    ]


@pytest.fixture
def roles(ansible: Ansible, kubectl: Kubectl) -> Iterator[Roles]:
    """The roles; what they installed is removed after the test, by its labels."""
    found = Roles(ansible=ansible, kubectl=kubectl, home="granary-test")
    yield found
    kubectl("delete", KINDS, "--all-namespaces", f"--selector={OURS}")
    kubectl("delete", "namespace", found.home, "--ignore-not-found")
