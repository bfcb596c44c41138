# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every check of the tree that is not a test of what it does: `.venv/bin/nox`, or `nox -s NAME`.

The sessions use the tools that `make install` put into .venv. What antsibull-nox brings is set in
antsibull-nox.toml; the rest is here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import antsibull_nox
import nox

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = True
nox.options.allow_parallel = True  # each has a copy of the tree of its own

ROOT = Path(__file__).parent
CACHE = Path(os.environ.get("GRANARY_CACHE") or "/var/cache/granary") / "checks"
COLLECTION = Path("ansible_collections", "granary", "postgres")
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
GALAXY_IMPORTER = ("galaxy-importer==0.4.44", "ansible-core==2.19.14")

# The tools beside this nox come first.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

antsibull_nox.load_antsibull_nox_toml()  # license-check, extra-checks


@nox.session
def ruff(session: nox.Session) -> None:
    """Check format and code of all Python files."""
    session.run("ruff", "format", "--check", "--quiet", ".")
    session.run("ruff", "check", "--quiet", ".")


@nox.session
def mypy(session: nox.Session) -> None:
    """Check the types, strictly."""
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports run downward only."""
    session.run("lint-imports", "--cache-dir", str(CACHE / "imports"))


@nox.session
def engine(session: nox.Session) -> None:
    """Check that the engine can be imported without Ansible, kopf and every third-party library."""
    session.run("python", "-m", "tests.checks.engine")


@nox.session
def house(session: nox.Session) -> None:
    """Check sizes, headers and names of the files; nothing is silenced without a reason."""
    session.run("python", "-m", "tests.checks.house")


@nox.session
def errors(session: nox.Session) -> None:
    """Check that every error has a code of its own and docs/errors.md is up to date."""
    session.run("python", "-m", "tests.checks.errors_page", "--check")


@nox.session(name="errors-page", default=False)
def errors_page(session: nox.Session) -> None:
    """Write docs/errors.md anew."""
    session.run("python", "-m", "tests.checks.errors_page")


@nox.session
def docs(session: nox.Session) -> None:
    """Check the documentation of modules, roles and playbooks."""
    session.run("python", "-m", "tests.checks.playbooks_page")
    tree = _copy_tree(session)
    session.run(
        *("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck"),
        *("--validate-collection-refs", "self", "--check-extra-docs-refs", str(tree / COLLECTION)),
        env={"ANSIBLE_COLLECTIONS_PATH": str(tree)},
    )


@nox.session
def changelog(session: nox.Session) -> None:
    """Check the changelog and its fragments."""
    session.run("antsibull-changelog", "lint")


@nox.session(name="yaml")
def yaml_files(session: nox.Session) -> None:
    """Check the YAML files."""
    with session.chdir(_copy_tree(session) / COLLECTION):
        session.run("yamllint", "--strict", ".")


@nox.session
def spelling(session: nox.Session) -> None:
    """Check the spelling."""
    with session.chdir(_copy_tree(session) / COLLECTION):
        session.run("codespell")


@nox.session(name="ansible-lint")
def ansible_lint(session: nox.Session) -> None:
    """Check roles, playbooks and metadata against the production profile."""
    with session.chdir(_copy_tree(session) / COLLECTION):
        session.run("ansible-lint", "--offline", "--strict", "-q", env={"NO_COLOR": "1"})


@nox.session(name="galaxy-importer", venv_backend="venv", reuse_venv=True)
def galaxy_importer(session: nox.Session) -> None:
    """Build the artefact, see that no development file is in it, and import it as Galaxy would."""
    # Its attrs is older than the one nox needs: hence an environment of its own.
    installed = Path(session.virtualenv.location) / f"installed-{'-'.join(GALAXY_IMPORTER)}"
    if not installed.exists():
        session.install("--quiet", *GALAXY_IMPORTER)
        installed.touch()
    collection = _copy_tree(session) / COLLECTION
    with tempfile.TemporaryDirectory() as folder:
        session.run(
            *("ansible-galaxy", "collection", "build", "--output-path", folder, str(collection)),
            silent=True,
        )
        (artefact,) = Path(folder).glob("*.tar.gz")
        session.run(sys.executable, "-m", "tests.checks.artefact", str(artefact), external=True)
        with session.chdir(folder):
            log = session.run("python", "-m", "galaxy_importer.main", artefact.name, silent=True)
    complaints = [line for line in str(log).splitlines() if line.startswith(("ERROR", "WARNING"))]
    if complaints:
        session.error("\n".join(complaints))


@nox.session(name="execution-environment")
def execution_environment(session: nox.Session) -> None:
    """See that ansible-builder finds what the modules need."""
    tree = _copy_tree(session)
    found = session.run("ansible-builder", "introspect", "--sanitize", str(tree), silent=True)
    lines = [*_lines("requirements.txt"), *_lines("bindep.txt")]
    missing = [line for line in lines if line and f"{line}  # from" not in str(found)]
    if missing:
        session.error(f"ansible-builder does not find: {', '.join(missing)}")


@nox.session
def sanity(session: nox.Session) -> None:
    """Run ansible-test sanity, without any ignore file."""
    if list(ROOT.glob("tests/sanity/ignore*")):
        session.error("tests/sanity holds an ignore file")
    _ansible_test(session, "sanity", "--requirements")


@nox.session
def units(session: nox.Session) -> None:
    """Run the unit tests as ansible-test does."""
    _ansible_test(session, "units")


def _ansible_test(session: nox.Session, *command: str) -> None:
    """Run ansible-test in a copy of the tree, at the kind of place that it asks for."""
    collection = _copy_tree(session) / COLLECTION
    home = CACHE / f"home-{session.name}"  # its environments: kept, and not in the user's home
    stand_in = home / ".ansible/test/cache/get_pip_24_2.py"
    stand_in.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "tests/checks/get_pip.py", stand_in)
    # ansible-test hands no environment down: what pip was told by it goes where pip looks as well.
    told = {name[4:]: value for name, value in os.environ.items() if name.startswith("PIP_")}
    settings = [f"{name.lower().replace('_', '-')} = {told[name]}\n" for name in sorted(told)]
    (home / ".config/pip").mkdir(parents=True, exist_ok=True)
    (home / ".config/pip/pip.conf").write_text("[global]\n" + "".join(settings), encoding="utf-8")
    with session.chdir(collection):
        session.run(
            *("ansible-test", *command, "--python", PYTHON_VERSION, "--color", "no"),
            *session.posargs,
            env={"HOME": str(home)},
        )


def _copy_tree(session: nox.Session) -> Path:
    """Bring this session's copy of all tracked files up to date; give the folder that holds it."""
    tree = CACHE / "trees" / session.name
    collection = tree / COLLECTION
    wanted = {name for name in _tracked() if (ROOT / name).is_file()}
    collection.mkdir(parents=True, exist_ok=True)
    for path in sorted(collection.rglob("*"), reverse=True):
        name = str(path.relative_to(collection))
        if name == ".git" or name.startswith(".git/"):
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif name not in wanted:
            path.unlink()
    for name in wanted:
        target = collection / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != (ROOT / name).read_bytes():
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return tree


def _lines(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]


def _tracked() -> list[str]:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]
