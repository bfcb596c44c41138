# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of a container's log."""

from __future__ import annotations

import io
import re

from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_one_line_an_event_whatever_is_in_it() -> None:
    log = io.StringIO()
    LogEvents(log).progress(
        "read", database="my shop", rows=7, whole=True, of=None, odd='a"b\nc=d', plain="a-b_c.d/e"
    )
    said = (
        'info read database="my shop" rows=7 whole=true of=null odd="a\\"b\\nc=d" plain=a-b_c.d/e\n'
    )
    assert re.fullmatch(f"{TIME} {re.escape(said)}", log.getvalue())


def test_a_warning_is_written_once() -> None:
    log = io.StringIO()
    events = LogEvents(log)
    events.warn("Mind the gap.")
    events.warn("Mind the gap.")
    events.warn("And the train.")
    assert log.getvalue().count(' warning warning message="Mind the gap."\n') == 1
    assert events.warnings == ["And the train.", "Mind the gap."]


def test_errors_have_their_level() -> None:
    log = io.StringIO()
    LogEvents(log).error("failed", code="x")
    assert log.getvalue().endswith(" error failed code=x\n")


def test_an_empty_value_can_be_seen() -> None:
    log = io.StringIO()
    LogEvents(log).progress("x", y="")
    assert log.getvalue().endswith(' x y=""\n')
