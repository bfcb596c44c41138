# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network, mount and pid namespaces that one command runs in, and that take all with them.

When the command ends, or we are killed, the kernel ends every process in there, and removes their
mounts, bridges, firewall tables and network settings. What it leaves, cgroups and files, is removed
by us, or by the next one that starts if we were killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.granary.postgres.operator.image.build import build_image
from tests.testbed import folders
from tests.testbed.components import ensure, names_of

from . import cgroups

KUBECONFIG = "GRANARY_TEST_KUBECONFIG"
"""Names a cluster of somebody else's; then nothing is started."""

FOLDER = "GRANARY_TEST_NAMESPACES"
"""Set inside: the folder that all files lie in, as it is called outside. Its name is that of the
cgroup that pods run in.
"""

PLACE = Path("/run/granary")
"""The same folder inside: short, as paths of sockets may not be longer than 107 bytes."""

ROOT = Path(__file__).parents[3]


def run_inside(command: Sequence[str]) -> int:
    """Run a command in new namespaces and return its status.

    Every component is installed and the image built first: in there is no other network than
    the cluster's.
    """
    if os.environ.get(KUBECONFIG):
        return subprocess.run(command, check=False).returncode
    for name in names_of("test"):
        ensure(name)
    build_image()
    folder = folders.make_scratch()
    cgroups.remove_those_of_the_dead()
    try:
        cgroups.make(folder.name)
        return _run(command, folder)
    finally:
        _keep_logs(folder)
        cgroups.remove(folder.name)
        folders.remove(folder)


def _run(command: Sequence[str], folder: Path) -> int:
    separate = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    environment = {
        **os.environ,
        FOLDER: str(folder),
        # Scratch folders name their owner by a pid, which means another process outside.
        "GRANARY_TEST_DIR": str(PLACE),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    first = [sys.executable, "-m", "tests.testbed.kube.inside", *command]
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "--", *separate, "--", *first], env=environment
    )
    with _ignoring_interrupts():  # the command gets them too, and we wait for its end
        return child.wait()


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _keep_logs(folder: Path) -> None:
    """What tests that failed kept goes where it stays."""
    kept = folder / "granary-test-logs"
    if kept.is_dir():
        shutil.copytree(kept, folders.base() / kept.name, dirs_exist_ok=True)
