# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Roles and tablespaces of a snapshot into the target: what it lacks is made, what it has stays."""

from __future__ import annotations

import contextlib
import typing as t

from .._core.units import listed
from .._postgres import layout
from .._postgres.connection import connect_server
from .._postgres.globals import plan_globals
from .._postgres.load_programs import load_globals
from .._postgres.restore_programs import find_script_program
from .._postgres.target import read_target

if t.TYPE_CHECKING:
    from .._postgres.programs import Program
    from .requests import RestoreRequest
    from .restore_database import RestoreContext

# The oldest psql that knows \restrict is a late minor of 13; what our scripts need any has.
# Servers before this one wrote down any grantor; from this one on it must have the admin option.
# This one is also the first to know what a membership inherits and may become.
_GRANTORS_SINCE = 16
_SHOWN = 20


def find_globals_program(request: RestoreRequest) -> Program:
    """Return the psql for the globals. Raises ``ProgramMissing``."""
    return find_script_program(request.bin_dir)


def restore_globals(context: RestoreContext, psql: Program, *, source_major: int) -> None:
    """Make the roles and tablespaces that the server lacks, and say which were there already.

    Raises ``RestoreFailed`` with psql's words.
    """
    request = context.request
    with contextlib.closing(connect_server(context.settings)) as conn:
        target = read_target(conn)
        database = conn.info.dbname
    plan = plan_globals(
        context.source.files.read(layout.GLOBALS),
        existing_roles=target.roles,
        existing_tablespaces=target.tablespaces,
        no_tablespaces=request.no_tablespaces,
        keep_grantors=not source_major < _GRANTORS_SINCE <= context.facts.major,
        keep_options=context.facts.major >= _GRANTORS_SINCE,
    )
    if not plan.new_roles and not plan.new_tablespaces:
        return
    if plan.widened:
        context.events.warn(
            "Servers before 16 do not know INHERIT FALSE and SET FALSE of memberships, so these "
            f"roles may do more than they could: {listed(plan.widened, _SHOWN)}; give them "
            "NOINHERIT, or revoke the memberships."
        )
    for warning in load_globals(psql, context.settings, plan.script, database=database):
        context.events.warn(warning)
    context.events.progress(
        "globals_restored",
        roles=len(plan.new_roles),
        tablespaces=len(plan.new_tablespaces),
    )
