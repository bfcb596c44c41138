# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    ServerUnreachable,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._workflows.jobs import worker_count


def test_a_wish_is_followed_where_there_is_room() -> None:
    events = RecordedEvents()
    assert worker_count(7, free_connections=90, reserved=4, events=events) == 7
    assert not events.warnings


def test_without_a_wish_it_is_the_processors_but_at_most_four() -> None:
    wanted = worker_count(None, free_connections=90, reserved=4, events=RecordedEvents())
    assert wanted == min(4, len(os.sched_getaffinity(0)))


def test_the_server_has_the_last_word() -> None:
    events = RecordedEvents()
    assert worker_count(7, free_connections=6, reserved=4, events=events) == 2
    assert events.warnings == ["Only 2 jobs instead of 7: the server has 6 free connections."]


def test_no_room_for_one_worker() -> None:
    with pytest.raises(ServerUnreachable, match="4 free connections, but 5 are needed"):
        worker_count(7, free_connections=4, reserved=4, events=RecordedEvents())


def test_less_than_one_is_no_wish() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        worker_count(0, free_connections=90, reserved=4, events=RecordedEvents())
