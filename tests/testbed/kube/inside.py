# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first process in the namespaces: makes them fit for a cluster, runs one command, reaps.

It may change whatever it likes of mounts and network: all of that ends with it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from pathlib import Path

from tests.testbed.errors import TestBedError
from tests.testbed.process import run

from .namespaces import FOLDER, PLACE
from .network import make_bridge

WRITTEN_FOLDERS = ("/etc", "/var/lib", "/var/log")
"""Folders in which kubelet, containerd and CNI plugins keep files at fixed places."""

# The kubelet sets these for the whole machine: it finds them set, in files that are ours.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


_CLONE_NEWNS = 0x00020000  # linux/sched.h


def main() -> int:
    """Run the command and return its status, once all it started can be ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _leave_chroot()
        _mount(Path(os.environ[FOLDER]))
        make_bridge()
    except TestBedError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return _run(sys.argv[1:])


def _run(command: list[str]) -> int:
    """Run it; orphans become our children, so we wait for them as well."""
    program = shutil.which(command[0])
    if program is None:
        sys.stderr.write(f"{command[0]}: not found\n")
        return 127
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.execv(program, command)
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status) % 256


def _leave_chroot() -> None:
    """Where we are in a chroot, make that folder the root of the mount namespace.

    Who enters a pod's namespaces, as `kubectl exec` does, is put at their root: in a chroot that
    would be the whole machine's.
    """
    ours = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    where = Path.cwd()
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/mnt").open("rb") as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNS):
            raise TestBedError(f"entering our own mounts failed: {os.strerror(ctypes.get_errno())}")
    if not os.path.samestat(os.stat("/"), os.fstat(ours)):
        os.fchdir(ours)
        run(["mount", "--move", ".", "/"], doing="making the folder of a chroot the root")
        os.chroot(".")
    os.close(ours)
    os.chdir(where)


def _mount(folder: Path) -> None:
    run(["mount", "--make-rshared", "/"], doing="sharing mounts with containers")
    for place in WRITTEN_FOLDERS:
        upper, work = (folder / kind / place.strip("/") for kind in ("upper", "work"))
        upper.mkdir(parents=True)
        work.mkdir(parents=True)
        layers = f"lowerdir={place},upperdir={upper},workdir={work}"
        run(["mount", "-t", "overlay", "overlay", "-o", layers, place], doing=f"covering {place}")
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], doing="covering /run")
    Path("/run/netns").mkdir()
    Path("/run/lock").mkdir(mode=0o1777)
    PLACE.mkdir()
    run(["mount", "--bind", folder, PLACE], doing=f"showing our folder as {PLACE}")
    for name, value in KERNEL_SETTINGS.items():
        stand_in = folder / "kernel" / name
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(f"{value}\n", encoding="utf-8")
        run(["mount", "--bind", stand_in, f"/proc/sys/{name}"], doing=f"covering {name}")


if __name__ == "__main__":
    sys.exit(main())
