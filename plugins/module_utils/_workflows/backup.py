# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""A backup from beginning to end; whoever calls it gets a snapshot that is whole, or an error that
says why not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import typing as t

from .._core.errors import ConfigError, OutcomeUnknown, StorageUnavailable
from .._core.units import KIB, MIB
from .._postgres.layout import PLAIN_DUMP, ROOT
from .._repository.repository import Repository
from .backup_history import BackupHistory
from .backup_plan import Survey, plan_databases, survey_server
from .backup_run import BackupRun, snapshot_tags
from .parallel_backup import ParallelBackup
from .plain_backup import PlainBackup, survey_plain
from .requests import BackupResult, SnapshotSummary, Stats
from .stop_signals import StopSignals

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core.events import Events
    from .plain_backup import PlainSurvey
    from .requests import BackupRequest

_LEAST_PACK_BYTES = 64 * KIB
_MOST_PACK_BYTES = 128 * MIB


def run_backup(request: BackupRequest, *, events: Events, check_mode: bool = False) -> BackupResult:
    """Back up, and return the snapshot.

    In check mode everything that can be found out beforehand is, and nothing is written; the result
    has the same shape, with no snapshot id, and the sizes of the tables in place of bytes read.

    Raises the errors of ``_core.errors``; ``OutcomeUnknown`` is neither success nor failure, every
    other one means that there is no snapshot.
    """
    check_request(request)
    request = _named(request)
    access = request.repository
    with (
        StopSignals() as signals,
        Repository.open(
            access.settings, access.passwords, events=events, witness=access.witness
        ) as repository,
    ):
        # Before the lock, so that a wrong login writes nothing at all.
        plain = request.format == "plain"
        survey = survey_plain(request) if plain else survey_server(request, events=events)
        if check_mode:
            return _predict(request, survey, repository, events)
        with _settled(), repository.lock(wait_seconds=access.lock_wait_seconds) as lock:
            run = BackupRun(
                request, repository=repository, lock=lock, signals=signals, events=events
            )
            if isinstance(survey, Survey):
                return ParallelBackup(run, survey).back_up()
            return PlainBackup(run, survey).back_up()


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """Turn an unknown outcome into a failure, unless it is that of the snapshot itself.

    What else may still land in the storage is named by no snapshot.
    """
    try:
        yield
    except OutcomeUnknown as exc:
        if "snapshot" in exc.details:
            raise
        raise StorageUnavailable(
            f"The backup was stopped, there is no snapshot: {exc.message}", **exc.details
        ) from exc


def _named(request: BackupRequest) -> BackupRequest:
    """Give the run a name of its own on the server, so that it can tell who waits for it from who
    waits for another backup.
    """
    name = f"{request.connection.application_name} {secrets.token_hex(4)}"
    connection = dataclasses.replace(request.connection, application_name=name)
    return dataclasses.replace(request, connection=connection)


def check_request(request: BackupRequest) -> None:
    """Raise ``ConfigError`` for options that cannot work, before anything is touched."""
    if not request.host or not request.host.isprintable():
        raise ConfigError(
            "host is empty or holds control characters; give it a name of printable characters."
        )
    if any(not tag or "," in tag for tag in request.tags):
        raise ConfigError("A tag can be neither empty nor hold a comma; correct tags.")
    if request.databases is not None and not request.databases:
        raise ConfigError("databases is an empty list; leave it out to back up all of them.")
    if request.format == "plain":
        _check_plain(request)
    elif request.dump_args:
        raise ConfigError(
            "dump_args work with format=plain alone; leave them out, or set format=plain."
        )
    if not _LEAST_PACK_BYTES <= request.pack_size <= _MOST_PACK_BYTES:
        raise ConfigError(
            f"pack_size is {request.pack_size} bytes; it must be from 64 KiB to 128 MiB."
        )
    for name in ("lock_timeout", "segment_threshold", "yield_after"):
        value = getattr(request, name)
        if value is not None and value < 0:
            raise ConfigError(f"{name} is {value}; give 0 or more.")


def _check_plain(request: BackupRequest) -> None:
    if request.exclude_tables:
        raise ConfigError(
            "exclude_tables works with format=parallel alone; with format=plain give "
            "--exclude-table-data in dump_args."
        )
    if request.yield_after is not None:
        raise ConfigError("yield_after works with format=parallel alone; leave it out.")
    if request.skip_unchanged:
        raise ConfigError("skip_unchanged works with format=parallel alone; leave it out.")
    if request.databases is not None and len(request.databases) > 1:
        raise ConfigError(
            "format=plain writes one script: name one database, or none for all of the server."
        )


def _predict(
    request: BackupRequest, survey: Survey | PlainSurvey, repository: Repository, events: Events
) -> BackupResult:
    """Return what the backup would make: everything up to the first row, without the repository's
    lock.
    """
    index = repository.load_index_for_reading()
    history = BackupHistory(repository, repository.reader(index), host=request.host, events=events)
    history.check_system(survey.server.system_identifier, new_system=request.new_system)
    history.next_time()
    if isinstance(survey, Survey):
        path, stats = ROOT, _predict_tables(request, survey, history, events)
    else:
        path, stats = PLAIN_DUMP, Stats(databases=survey.databases)
    return BackupResult(
        snapshot=SnapshotSummary(
            id=None, time=None, host=request.host, paths=(path,), tags=snapshot_tags(request)
        ),
        stats=stats,
    )


def _predict_tables(
    request: BackupRequest, survey: Survey, history: BackupHistory, events: Events
) -> Stats:
    tables = size_bytes = 0
    for plan in plan_databases(request, survey, history, events=events):
        locked = plan.lock_tables()
        with contextlib.closing(locked.connection):
            choice = plan.choose(locked.tables)
        tables += len(choice.taken_over) + len(choice.dumped) + len(choice.excluded)
        size_bytes += sum(table.size_bytes for table in (*choice.taken_over, *choice.dumped))
    return Stats(databases=len(survey.databases), tables=tables, read_bytes=size_bytes)
