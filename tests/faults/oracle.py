# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be true of a repository, whatever happened to the runs that wrote it.

The oracle knows of each run whether it was acknowledged, failed, or is unknown (it was killed, or
was told that the outcome is unknown), from the journal alone.
"""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Iterable

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    ObjectMissing,
    ObjectTooShort,
    RepositoryDamaged,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_load import (
    load_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    SNAPSHOTS,
    Snapshot,
    list_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.tree import walk
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import list_ids
from tests.faults.journal import Line
from tests.faults.made_files import files_of_run, run_of_files
from tests.faults.site import Site
from tests.testbed.errors import TestBedError
from tests.testbed.restic import VERSIONS

Outcome = t.Literal["acknowledged", "failed", "unknown"]


class Oracle:
    """What the lines of a journal promise."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._forgotten: set[str] = set()
        self._snapshots: dict[str, str] = {}
        for line in lines:
            self._take(line)

    @classmethod
    def of(cls, site: Site) -> Oracle:
        """What the site's journal promises up to now."""
        return cls(site.journal.lines())

    def _take(self, line: Line) -> None:
        run = line.fields.get("run", "")
        if line.word == "begun":
            self.outcomes[run] = "unknown"
        elif line.word == "acknowledged":
            self.outcomes[run] = "acknowledged"
            self._snapshots[run] = line["snapshot"]
        elif line.word in {"failed", "refused"} and run in self.outcomes:
            self.outcomes[run] = "failed"
        elif line.word == "forgetting":
            self._forgotten |= set(line["snapshots"])

    def promised(self) -> set[str]:
        """The runs whose snapshots must be there."""
        return {
            run
            for run, outcome in self.outcomes.items()
            if outcome == "acknowledged" and self._snapshots[run] not in self._forgotten
        }

    def complaints(self, site: Site) -> list[str]:
        """What is not as it must be: every snapshot that is visible is whole and equal, every
        acknowledged one is visible, none of a run that failed is.
        """
        try:
            with site.open() as repository:
                return [*self._complaints(repository)]
        except GranaryError as exc:
            return [f"the repository cannot be opened and read: {exc.message}"]

    def _complaints(self, repository: Repository) -> t.Iterator[str]:
        snapshots = list_snapshots(repository)
        unreadable = set(list_ids(repository.backend, SNAPSHOTS)) - {one.id for one in snapshots}
        for snapshot_id in unreadable:
            yield f"the snapshot {snapshot_id.hex()} cannot be read"
        # The index as restic sees it: packs that no index file names are not there.
        index, dummy_report = load_index(repository.backend, repository.key)
        reader = repository.reader(index)
        seen: set[str] = set()
        for snapshot in snapshots:
            found: dict[str, bytes] = {}
            try:
                for path, node in walk(reader, snapshot.tree):
                    if node.kind == "file":
                        found[path] = b"".join(reader.stream(node.content))
            except GranaryError as exc:
                yield f"{_name(snapshot)} cannot be restored: {exc.message}"
                continue
            run = run_of_files(found)
            seen.add(run)
            yield from self._about(snapshot, run, found)
        for run in sorted(self.promised() - seen):
            yield f"the snapshot of {run}, which was acknowledged, is not there"

    def _about(self, snapshot: Snapshot, run: str, found: dict[str, bytes]) -> t.Iterator[str]:
        if not run:
            return  # a snapshot that stock restic made
        if found != files_of_run(run):
            yield f"{_name(snapshot)} does not hold what {run} stored"
        if self.outcomes.get(run) == "failed":
            yield f"{_name(snapshot)} is of {run}, which was told that it failed"


def _name(snapshot: Snapshot) -> str:
    return f"the snapshot {snapshot.id.hex()[:8]} ({snapshot.program_version})"


def restic_complaints(site: Site, *versions: str) -> list[str]:
    """What `restic check` of each release says, without a lock of its own: a dead run's lock may
    still lie there.
    """
    complaints = []
    for version in versions or VERSIONS:
        try:
            site.restic(version).run("check", "--no-lock", "--no-cache")
        except (GranaryError, TestBedError) as exc:
            complaints.append(str(exc))
    return complaints


def readable_blobs(site: Site) -> frozenset[bytes]:
    """The ids of all blobs that can be read whole: those that the index names, whatever the pack
    looks like, and those of whole packs that it does not name.
    """
    found: set[bytes] = set()
    with site.open() as repository:
        backend, key = repository.backend, repository.key
        for packs in (None, repository.list_packs()):
            index, dummy_report = load_index(backend, key, known_packs=packs, tolerant=True)
            reader = repository.reader(index)
            for record in index.records():
                with contextlib.suppress(RepositoryDamaged, ObjectMissing, ObjectTooShort):
                    reader.read(BlobKind(record.kind), record.id)
                    found.add(record.id)
    return frozenset(found)
