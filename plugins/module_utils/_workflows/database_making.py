# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The database that a restore goes into: claimed, made, marked; in the end finished and unmarked.

What is there is dropped only when what takes its place could be made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
import zlib

from .._core.errors import GranaryError, RestoreFailed, TargetNotEmpty
from .._postgres.connection import connect
from .._postgres.database_definition import create_statements, early_statements, finish_statements
from .._postgres.quoting import SessionText
from .._postgres.session import execute, prepare_restore_session, session_text
from .._postgres.target import (
    claim_database,
    drop_database,
    end_sessions,
    is_empty,
    mark_restoring,
    read_target,
    rename_database,
    unmark_restoring,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._postgres.connection import Connection
    from .._postgres.manifest import DatabaseDefinition
    from .restore_database import RestoreContext
    from .restore_plan import DatabasePlan


@contextlib.contextmanager
def claimed(context: RestoreContext, target: str) -> Iterator[None]:
    """Keep other restores out of a database meanwhile.

    Raises ``RestoreFailed`` when one is in it.
    """
    with contextlib.closing(context.maintenance(target)) as conn:
        # The session is idle as long as the restore takes.
        prepare_restore_session(conn, "UTF8")
        if not claim_database(conn, target):
            raise RestoreFailed(
                f"Another restore into database {target!r} is running; wait for its end, or give "
                "another name by rename."
            )
        yield


def not_whole(database: str) -> str:
    """Return what a user is told when a restore into a database of its own has failed."""
    return (
        f"Database {database!r} is not whole: it carries the setting granary.restoring until a "
        "restore comes to its end. The same restore may be made again."
    )


def refuse_unknown_providers(plans: Iterable[DatabasePlan], target_major: int) -> None:
    """Raise ``ServerUnsupported`` when the server cannot make one of the databases."""
    for plan in plans:
        if plan.action in {"create", "replace"}:
            definition = plan.source.definition
            create_statements(definition, plan.target, target_major, text=SessionText("UTF8"))


def make_database(context: RestoreContext, plan: DatabasePlan) -> None:
    """Have the database of a plan there, empty, with its rights, and marked."""
    with contextlib.closing(context.maintenance(plan.target)) as conn:
        if plan.action == "fill":
            _fill(context, plan, conn)
        else:
            _create(context, plan, conn)


def _fill(context: RestoreContext, plan: DatabasePlan, conn: Connection) -> None:
    mark_restoring(conn, plan.target, context.source.snapshot.id.hex())
    with contextlib.closing(connect(context.settings, plan.target)) as there:
        still_empty = is_empty(there)
    if not still_empty:
        unmark_restoring(conn, plan.target)
        raise TargetNotEmpty(
            f"Database {plan.target!r} was empty and is not any more; use clean to drop it and "
            "make it anew, or give another name by rename."
        )
    definition = _fitting(context, plan.source.definition, conn)
    text = session_text(conn)
    _run(conn, early_statements(definition, plan.target, text, context.request.no_privileges), plan)


def _create(context: RestoreContext, plan: DatabasePlan, conn: Connection) -> None:
    """Make the database under a passing name, then put it where it belongs."""
    passing = f"granary_{zlib.crc32(plan.target.encode('utf-8', 'surrogateescape')):08x}"
    if passing in read_target(conn).databases:
        # A restore was killed between two of these statements.
        drop_database(conn, passing)
    request = context.request
    statements = create_statements(
        _fitting(context, plan.source.definition, conn),
        passing,
        context.facts.major,
        text=session_text(conn),
        no_owner=request.no_owner,
        no_privileges=request.no_privileges,
        no_tablespaces=request.no_tablespaces,
    )
    try:
        _run(conn, statements[:1], plan)
        mark_restoring(conn, passing, context.source.snapshot.id.hex())
        _run(conn, statements[1:], plan)
        if plan.action == "replace":
            _drop(context, plan.target, conn)
        rename_database(conn, passing, plan.target)
    except GranaryError:
        with contextlib.suppress(GranaryError):
            drop_database(conn, passing)
        raise


def _drop(context: RestoreContext, target: str, conn: Connection) -> None:
    there = read_target(conn).databases.get(target)
    if there is None:
        return
    if there.restoring is not None:
        # No restore is in it but this one: what is left of a killed one may be busy for long.
        end_sessions(conn, target)
    elif not context.request.clean:
        raise TargetNotEmpty(
            f"Database {target!r} carried the mark of a restore and is whole by now; use clean to "
            "drop it and make it anew, or give another name by rename."
        )
    drop_database(conn, target)


def _run(conn: Connection, statements: list[bytes], plan: DatabasePlan) -> None:
    for statement in statements:
        execute(conn, statement, f"Could not make database {plan.target!r}")


def finish_database(context: RestoreContext, plan: DatabasePlan) -> None:
    """Lay back what could have hindered the load, and take the mark off."""
    with contextlib.closing(context.maintenance(plan.target)) as conn:
        definition = _fitting(context, plan.source.definition, conn)
        for statement in finish_statements(definition, plan.target, text=session_text(conn)):
            execute(conn, statement, f"Could not finish database {plan.target!r}")
        unmark_restoring(conn, plan.target)


def _fitting(
    context: RestoreContext, definition: DatabaseDefinition, conn: Connection
) -> DatabaseDefinition:
    """Leave out settings of roles that the server lacks.

    The plan has refused them unless neither owners nor privileges are wanted.
    """
    roles = read_target(conn).roles
    settings = tuple(one for one in definition.settings if one.role is None or one.role in roles)
    for lost in set(definition.settings) - set(settings):
        context.events.warn(
            f"Left out of database {definition.name!r}: {lost.name} of role {lost.role!r}, which "
            "the server lacks."
        )
    return dataclasses.replace(definition, settings=settings)
