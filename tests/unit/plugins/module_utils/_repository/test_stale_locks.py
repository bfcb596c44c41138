# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a lock's owner counts as dead, and above all when not; with real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RepositoryDamaged
from ansible_collections.granary.postgres.plugins.module_utils._repository import (
    lock_file,
    stale_locks,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    Lock,
    Origin,
    decode_lock,
    encode_lock,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.stale_locks import (
    STALE_SECONDS,
    Here,
    Owner,
    judge,
    own_hostname,
    proof_of_death,
    this_origin,
    this_place,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.timestamp import (
    Timestamp,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_NAMESPACE = 0xEFFFFFFC
# A Python in a time namespace whose machine seems to have started an hour earlier.
SHIFTED = ("unshare", "--time", "--boottime", "3600", "--fork", sys.executable, "-c")
YOUNG = 10.0


@pytest.fixture
def here() -> Here:
    place = this_place()
    assert place.origin.boot_id
    assert place.origin.pid_namespace
    assert place.origin.started
    return place


def lock_of(pid: int, origin: Origin | None) -> Lock:
    return Lock(
        time=Timestamp.parse("2026-11-22T12:00:00Z"),
        exclusive=False,
        hostname=socket.gethostname(),
        username="root",
        pid=pid,
        uid=0,
        gid=0,
        origin=origin,
    )


@contextlib.contextmanager
def child() -> Iterator[tuple[int, Origin]]:
    """A process that waits to be killed, and where it runs."""
    told, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(telling, str(this_origin().started).encode())
            signal.pause()
        finally:
            os._exit(0)
    started = int(os.read(told, 100))
    os.close(told)
    os.close(telling)
    try:
        yield pid, dataclasses.replace(this_origin(), started=started)
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_process_that_lives_is_alive(here: Here) -> None:
    assert proof_of_death(lock_of(os.getpid(), here.origin), YOUNG, here) is None
    with child() as (pid, origin):
        assert proof_of_death(lock_of(pid, origin), YOUNG, here) is None


def test_a_process_of_another_user_is_alive(here: Here) -> None:
    # The first process: for all but root kill() answers EPERM, and hidepid may hide it.
    first = dataclasses.replace(here.origin, started=_started_of(1))
    assert proof_of_death(lock_of(1, first), YOUNG, here) is None


def _started_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def test_a_process_that_ended_is_gone(here: Here) -> None:
    with child() as (pid, origin):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, not collected
        assert proof_of_death(lock_of(pid, origin), YOUNG, here) == "its process is gone"
        os.waitpid(pid, 0)
        assert proof_of_death(lock_of(pid, origin), YOUNG, here) == "its process is gone"


def test_another_process_with_its_number_is_not_it(here: Here) -> None:
    with child() as (pid, origin):
        before = dataclasses.replace(origin, started=origin.started - 1)
        assert proof_of_death(lock_of(pid, before), YOUNG, here) == "its process is gone"


@pytest.mark.parametrize("pid", [0, -1, 1 << 40])
def test_a_number_that_is_no_pid_proves_nothing(here: Here, pid: int) -> None:
    assert proof_of_death(lock_of(pid, here.origin), YOUNG, here) is None


@pytest.fixture
def dead_pid() -> int:
    with child() as (pid, dummy):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return pid


def test_another_pid_namespace_proves_nothing(here: Here, dead_pid: int) -> None:
    elsewhere = dataclasses.replace(here.origin, pid_namespace=here.origin.pid_namespace + 1)
    assert proof_of_death(lock_of(dead_pid, elsewhere), YOUNG, here) is None
    untold = dataclasses.replace(here.origin, pid_namespace=0)
    untold_here = dataclasses.replace(here, origin=untold)
    assert proof_of_death(lock_of(dead_pid, untold), YOUNG, untold_here) is None


def test_a_lock_of_restic_is_judged_by_age_alone(here: Here, dead_pid: int) -> None:
    assert proof_of_death(lock_of(dead_pid, None), YOUNG, here) is None
    assert proof_of_death(lock_of(dead_pid, None), None, here) is None
    assert proof_of_death(lock_of(dead_pid, None), STALE_SECONDS, here) is None
    reason = proof_of_death(lock_of(os.getpid(), None), STALE_SECONDS + 1, here)
    assert reason == "it was not refreshed for 30 minutes"


def test_a_lock_that_slept_with_its_owner_is_its_own_until_it_gives_up(here: Here) -> None:
    """A machine that slept for 31 minutes wakes with the lock's owner, and with others that look
    for stale locks.
    """
    with child() as (pid, origin):
        lock = lock_of(pid, origin)
        assert judge(lock, STALE_SECONDS + 60, here) == (Owner.ALIVE, None)
        old = "it was not refreshed for 121 minutes"
        assert judge(lock, 121 * 60, here) == (Owner.GONE, old)
        elsewhere = dataclasses.replace(
            here, origin=dataclasses.replace(here.origin, boot_id="another")
        )
        assert judge(lock, YOUNG, elsewhere) == (Owner.UNKNOWN, None)
        old = "it was not refreshed for 31 minutes"
        assert judge(lock, STALE_SECONDS + 60, elsewhere) == (Owner.GONE, old)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert judge(lock, YOUNG, here) == (Owner.GONE, "its process is gone")


def test_a_shifted_clock_of_another_time_namespace_kills_nobody(here: Here) -> None:
    """There every process seems to have started at another time since boot."""
    script = f"""
import sys
sys.path[:] = {sys.path!r}
from {stale_locks.__name__} import judge, this_origin, this_place
from {lock_file.__name__} import decode_lock
print(this_origin().started, *judge(decode_lock(sys.stdin.buffer.read()), 10.0, this_place()))
"""
    said = subprocess.run(
        [*SHIFTED, script],
        input=encode_lock(lock_of(os.getpid(), here.origin)),
        capture_output=True,
        check=True,
    )
    assert said.stdout.decode().split() == ["0", "unknown", "None"]


class TestAnotherBoot:
    UPTIME = 100.0
    THERE = Origin(boot_id="old", machine_id="m", pid_namespace=FIRST_NAMESPACE, started=5)
    HERE = Here(
        origin=dataclasses.replace(THERE, boot_id="new"), hostname="h", uptime_seconds=UPTIME
    )
    LOCK = dataclasses.replace(lock_of(1, THERE), hostname="h")

    def test_of_this_machine_is_dead(self) -> None:
        reason = proof_of_death(self.LOCK, self.UPTIME + 1, self.HERE)
        assert reason == "its machine was started again since"

    def test_a_lock_written_since_our_boot_is_of_a_clone(self) -> None:
        assert proof_of_death(self.LOCK, self.UPTIME - 1, self.HERE) is None
        assert proof_of_death(self.LOCK, None, self.HERE) is None

    @pytest.mark.parametrize(
        "change",
        [{"machine_id": "other"}, {"machine_id": ""}, {"pid_namespace": FIRST_NAMESPACE - 1}],
    )
    def test_of_another_machine_or_of_containers_proves_nothing(
        self, change: dict[str, t.Any]
    ) -> None:
        lock = dataclasses.replace(self.LOCK, origin=dataclasses.replace(self.THERE, **change))
        assert proof_of_death(lock, self.UPTIME + 1, self.HERE) is None
        # The same on both sides: two containers of one image, or two hosts without an id.
        alike = dataclasses.replace(
            self.HERE, origin=dataclasses.replace(self.HERE.origin, **change)
        )
        if change != {"machine_id": "other"}:
            assert proof_of_death(lock, self.UPTIME + 1, alike) is None

    def test_a_host_of_another_name_proves_nothing(self) -> None:
        lock = dataclasses.replace(self.LOCK, hostname="another")
        assert proof_of_death(lock, self.UPTIME + 1, self.HERE) is None


class TestJson:
    def test_is_restic_s_with_our_object_last(self) -> None:
        origin = Origin(boot_id="b", machine_id="m", pid_namespace=4026531836, started=99)
        lock = dataclasses.replace(lock_of(7, origin), hostname="h", uid=1000)
        assert encode_lock(lock).decode() == (
            '{"time":"2026-11-22T12:00:00Z","exclusive":false,"hostname":"h","username":"root",'
            '"pid":7,"uid":1000,"granary":'
            '{"bootID":"b","machineID":"m","pidns":4026531836,"started":99}}'
        )
        assert decode_lock(encode_lock(lock)) == lock
        foreign = dataclasses.replace(lock, origin=None)
        assert decode_lock(encode_lock(foreign)) == foreign

    def test_of_a_pod_says_which(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GRANARY_CLUSTER", "c")
        monkeypatch.setenv("GRANARY_POD_NAMESPACE", "n")
        monkeypatch.setenv("GRANARY_POD_UID", "u")
        lock = lock_of(7, this_origin())
        assert b'"granary":{"cluster":"c","namespace":"n","podUID":"u","bootID":"' in encode_lock(
            lock
        )
        assert decode_lock(encode_lock(lock)) == lock

    @pytest.mark.parametrize(
        "data", [b"", b"[]", b"{}", b'{"time":"x","exclusive":true}', b'{"time":1,"exclusive":1}']
    )
    def test_what_is_no_lock_is_damage(self, data: bytes) -> None:
        with pytest.raises(RepositoryDamaged, match="not readable"):
            decode_lock(data)


def elsewhere(here: Here) -> Origin:
    """An origin of which this machine can tell nothing."""
    return dataclasses.replace(here.origin, boot_id="another machine's", machine_id="another")


def test_a_witness_is_asked_about_an_owner_that_cannot_be_seen(here: Here) -> None:
    lock = lock_of(1, elsewhere(here))
    assert proof_of_death(lock, YOUNG, here) is None

    asked: list[Lock] = []

    def witness(lock: Lock) -> str | None:
        asked.append(lock)
        return "its pod is gone"

    here = dataclasses.replace(here, witness=witness)
    assert judge(lock, YOUNG, here) == (Owner.GONE, "its pod is gone")
    assert asked == [lock]


def test_a_witness_who_knows_nothing_leaves_the_lock(here: Here) -> None:
    here = dataclasses.replace(here, witness=lambda lock: None)
    assert judge(lock_of(1, elsewhere(here)), YOUNG, here) == (Owner.UNKNOWN, None)


def test_a_pod_says_who_and_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANARY_CLUSTER", "c")
    monkeypatch.setenv("GRANARY_POD_NAMESPACE", "demo")
    monkeypatch.setenv("GRANARY_POD_NAME", "stash-backup-x")
    monkeypatch.setenv("GRANARY_POD_UID", "u")
    monkeypatch.setenv("GRANARY_NODE_NAME", "n1")
    origin = this_origin()
    assert (origin.cluster, origin.namespace, origin.pod_uid, origin.node) == (
        "c",
        "demo",
        "u",
        "n1",
    )
    assert own_hostname() == this_place().hostname == "stash-backup-x"
    assert decode_lock(encode_lock(lock_of(1, origin))).origin == origin
