# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The artefact as its users get it: built, installed into an empty place beside an empty virtual
environment with Ansible and the collection's own requirements, and used from there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.fix_ansible import ROOT, Ansible, Run, login
from tests.fix_postgres import Database, DatabaseFactory, PostgresFactory
from tests.fix_stage import ROWS, SHOP, counts_of, drop_new_databases
from tests.testbed.components import cache_folder, ensure
from tests.testbed.process import run

MODULES = {
    "backup",
    "backup_session",
    "repository",
    "repository_check",
    "repository_info",
    "repository_key",
    "restore",
    "restore_session",
    "retention",
}
IN_KUBERNETES = {"backup_session", "restore_session"}
ROLES = {"client": "client_venv", "operator": "operator_image", "target": "target_backend"}
ANSIBLE_CORE = "ansible-core==2.19.*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The collection where it was installed, and Ansible from the environment beside it."""

    artefact: Path
    collections: Path
    ansible: Ansible

    @property
    def folder(self) -> Path:
        """The collection's own folder."""
        return self.collections / "ansible_collections" / "granary" / "postgres"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Make the environment, build, install."""
    collections, venv, home, built = (
        tmp_path_factory.mktemp(name) for name in ("collections", "venv", "home", "built")
    )
    run([sys.executable, "-m", "venv", "--without-pip", venv], doing="making the environment")
    install(venv, ANSIBLE_CORE)
    settings = {"ANSIBLE_COLLECTIONS_PATH": str(collections)}
    ansible = Ansible(folder=home, programs=venv / "bin", settings=settings)
    done = ansible.program("ansible-galaxy", "collection", "build", "--output-path", built, ROOT)
    assert done.returncode == 0, done.stdout
    (artefact,) = built.glob("granary-postgres-*.tar.gz")
    # What it depends on is there before: here is no Galaxy to fetch it from.
    needed = collections / "ansible_collections" / "kubernetes"
    shutil.copytree(ensure("kubernetes-core") / "ansible_collections" / "kubernetes", needed)
    done = ansible.program(
        *("ansible-galaxy", "collection", "install", "--offline"), artefact, "-p", collections
    )
    assert done.returncode == 0, done.stdout
    found = Installed(artefact=artefact, collections=collections, ansible=ansible)
    install(venv, "-r", str(found.folder / "requirements.txt"))
    return found


def install(venv: Path, *what: str) -> None:
    """Install Python packages into an environment, from a cache where it has them."""
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python"]
    run(
        [*pip, "install", "--quiet", "--no-compile", *what],
        doing=f"installing {what}",
        env={"PIP_CACHE_DIR": str(cache_folder() / "pip")},
    )


def test_it_is_small_and_holds_what_users_need(installed: Installed) -> None:
    command = [sys.executable, "-m", "tests.checks.artefact", str(installed.artefact)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(installed.folder.rglob("test*"))


def test_ansible_doc_shows_every_module_and_role(installed: Installed) -> None:
    names = {path.stem for path in (installed.folder / "plugins" / "modules").glob("*.py")}
    assert names == MODULES
    wanted = [f"granary.postgres.{name}" for name in sorted(names)]
    done = installed.ansible.program("ansible-doc", "--json", *wanted)
    assert done.returncode == 0, done.stdout
    shown = json.loads(done.stdout)
    assert set(shown) == set(wanted)
    for name in wanted:
        assert shown[name]["doc"]["short_description"]
        assert shown[name]["examples"]
        shared = "kubeconfig" if name.rpartition(".")[2] in IN_KUBERNETES else "backend"
        assert shared in shown[name]["doc"]["options"], "the shared options are missing"
    for role, option in ROLES.items():
        done = installed.ansible.program("ansible-doc", "-t", "role", f"granary.postgres.{role}")
        assert done.returncode == 0, done.stdout
        assert option in done.stdout


def test_ansible_builder_finds_the_requirements(installed: Installed, ansible: Ansible) -> None:
    done = ansible.program("ansible-builder", "introspect", "--sanitize", installed.collections)
    assert done.returncode == 0, done.stdout
    found = yaml.safe_load(done.stdout.partition("---\n")[2])
    declared = yaml.safe_load((installed.folder / "meta/execution-environment.yml").read_text())
    files = declared["dependencies"]
    for kind in ("python", "system"):
        lines = (installed.folder / files[kind]).read_text(encoding="utf-8").splitlines()
        wanted = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        assert wanted
        ours = [line for line in found[kind] if "granary.postgres" in line.partition("#")[2]]
        assert [line.partition("  # from")[0].strip() for line in ours] == wanted


def played(installed: Installed, name: str, variables: dict[str, t.Any], *arguments: str) -> Run:
    """Run a playbook of the collection as users do, without an inventory."""
    quiet = {"ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0"}
    return installed.ansible.playbook(
        f"granary.postgres.{name}", *arguments, variables=variables, hosts=[], env=quiet
    )


def test_the_playbooks_run_from_there(
    installed: Installed, postgres: PostgresFactory, fresh_database: DatabaseFactory, tmp_path: Path
) -> None:
    source, target = postgres(17, auth="scram-sha-256"), postgres(18, auth="scram-sha-256")
    shop = Database(source, fresh_database(source, name="shop"))
    shop.execute(SHOP)
    place = {
        "granary_backend": {"local": {"path": str(tmp_path / "repository")}},
        "granary_password": "one for the playbooks",
    }

    def variables(server: t.Any, **more: t.Any) -> dict[str, t.Any]:
        given = {f"granary_{name}": value for name, value in login(server).items()}
        return place | given | {f"granary_{name}": value for name, value in more.items()}

    backup = variables(source, host="main", databases=["shop"], tags=["nightly"])
    checked = played(installed, "backup", backup, "--check")
    assert checked.status == 0, checked.output
    assert checked.only("Make the repository where there is none")["changed"]
    assert checked.only("Back up").outcome == "skipped"
    assert not (tmp_path / "repository").exists()

    first, second = (played(installed, "backup", backup) for dummy in range(2))
    for one in (first, second):
        assert one.status == 0, one.output
        assert one.only("Back up")["stats"]["rows"] == sum(ROWS.values())
    checked = played(installed, "backup", backup, "--check")
    assert checked.only("Back up")["snapshot"]["id"] is None
    assert first.only("Make the repository where there is none")["changed"]
    assert not second.only("Make the repository where there is none")["changed"]
    assert str(sum(ROWS.values())) in first.output

    restored = played(installed, "restore", variables(target, rename={"shop": "played"}))
    assert restored.status == 0, restored.output
    assert restored.only("Restore")["verified"]
    assert "verified: true" in restored.output or '"verified": true' in restored.output
    assert counts_of(target, "played", *ROWS) == ROWS
    drop_new_databases(target)
