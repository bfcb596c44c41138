# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import Cancelled
from ansible_collections.granary.postgres.plugins.module_utils._workflows.stop_signals import (
    StopSignals,
)


def _send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_raised_and_the_next_is_not(number: signal.Signals) -> None:
    with StopSignals():
        with pytest.raises(Cancelled, match=number.name):
            _send(number)
        _send(signal.SIGTERM)
        _send(signal.SIGINT)


def test_handlers_come_back() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with StopSignals():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_sighup_is_ignored() -> None:
    with StopSignals():
        _send(signal.SIGHUP)


def test_nothing_interrupts_what_is_held() -> None:
    with StopSignals() as signals, signals.held():
        _send(signal.SIGTERM)


def test_what_came_before_keeps_the_held_block_from_starting() -> None:
    with StopSignals() as signals:
        with pytest.raises(Cancelled):
            _send(signal.SIGTERM)
        with pytest.raises(Cancelled), signals.held():
            pytest.fail("the block was entered")
