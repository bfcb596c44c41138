# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the local storage asks of the kernel, seen by strace: nothing gets its name before its bytes
are on the disk, and nothing follows before the name is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import runs
from tests.faults.site import Site
from tests.fix_faults import SiteFactory
from tests.testbed.components import ensure

ROOT = Path(__file__).parents[2]
(TREE, *_OTHERS) = [path for path in sys.path if Path(path, "ansible_collections").is_dir()]
_CALLS = "write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,mkdir"
_LINE = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)\) += (?P<result>-?\d+)")
_FILE = re.compile(r"^\d+<(?P<path>[^>]*)>")
_NAMES = re.compile(r'"(?P<name>[^"]*)"')
_NAMING = frozenset(("rename", "renameat", "renameat2", "link", "linkat"))

CALLS = """
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
with open_backend(LocalSettings(path={folder!r})) as backend:
    backend.prepare()
    backend.write("data/ab/pack", b"content")
    backend.write_exclusive("config", b"content")
    backend.delete("data/ab/pack")
"""
BACKUP = """
from pathlib import Path
from tests.faults import runs
from tests.faults.site import Site
runs.back_up(Site.at(Path({folder!r}), Path({scratch!r})), "traced")
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that succeeded, and the paths that it was about, below the repository."""

    name: str
    paths: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The folder of the last path."""
        return self.paths[-1].rpartition("/")[0]


def _trace(script: str, site: Site, *options: str) -> tuple[list[Call], str]:
    """Run a script under strace; its calls below the repository's folder, and what it printed."""
    log = site.journal.path.with_name("strace.log")
    strace = str(ensure("strace") / "bin" / "strace")
    text = script.format(folder=str(site.folder), scratch=str(site.journal.path.parent))
    paths = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {TREE!r}]\n"
    done = subprocess.run(
        [
            *(strace, "-f", "-y", "-e", f"trace={_CALLS}", *options, "-o", str(log)),
            *(sys.executable, "-c", paths + text),
        ],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return [*_calls(log.read_text("utf-8", "replace"), str(site.folder))], done.stderr


def _calls(log: str, folder: str) -> t.Iterator[Call]:
    for line in log.splitlines():
        parts = _LINE.match(line)
        if parts is None or parts["result"].startswith("-"):
            continue
        file = _FILE.match(parts["rest"])
        paths = (file["path"],) if file else tuple(_NAMES.findall(parts["rest"]))
        if paths and all(path.startswith(folder) for path in paths):
            yield Call(parts["call"], tuple(path[len(folder) :] for path in paths))


def _complaints(calls: list[Call]) -> list[str]:
    """What is out of order: bytes that are not synced when they get their name, a name whose folder
    is not synced before the next name is given or an object is deleted.
    """
    found = []
    unsynced: set[str] = set()
    unsynced_folders: set[str] = set()
    for call in calls:
        if call.name in {"write", "pwrite64", "writev"}:
            unsynced.add(call.paths[0])
        elif call.name in {"fsync", "fdatasync"}:
            unsynced.discard(call.paths[0])
            unsynced_folders.discard(call.paths[0])
        elif call.name in _NAMING:
            found += [f"{call.paths[1]} was named unsynced" for dummy in unsynced & {call.paths[0]}]
            found += [f"{folder} was not synced in time" for folder in unsynced_folders]
            unsynced_folders = {call.folder}
        elif call.name == "unlink" and "-tmp-" not in call.paths[0]:
            found += [f"{folder} was not synced in time" for folder in unsynced_folders]
            unsynced_folders = {call.folder}
    return found + [f"{folder} was never synced" for folder in unsynced_folders]


def _named(calls: list[Call]) -> list[str]:
    return [call.paths[1] for call in calls if call.name in _NAMING]


def test_each_write_is_synced_then_named_then_its_folder_is_synced(sites: SiteFactory) -> None:
    site = sites("calls")
    calls, said = _trace(CALLS, site)
    assert said == ""
    assert _complaints(calls) == []
    assert _named(calls) == ["/data/ab/pack", "/config"]
    names = [call.name for call in calls if "-tmp-" in call.paths[0] or call.paths == ("",)]
    assert [name for name in names if name in {"write", "fsync", "rename", "link"}] == [
        *("fsync", "fsync"),  # of the place: it was made, and /data in it
        *("write", "fsync", "rename"),
        *("write", "fsync", "link", "fsync"),
    ]
    made = {call.paths[0] for call in calls if call.name == "mkdir"}
    synced = {call.paths[0] for call in calls if call.name == "fsync"}
    assert made == {"", "/data", "/data/ab"}
    assert made <= synced


def test_a_backup_names_packs_then_the_index_then_the_snapshot(sites: SiteFactory) -> None:
    site = sites("backup")
    runs.create(site, "creation")
    calls, said = _trace(BACKUP, site)
    assert said == ""
    assert site.journal.count("acknowledged", run="traced") == 1
    folders = [name.split("/")[1] for name in _named(calls)]
    assert folders == ["locks", *["data"] * folders.count("data"), "index", "snapshots"]
    assert folders.count("data") > 2
    # The lock is its keeper's to remove, in another process, after all that.
    assert _complaints(calls) == []


@pytest.mark.parametrize("nth", [1, 3])
def test_a_sync_that_fails_fails_the_backup(sites: SiteFactory, nth: int) -> None:
    """The kernel's own EIO, put there by strace: at the lock's sync, and at a pack's."""
    site = sites(f"eio-{nth}")
    runs.create(site, "creation")
    dummy_calls, said = _trace(BACKUP, site, "-e", f"inject=fsync:error=EIO:when={nth}+")
    assert said == ""
    assert site.journal.count("failed", run="traced", code="storage") == 1
    assert not [*site.folder.glob("snapshots/*")]
    runs.back_up(site, "afterwards")
    assert site.journal.count("acknowledged", run="afterwards") == 1
