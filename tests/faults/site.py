# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a scenario plays: a repository's place, the journal of all that is done there, and children
that do it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    OutcomeUnknown,
    RepositoryLocked,
    WrongPassword,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.repository import (
    Repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    RepositoryAccess,
)
from tests.faults.journal import Journal
from tests.fix_repository import PASSWORD, Place
from tests.testbed.restic import Restic
from tests.testbed.s3 import Bucket

NEW_PASSWORD = "battery staple"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One place with its journal; `lock_wait` in seconds for all runs."""

    place: Place
    journal: Journal
    pack_size: int = 16 * 1024
    uploads: int = 0
    lock_wait: float = 0
    version: int = 2

    @classmethod
    def at(cls, where: Path | Bucket, scratch: Path, **more: t.Any) -> Site:
        """A site whose journal lies in `scratch`."""
        scratch.mkdir(parents=True, exist_ok=True)
        place = Place(where=where, cache_dir=scratch / "restic-cache")
        return cls(place=place, journal=Journal(scratch / "journal"), **more)

    @property
    def folder(self) -> Path:
        """The folder of a local place."""
        assert isinstance(self.place.where, Path)
        return self.place.where

    def open(self) -> Repository:
        """Open it with any password that may be right."""
        passwords = [Secret(PASSWORD), Secret(NEW_PASSWORD)]
        return Repository.open(self.place.settings, passwords, events=RecordedEvents())

    def access(self, password: str = PASSWORD) -> RepositoryAccess:
        """What a workflow is told of the place."""
        return RepositoryAccess(
            settings=self.place.settings,
            passwords=(Secret(password),),
            lock_wait_seconds=int(self.lock_wait),
        )

    def password(self) -> str:
        """The password that opens it; the first of both where both do."""
        for password in (PASSWORD, NEW_PASSWORD):
            with contextlib.suppress(WrongPassword):
                self.place.open(password).close()
                return password
        raise WrongPassword("Neither the old nor the new password opens the repository.")

    def restic(self, version: str) -> Restic:
        """Stock restic on it, with a password that opens it."""
        return replace(self.place.restic(version), password=self.password())

    @contextlib.contextmanager
    def told(self, run: str, word: t.Literal["acknowledged", "done"] = "done") -> Iterator[Told]:
        """Journal what the caller of a run is told; errors that the engine knows end here."""
        told = Told()
        try:
            yield told
        except RepositoryLocked:
            self.journal.append("refused", run=run)
        except OutcomeUnknown as exc:
            # Neither acknowledged nor failed: exactly what its caller is told.
            self.journal.append("struck", run=run, unknown=exc.message)
        except GranaryError as exc:
            self.journal.append("failed", run=run, code=exc.code, error=exc.message)
        else:
            self.journal.append(word, run=run, **told.fields)


class Told:
    """What a run found, for its line in the journal."""

    def __init__(self) -> None:
        self.fields: dict[str, t.Any] = {}


class Child:
    """A process forked from the test that does one thing, in a process group of its own."""

    def __init__(self, action: Callable[[], object]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(action)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(self.pid, self.pid)
        self._status: int | None = None

    @staticmethod
    def _live(action: Callable[[], object]) -> t.NoReturn:
        status = 1
        try:
            os.setpgid(0, 0)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            action()
            status = 0
        except BaseException:  # nothing of the test may go on in the child
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def wait(self) -> int:
        """Wait for its end; its exit status, or the signal that ended it as a negative number."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def ended_or_stopped(self) -> bool:
        """Wait until it has ended or is stopped; whether it has ended."""
        if self._status is None:
            dummy, status = os.waitpid(self.pid, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                return False
            self._status = os.waitstatus_to_exitcode(status)
        return True

    def group_ended(self) -> bool:
        """Whether nothing of its group runs any more."""
        return not any(_group_of(process) == self.pid for process in Path("/proc").glob("[0-9]*"))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _group_of(process: Path) -> int:
    """The process group of a process, given its folder of /proc; 0 if it has ended."""
    try:
        stat = (process / "stat").read_text("utf-8", "replace")
        state, dummy, group = stat.rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return 0
    return 0 if state in "ZX" else int(group)


def in_child(action: Callable[[], object]) -> int:
    """Do something in a process of its own and wait for it; its exit status."""
    return Child(action).wait()
