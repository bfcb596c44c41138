# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole list of what the operator and its Jobs may do, as the API server states it, in both
kinds of install. tests/cluster/test_rights.py shows that it is enough.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Mapping

import pytest

from tests.fix_cluster import NamespaceFactory
from tests.fix_roles import Roles, changes
from tests.testbed.kube.kubectl import Kubectl

Rights = Mapping[str, frozenset[str]]
"""Verbs by group/resource; where a rule is for named objects alone, `=` and each name follow."""

STASH = "stash.appscode.com"
RBAC = "rbac.authorization.k8s.io"
OPERATOR = "granary-operator"


def rights(groups: Mapping[str, Mapping[str, str]]) -> Rights:
    """What is written below: by group and resource verbs, with blanks between them."""
    return {
        f"{group}/{resource}": frozenset(verbs.split())
        for group, resources in groups.items()
        for resource, verbs in resources.items()
    }


IN_THE_CLUSTER = rights(
    {
        "": {"namespaces": "get list watch"},
        STASH: {"functions": "get list watch", "tasks": "get list watch"},
    },
)
IN_THE_WHOLE_CLUSTER_ONLY = rights({STASH: {"backupblueprints": "get list watch"}})
AT_HOME = rights(
    {
        "coordination.k8s.io": {
            "leases": "create",
            "leases=granary-operator": "get update",
        }
    }
)
WHERE_IT_SERVES = rights(
    {
        "": {
            "events": "create",
            "persistentvolumeclaims": "create get",
            "pods": "get list",
            "secrets": "get",
            "serviceaccounts": "create get update",
        },
        STASH: {
            "backupbatches": "get list patch watch",
            "backupbatches/status": "get update",
            "backupconfigurations": "get list patch watch",
            "backupconfigurations/finalizers": "update",
            "backupconfigurations/status": "get update",
            "backupsessions": "create delete get list patch watch",
            "backupsessions/finalizers": "update",
            "backupsessions/status": "get update",
            "repositories": "get list patch watch",
            "repositories/finalizers": "update",
            "repositories/status": "get update",
            "restorebatches": "get list patch watch",
            "restorebatches/status": "get update",
            "restoresessions": "get list patch watch",
            "restoresessions/finalizers": "update",
            "restoresessions/status": "get update",
        },
        "appcatalog.appscode.com": {"appbindings": "get list watch"},
        "batch": {
            "cronjobs": "create delete get list update watch",
            "jobs": "create delete get list update watch",
        },
        RBAC: {
            "clusterroles=stash-backup-job": "bind",
            "clusterroles=stash-cron-job": "bind",
            "clusterroles=stash-restore-job": "bind",
            "rolebindings": "create delete get list update",
            "roles": "create delete get list update",
        },
    },
)
OF_JOBS = {
    "stash-cron-job": rights(
        {
            STASH: {
                "backupconfigurations": "get",
                "backupconfigurations/finalizers": "update",
                "backupsessions": "create",
            }
        }
    ),
    "stash-backup-job": rights(
        {
            "": {"endpoints": "get", "events": "create", "pods": "get", "secrets": "get"},
            STASH: {
                "backupconfigurations": "get",
                "backupsessions": "get",
                "backupsessions/status": "get update",
                "repositories": "get",
                "repositories/status": "get update",
            },
            "appcatalog.appscode.com": {"appbindings": "get"},
        },
    ),
    "stash-restore-job": rights(
        {
            "": {"endpoints": "get", "events": "create", "pods": "get", "secrets": "get"},
            STASH: {
                "repositories": "get",
                "restoresessions": "get",
                "restoresessions/status": "get update",
            },
            "appcatalog.appscode.com": {"appbindings": "get"},
        },
    ),
    "granary-exec-hook-job": rights({"": {"pods/exec": "create get"}}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reviewer:
    """Asks the API server what service accounts may do."""

    kubectl: Kubectl

    def rights(self, account: str, namespace: str) -> Rights:
        """All that an account (namespace:name) may do in a namespace and every other may not."""
        found = self._stated(account, namespace)
        anybodys = self._stated(f"{namespace}:nobody", namespace)
        more = {what: verbs - anybodys.get(what, frozenset()) for what, verbs in found.items()}
        return {what: verbs for what, verbs in more.items() if verbs}

    def _stated(self, account: str, namespace: str) -> Rights:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        who = f"--as=system:serviceaccount:{account}"
        given = json.dumps(review)
        # Those who are asked about may not read the schemas that kubectl would validate by.
        ask = ("create", "--filename=-", "--output=json", "--validate=false")
        answer = self.kubectl(*ask, who, given=given)
        found: dict[str, set[str]] = collections.defaultdict(set)
        for rule in json.loads(answer)["status"]["resourceRules"]:
            names = [f"={name}" for name in rule.get("resourceNames") or []] or [""]
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for name in names:
                        found[f"{group}/{resource}{name}"].update(rule["verbs"])
        return {what: frozenset(verbs) for what, verbs in found.items()}


@pytest.fixture
def reviewer(kubectl: Kubectl) -> Reviewer:
    """It asks as administrator, on behalf of others."""
    return Reviewer(kubectl=kubectl)


@pytest.mark.usefixtures("crds")
def test_of_an_operator_of_the_whole_cluster(
    roles: Roles, reviewer: Reviewer, namespace: str
) -> None:
    assert changes(roles.operator())
    operator = f"{roles.home}:{OPERATOR}"
    everywhere = {**IN_THE_CLUSTER, **IN_THE_WHOLE_CLUSTER_ONLY, **WHERE_IT_SERVES}
    assert reviewer.rights(operator, namespace) == everywhere
    assert reviewer.rights(operator, roles.home) == {**everywhere, **AT_HOME}


@pytest.mark.slow
@pytest.mark.usefixtures("crds")
def test_of_an_operator_of_one_namespace(
    roles: Roles, reviewer: Reviewer, new_namespace: NamespaceFactory
) -> None:
    served, other = new_namespace(), new_namespace()
    assert changes(roles.operator(namespaces=[served]))
    operator = f"{roles.home}:{OPERATOR}"
    assert reviewer.rights(operator, served) == {**IN_THE_CLUSTER, **WHERE_IT_SERVES}
    assert reviewer.rights(operator, roles.home) == {**IN_THE_CLUSTER, **AT_HOME}
    assert reviewer.rights(operator, other) == IN_THE_CLUSTER


@pytest.mark.usefixtures("crds")
@pytest.mark.sampled("limited", [False, True], 1, ids={False: "cluster", True: "namespaces"}.get)
def test_of_jobs(
    roles: Roles, reviewer: Reviewer, new_namespace: NamespaceFactory, limited: bool
) -> None:
    served, other = new_namespace(), new_namespace()
    namespaces = [served] if limited else []
    assert changes(roles.operator(namespaces=namespaces, exec_hooks=True))
    for role, expected in OF_JOBS.items():
        # As the operator binds it.
        bound = (f"--clusterrole={role}", f"--serviceaccount={served}:{role}")
        roles.kubectl("create", "rolebinding", role, *bound, f"--namespace={served}")
        assert reviewer.rights(f"{served}:{role}", served) == expected
        assert reviewer.rights(f"{served}:{role}", other) == {}
