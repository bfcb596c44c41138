# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a session: what is pushed about it, now or later, and the words for its status."""

from __future__ import annotations

import logging
import typing as t

from ansible_collections.granary.postgres.operator.controller.session_metrics import push_session
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
    PushgatewayUnavailable,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    parse_go_duration,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    status_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    SUCCEEDED,
    hosts_phase,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.session_run import SessionRun
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

_log = logging.getLogger("granary.session")
PUSH_AGAIN_S = 60.0


def push_condition(run: SessionRun) -> Object:
    """Push what is said of a session that is over; return the condition about it.

    A Pushgateway that does not answer fails nothing.
    """
    if run.invoker is None:
        return c.condition(c.METRICS_PUSHED, c.FALSE, "The invoker is gone; nothing was pushed.")
    if not run.site.options.push_url:
        return c.condition(c.METRICS_PUSHED, c.TRUE, "No Pushgateway is set; nothing was pushed.")
    target = run.kind.target_of(status_of(run.session)) or {}
    duration = duration_s(run)
    try:
        push_session(
            run.site,
            run.invoker,
            succeeded=hosts_phase(target) == SUCCEEDED and not _is_stopped(run),
            duration_seconds=duration,
            at=run.created.timestamp() + duration,
        )
    except (PushgatewayUnavailable, ClusterForbidden) as exc:
        _log.warning('event=metrics_not_pushed session="%s" error="%s"', run.name, exc.sentence)
        return c.condition(c.METRICS_PUSHED, c.FALSE, f"{exc.sentence} They are pushed later.")
    return c.condition(c.METRICS_PUSHED, c.TRUE, "Successfully pushed metrics.")


def duration_s(run: SessionRun) -> float:
    """Return for how many seconds the session has been going on, or went on until it ended."""
    written = status_of(run.session).get("sessionDuration")
    return parse_go_duration(written) if written else run.age_s


def end_session(run: SessionRun, *others: Object) -> None:
    """Write the conditions about the push and ``others``, by which the phase becomes final."""
    pushed = push_condition(run)

    def change(status: Object) -> Object:
        status = {**status, "sessionDuration": status.get("sessionDuration") or run.duration()}
        for each in (*others, pushed):
            status = run.kind.with_condition(status, each)
        return status

    run.write(change)
    _log.info(
        'event=session_over session="%s/%s" phase=%s duration=%s',
        run.namespace,
        run.name,
        status_of(run.session).get("phase"),
        status_of(run.session).get("sessionDuration"),
    )


def push_again(run: SessionRun) -> float | None:
    """Push what could not be pushed when the session ended; returns when to try again."""
    if not awaits_push(run.session) or run.invoker is None:
        return None
    pushed = push_condition(run)
    run.write(lambda status: run.kind.with_condition(status, pushed))
    return PUSH_AGAIN_S if pushed["status"] == c.FALSE else None


def awaits_push(session: Object) -> bool:
    """Whether the metrics of a session that is over are still to be pushed."""
    return c.is_false(status_of(session).get("conditions"), c.METRICS_PUSHED)


def _is_stopped(run: SessionRun) -> bool:
    return run.view().is_stopped
