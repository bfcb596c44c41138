# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles of Kubernetes refuse before they ask a cluster anything; tests/cluster has the
rest.
"""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.fix_ansible import Ansible, Result

NOWHERE = {"K8S_AUTH_HOST": "https://127.0.0.1:1", "K8S_AUTH_API_KEY": "none"}
BUCKET = {"s3": {"endpoint": "https://s3.example.com", "bucket": "backups"}}
TARGET = {
    "target_name": "pg",
    "target_namespace": "demo",
    "target_backend": BUCKET,
    "target_service": {"name": "pg"},
}


def last_result(ansible: Ansible, role: str, options: dict[str, t.Any]) -> Result:
    """How a run of a role ends, where no cluster is."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "roles": [{"role": f"granary.postgres.{role}", "vars": options}],
    }
    playbook = ansible.folder / "kubernetes-role.json"
    playbook.write_text(json.dumps([play]), encoding="utf-8")
    run = ansible.playbook(str(playbook), env=NOWHERE)
    assert run.status != 0
    return run.results[-1]


@pytest.mark.parametrize(
    ("role", "options", "words"),
    [
        ("operator", {}, "operator_image is not set; name Granary's image"),
        ("operator", {"operator_state": "there"}, "value of operator_state must be one of"),
        ("target", {**TARGET, "target_name": None}, "target_name"),
        (
            "target",
            {**TARGET, "target_backend": {**BUCKET, "gcs": {"bucket": "b"}}},
            "target_backend names s3 and gcs; give exactly one of local, s3, gcs and azure.",
        ),
        ("target", {**TARGET, "target_backend": {"s3": {"bucket": "b"}}}, "endpoint"),
        (
            "target",
            {**TARGET, "target_url": "postgresql://db:5432"},
            "The server is named by target_service or by target_url; give exactly one of the two.",
        ),
        (
            "target",
            {**TARGET, "target_user": "postgres"},
            "target_user and target_password belong together",
        ),
        (
            "target",
            {**TARGET, "target_credentials": {"AWS_ACCESS_KEY_ID": "a"}},
            "target_repository_password is not set; give it beside target_credentials",
        ),
        ("target", {**TARGET, "target_ssl_mode": "maybe"}, "value of target_ssl_mode must be"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    ansible: Ansible, role: str, options: dict[str, t.Any], words: str
) -> None:
    told = {name: value for name, value in options.items() if value is not None}
    refusal = last_result(ansible, role, told)
    assert refusal.failed
    assert words in refusal.message, refusal.values
