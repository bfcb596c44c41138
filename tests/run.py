# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run everything that `make test` promises, whatever fails on the way, and count it.

Every nox session counts as one; of the pytest suites every test counts. The last line says
`N passed, N failed, N skipped`; the exit status is 0 if something passed and nothing failed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
WORKERS = 3  # one more than the two processors this is made for: many tests wait
UNIT = "tests/unit"
ENGINE = f"{UNIT}/plugins/module_utils"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Some tests that one pytest runs.

    ``dist`` says how xdist deals them out: single tests, or whole files where it is what a file's
    tests share that takes the time. Without it they run one after the other. ``short`` says that
    ``--long`` takes their short form, unless they are named by ``--only``. ``prefix`` is a command
    that runs pytest, or each of the workers beside each other, in a place of its own.
    """

    name: str
    paths: tuple[str, ...]
    options: tuple[str, ...] = ()
    dist: tuple[str, ...] = ()
    short: bool = False
    prefix: tuple[str, ...] = ()


def _beginning_with(folder: str, *first: str) -> tuple[str, ...]:
    """The files of tests in a folder: the longest first, so that no worker ends alone with one."""
    rest = {path.name for path in (ROOT / folder).glob("test_*.py")} - set(first)
    return tuple(f"{folder}/{name}" for name in (*first, *sorted(rest)))


TESTS = ("--dist", "worksteal")
FILES = ("--dist", "loadfile", "--no-loadscope-reorder")  # test_artefact, the longest, first

SUITES = (
    # Without Ansible and kopf: the engine's own tests show that it needs neither.
    Suite(
        name="engine",
        paths=(ENGINE,),
        options=(f"--ignore={ENGINE}/_ansible", "-p", "tests.checks.engine"),
        dist=TESTS,
    ),
    Suite(name="faces", paths=(UNIT,), options=("--ignore-glob=*/module_utils/_[!a]*",)),
    Suite(name="services", paths=("tests/services",), dist=TESTS),
    Suite(name="integration", paths=("tests/integration",), dist=FILES),
    # Their long form has a command of its own: `make test-faults`.
    Suite(name="faults", paths=("tests/faults",), dist=TESTS, short=True),
    # Every worker has a cluster of its own, so that one may stop what it likes.
    Suite(
        name="cluster",
        paths=_beginning_with("tests/cluster", "test_roles.py", "test_flow.py"),
        dist=FILES,
        prefix=(sys.executable, "-m", "tests.testbed.kube"),
    ),
)
NAMES = ("checks", *(suite.name for suite in SUITES))


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was counted so far."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def main() -> int:
    """Return 0 if something passed and nothing failed."""
    options = _options()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or NAMES:
            started = time.monotonic()
            _say(f"\n=== {name}")
            report = Path(folder) / name
            if name == "checks":
                _run_checks(options, report, tally)
            else:
                suite = next(suite for suite in SUITES if suite.name == name)
                _run_suite(suite, options, report, tally)
            _say(f"=== {name}: {time.monotonic() - started:.0f} s")
    for words, names in (("failed", tally.failed), ("skipped", tally.skipped)):
        for name in names:
            _say(f"{words}: {name}")
    _say(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    return 0 if tally.passed and not tally.failed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__)
    parser.add_argument("--long", action="store_true", help="whole matrices, not samples of them")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="these parts alone")
    parser.add_argument("--workers", type=int, default=WORKERS, help="beside each other, if safe")
    return parser.parse_args()


def _run_checks(options: argparse.Namespace, report: Path, tally: Tally) -> None:
    """All nox sessions that are default ones."""
    command = [sys.executable, "-m", "nox", "--report", str(report), "-j", str(options.workers)]
    status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    sessions = json.loads(report.read_bytes())["sessions"] if report.exists() else []
    for session in sessions:
        if session["result"] == "success":
            tally.passed += 1
        elif session["result"] == "skipped":
            tally.skipped.append(f"nox -s {session['name']}")
        else:
            tally.failed.append(f"nox -s {session['name']}")
    if status and not any(session["result"] == "failed" for session in sessions):
        tally.failed.append(f"nox ended with status {status}")


def _run_suite(suite: Suite, options: argparse.Namespace, report: Path, tally: Tally) -> None:
    command = [
        *_pytest(suite, options.workers),
        f"--junit-xml={report}",
        "--durations=20",
        *suite.paths,
    ]
    if options.long and (options.only or not suite.short):
        command += ["--long", "--pg-majors=all"]
    status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    failed_before = len(tally.failed)
    counted = _count(report, tally)
    if not counted:
        tally.failed.append(f"{suite.name}: no test ran")
    elif status and len(tally.failed) == failed_before:
        tally.failed.append(f"{suite.name}: pytest ended with status {status}")


def _pytest(suite: Suite, workers: int) -> list[str]:
    """The command with the suite's options, and with that many workers where it deals out."""
    command = [sys.executable, "-m", "pytest", *suite.options]
    if not suite.dist or workers <= 1:
        return [*suite.prefix, *command]
    if not suite.prefix:
        return [*command, "-n", str(workers), *suite.dist]
    worker = shlex.join([*suite.prefix, sys.executable])
    return [*command, "--tx", f"{workers}*popen//python={worker}", *suite.dist]


def _count(report: Path, tally: Tally) -> int:
    """Add the tests of a JUnit report to the tally and show the figures that they recorded; how
    many tests there were.
    """
    if not report.exists():
        return 0
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    for case in cases:
        name = f"{case.get('classname')}::{case.get('name')}"
        for figure in case.iter("property"):
            _say(f"{case.get('name')}: {figure.get('name')}: {figure.get('value')}")
        outcomes = {child.tag: child for child in case}
        if "failure" in outcomes or "error" in outcomes:
            tally.failed.append(name)
        elif "skipped" in outcomes:
            tally.skipped.append(f"{name}: {outcomes['skipped'].get('message')}")
        else:
            tally.passed += 1
    return len(cases)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
