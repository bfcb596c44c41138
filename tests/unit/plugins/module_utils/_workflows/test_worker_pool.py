# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import threading
import time
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    ProgramError,
    StorageFull,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.worker_pool import (
    WorkerLink,
    WorkerPool,
)


def _serve(link: WorkerLink) -> None:
    while (message := link.receive()) is not None:
        name, *arguments = t.cast("list[t.Any]", message)
        _ACTIONS[name](link, *arguments)


def _echo(link: WorkerLink, value: object) -> None:
    link.send(value)


def _read_descriptor(link: WorkerLink) -> None:
    with os.fdopen(link.receive_descriptor(), "rb") as pipe:
        link.send(pipe.read())


def _fail(link: WorkerLink) -> None:
    raise StorageFull("No room is left in /x.", path="/x")


def _break(link: WorkerLink) -> None:
    raise KeyError("surprise")


def _spin(link: WorkerLink) -> None:
    while True:
        link.check()
        time.sleep(0.01)


def _hang(link: WorkerLink) -> None:
    signal.pause()


_ACTIONS: dict[str, t.Callable[..., None]] = {
    "echo": _echo,
    "read": _read_descriptor,
    "fail": _fail,
    "break": _break,
    "spin": _spin,
    "hang": _hang,
}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _one(pool: WorkerPool) -> tuple[int, object]:
    messages, ready = pool.receive(30)
    assert not ready
    return messages[0]


def test_messages_go_both_ways() -> None:
    with WorkerPool(2, _serve) as pool:
        assert len(set(pool.pids())) == 2
        pool.send(1, ["echo", {"rows": 3}])
        assert _one(pool) == (1, {"rows": 3})
        pool.send(0, ["echo", b"x" * 3_000_000])
        assert _one(pool) == (0, b"x" * 3_000_000)


def test_a_worker_gets_its_own_copy_of_a_descriptor() -> None:
    with WorkerPool(1, _serve) as pool:
        reading, writing = os.pipe()
        pool.send(0, ["read"], descriptor=reading)
        os.close(reading)
        os.write(writing, b"from the pipe")
        os.close(writing)
        assert _one(pool) == (0, b"from the pipe")


def test_a_readable_descriptor_wakes_the_coordinator() -> None:
    reading, writing = os.pipe()
    with WorkerPool(1, _serve) as pool:
        assert pool.receive(0, [reading]) == ([], set())
        os.write(writing, b"!")
        assert pool.receive(30, [reading]) == ([], {reading})
    os.close(reading)
    os.close(writing)


def test_the_error_of_a_worker_is_raised_as_it_was() -> None:
    with WorkerPool(2, _serve) as pool:
        pool.send(0, ["fail"])
        with pytest.raises(StorageFull, match="No room is left in /x") as caught:
            pool.receive(30)
        assert caught.value.details == {"path": "/x"}


def test_an_unexpected_error_names_its_place() -> None:
    with WorkerPool(1, _serve) as pool:
        pool.send(0, ["break"])
        with pytest.raises(GranaryError, match=r"KeyError at test_worker_pool.py:\d+: 'surprise'"):
            pool.receive(30)


def test_a_killed_worker_is_noticed_at_once() -> None:
    with WorkerPool(2, _serve) as pool:
        pool.send(1, ["hang"])
        os.kill(pool.pids()[1], signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(ProgramError, match="was ended by SIGKILL"):
            pool.receive(30)
        assert time.monotonic() - started < 5


def test_sending_to_a_dead_worker_says_how_it_ended() -> None:
    with WorkerPool(1, _serve) as pool:
        os.kill(pool.pids()[0], signal.SIGTERM)
        with pytest.raises(ProgramError, match="was ended by SIGTERM"):
            pool.send(0, ["echo", b"x" * 10_000_000])


@pytest.mark.parametrize("action", ["spin", "hang"])
def test_no_worker_outlives_the_pool(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{WorkerPool.__module__}.STOP_GRACE_SECONDS", 0.5)
    with WorkerPool(2, _serve) as pool:
        pids = pool.pids()
        pool.send(0, [action])
    assert not any(map(_alive, pids))


def test_no_worker_outlives_a_killed_coordinator() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        pool = WorkerPool(2, _serve)
        pool.send(0, ["hang"])
        os.write(writing, ",".join(map(str, pool.pids())).encode())
        signal.pause()
    os.close(writing)
    pids = [int(pid) for pid in os.read(reading, 100).split(b",")]
    assert all(map(_alive, pids))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    # The pipe's write end is open in the workers too: its end is theirs.
    ended = threading.Thread(target=os.read, args=(reading, 1), daemon=True)
    ended.start()
    ended.join(30)
    assert not ended.is_alive()
    os.close(reading)
