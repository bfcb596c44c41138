# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""An open repository: the storage, the key and the settings together, and what is made from them.

The order of a backup (lock, listing, index, packs, index files, snapshot) is the workflow's; this
file only makes each step easy to call rightly.
"""

from __future__ import annotations

import contextlib
import typing as t

from .._core.errors import RepositoryDamaged
from .._core.events import SilentEvents
from .._core.units import plural
from .._storage.registry import open_backend
from .config import open_config
from .creation import create_repository
from .index_load import load_index
from .locks import RepositoryLock
from .model import MAX_VERSION, Compression
from .reader import BlobReader
from .saver import DEFAULT_PACK_BYTES, BlobSaver
from .unpacked import parse_id

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._core.events import Events
    from .._core.redaction import Secret
    from .._storage.base import Backend
    from .._storage.model import BackendSettings
    from .config import Config
    from .crypto import MasterKey
    from .index import Index
    from .index_load import IndexReport
    from .model import PackRecord
    from .shared_ids import SharedIds
    from .stale_locks import Witness

DATA = "data"


class Repository:
    """A repository; it belongs to the process that opened it, as its backend does."""

    def __init__(
        self,
        settings: BackendSettings,
        *,
        backend: Backend,
        config: Config,
        key: MasterKey,
        events: Events,
        witness: Witness | None = None,
    ) -> None:
        self.settings = settings
        self.backend = backend
        self.config = config
        self.key = key
        self.events = events
        self.witness = witness

    @classmethod
    def open(
        cls,
        settings: BackendSettings,
        passwords: Sequence[Secret],
        *,
        events: Events | None = None,
        witness: Witness | None = None,
    ) -> Repository:
        """Open a repository with the first password that fits one of its keys; ``witness`` is asked
        about locks that are in the way.

        Raises ``RepositoryMissing``, ``WrongPassword``, ``RepositoryDamaged``, or what the storage
        raises.
        """
        heard = events or SilentEvents()
        backend = open_backend(settings, heard)
        with _closed_on_error(backend):
            config, key = open_config(backend, passwords)
        return cls(settings, backend=backend, config=config, key=key, events=heard, witness=witness)

    @classmethod
    def create(
        cls,
        settings: BackendSettings,
        passwords: Sequence[Secret],
        *,
        create_bucket: bool = False,
        version: int = MAX_VERSION,
        events: Events | None = None,
    ) -> tuple[Repository, bool]:
        """Make a repository whose key opens with the first password, or open the one that is there
        with any of them.

        Return it and whether this call made it: of many at once one did, although another may have
        made its folder or bucket.
        """
        heard = events or SilentEvents()
        backend = open_backend(settings, heard)
        with _closed_on_error(backend):
            backend.prepare(create_bucket=create_bucket)
            config, key, created = create_repository(backend, passwords, version=version)
        repository = cls(settings, backend=backend, config=config, key=key, events=heard)
        return repository, created

    @property
    def version(self) -> int:
        """The version of the restic format, 1 or 2."""
        return self.config.version

    @property
    def location(self) -> str:
        """Where it is, for people."""
        return self.backend.location

    def reopen(self) -> Repository:
        """Return this repository with a backend of its own, for a process that was just forked."""
        return Repository(
            self.settings,
            backend=open_backend(self.settings, self.events),
            config=self.config,
            key=self.key,
            events=self.events,
            witness=self.witness,
        )

    def list_packs(self) -> dict[bytes, int]:
        """Return the size in bytes of every pack in the storage, by id."""
        packs = {}
        for entry in self.backend.entries(f"{DATA}/"):
            pack_id = parse_id(entry.name.rpartition("/")[2])
            if pack_id is not None:
                packs[pack_id] = entry.size
        return packs

    def load_index(self) -> tuple[Index, IndexReport]:
        """List the packs, then read the index against that list, as a writer needs it; the lock
        comes before.

        Blobs of packs that are missing or of another size are unknown, and a warning says so; packs
        that no index names are known, and are in the report, to be indexed. Raises
        ``RepositoryDamaged`` for an index file that cannot be read.
        """
        index, report = load_index(self.backend, self.key, known_packs=self.list_packs())
        self._warn(report)
        return index, report

    def load_index_for_reading(self) -> Index:
        """The same for a reader, who goes on, warned, without index files that cannot be read."""
        index, report = load_index(
            self.backend, self.key, known_packs=self.list_packs(), tolerant=True
        )
        self._warn(report)
        return index

    def _warn(self, report: IndexReport) -> None:
        for file in report.unreadable_files:
            self.events.warn(
                f"{file.name} in {self.location} cannot be used: {file.reason.rstrip('.')}; make "
                "the index anew with repository_check and repair: true."
            )
        for packs, what in (
            (report.missing_packs, "missing"),
            (report.resized_packs, "of another size than the index says"),
        ):
            if packs:
                self.events.warn(
                    f"{plural(len(packs), 'pack')} of {self.location} "
                    f"{'is' if len(packs) == 1 else 'are'} {what}, the first is {packs[0].hex()}: "
                    "snapshots that need what was in there cannot be restored whole; run "
                    "repository_check to see which ones, and what to do."
                )

    def reader(self, index: Index) -> BlobReader:
        """Return a reader of blobs for the calling process."""
        return BlobReader(key=self.key, backend=self.backend, index=index)

    def saver(
        self,
        index: Index,
        *,
        shared: SharedIds | None = None,
        compression: Compression = Compression.AUTO,
        pack_size: int = DEFAULT_PACK_BYTES,
        on_pack: Callable[[PackRecord], None],
        guard: Callable[[], None],
    ) -> BlobSaver:
        """Return a saver of blobs for the calling process; ``guard`` is a lock's ``check``."""
        return BlobSaver(
            key=self.key,
            version=self.version,
            backend=self.backend,
            index=index,
            shared=shared,
            compression=compression,
            pack_size=pack_size,
            uploads=self.backend.writes_beside,
            on_pack=on_pack,
            guard=guard,
        )

    def lock(self, *, exclusive: bool = False, wait_seconds: float = 0) -> RepositoryLock:
        """Return a lock, not yet acquired (a context manager), for a writer."""
        return RepositoryLock(self, exclusive=exclusive, wait_seconds=wait_seconds)

    def lock_for_reading(
        self, *, wait_seconds: float = 0, take: bool = True
    ) -> contextlib.AbstractContextManager[object]:
        """Return the lock of a reader, not yet acquired, which is done without where none can be
        written.

        With ``take`` false (check mode) no lock is taken and none is looked for.
        """
        if not take:
            return contextlib.nullcontext()
        return RepositoryLock(self, wait_seconds=wait_seconds, optional=True)

    def close(self) -> None:
        """Let go of the storage's connections; may be repeated."""
        self.backend.close()

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@contextlib.contextmanager
def _closed_on_error(backend: Backend) -> t.Iterator[None]:
    try:
        yield
    except BaseException as exc:
        backend.close()
        if isinstance(exc, RepositoryDamaged):
            exc.advice = ""  # what cannot be opened cannot be checked
        raise
