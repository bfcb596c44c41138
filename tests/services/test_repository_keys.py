# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passwords of a repository come and go, here and with stock restic, and one always works."""

from __future__ import annotations

import os
import signal
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    RepositoryLocked,
    StorageError,
    WrongPassword,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import (
    list_locks,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import (
    list_snapshots,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import (
    open_backend,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.keys import (
    KeyRequest,
    KeyResult,
    change_keys,
)
from tests.fix_backup import access
from tests.fix_quick_key import add_quick_key, make_key_quick
from tests.fix_repository import PASSWORD, Place, back_up, in_a_place, read_files
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.restic import VERSIONS
from tests.testbed.s3 import Bucket

SECOND = "the second one"
FILES = {"/postgres/f": b"text"}


@pytest.fixture
def quick(place: Place) -> Place:
    """A repository with a snapshot and one key that opens in milliseconds."""
    _make(place)
    return place


@pytest.fixture
def quick_local(local_place: Place) -> Place:
    """The same in a folder."""
    _make(local_place)
    return local_place


def _make(place: Place) -> None:
    with place.create() as repository:
        back_up(repository, FILES)
        make_key_quick(repository)


def ask(place: Place, *, password: str = PASSWORD, check: bool = False, **more: t.Any) -> KeyResult:
    """One request; `key` is the password that it is about."""
    key = more.pop("key", None)
    request = KeyRequest(
        repository=access(place, password),
        key_password=None if key is None else Secret(key),
        **more,
    )
    return change_keys(request, events=RecordedEvents(), check_mode=check)


def opens(place: Place, password: str) -> bool:
    """Whether a password opens the repository and all that is in it."""
    try:
        with place.open(password) as repository:
            return read_files(repository, list_snapshots(repository)[-1]) == FILES
    except WrongPassword:
        return False


def keys_of(place: Place) -> set[str]:
    with open_backend(place.settings) as backend:
        return {entry.name for entry in backend.entries("keys/")}


def current_id(result: KeyResult) -> str:
    (found,) = [key["id"] for key in result.keys if key["current"]]
    return str(found)


@in_a_place
def test_a_password_comes_and_goes(quick: Place) -> None:
    before = keys_of(quick)
    predicted = ask(quick, key=SECOND, check=True)
    assert keys_of(quick) == before
    added = ask(quick, key=SECOND)
    assert [result.changed for result in (predicted, added)] == [True, True]
    assert [len(result.keys) for result in (predicted, added)] == [2, 2]
    assert opens(quick, PASSWORD)
    assert opens(quick, SECOND)
    for version in VERSIONS:
        restic = quick.restic(version)
        shown = restic.json("key", "list", RESTIC_PASSWORD=SECOND)
        # 0.18 shows the beginnings of ids alone.
        assert {key["id"][:8] for key in shown} == {str(key["id"])[:8] for key in added.keys}
    again = ask(quick, key=SECOND)
    assert not again.changed
    assert again.keys == added.keys == ask(quick).keys
    assert current_id(added) == current_id(predicted)

    predicted = ask(quick, key=SECOND, state="absent", check=True)
    assert opens(quick, SECOND)
    removed = ask(quick, key=SECOND, state="absent")
    assert [result.changed for result in (predicted, removed)] == [True, True]
    assert predicted.keys == removed.keys
    assert keys_of(quick) == before
    assert not opens(quick, SECOND)
    assert not ask(quick, key=SECOND, state="absent").changed
    with quick.open() as repository:
        assert list_locks(repository) == []


def test_a_password_is_changed(quick_local: Place) -> None:
    old_keys = keys_of(quick_local)
    predicted = ask(quick_local, key=SECOND, replace=True, check=True)
    assert keys_of(quick_local) == old_keys
    changed = ask(quick_local, key=SECOND, replace=True)
    for result in (predicted, changed):
        assert result.changed
        assert [key["current"] for key in result.keys] == [True]
    assert opens(quick_local, SECOND)
    assert not opens(quick_local, PASSWORD)
    assert len(keys_of(quick_local)) == 1
    assert not keys_of(quick_local) & old_keys
    for version in VERSIONS:
        quick_local.restic(version).run("check", "--read-data", RESTIC_PASSWORD=SECOND)
    assert not ask(quick_local, key=SECOND, replace=True).changed
    with pytest.raises(WrongPassword):
        ask(quick_local, key="a third one")


def test_every_key_of_the_old_password_goes(quick_local: Place) -> None:
    with quick_local.open() as repository:
        for password in (PASSWORD, "somebody's"):
            add_quick_key(repository, password)
    assert len(keys_of(quick_local)) == 3
    result = ask(quick_local, key=SECOND, replace=True)
    assert len(result.keys) == 2
    assert not opens(quick_local, PASSWORD)
    assert opens(quick_local, "somebody's")


def test_a_key_goes_by_its_id(quick_local: Place) -> None:
    with quick_local.open() as repository:
        add_quick_key(repository, SECOND)
    added = ask(quick_local)
    (other,) = [str(key["id"]) for key in added.keys if not key["current"]]
    assert not ask(quick_local, key_id="0" * 64, state="absent").changed
    assert ask(quick_local, key_id=other[:12], state="absent").changed
    assert not opens(quick_local, SECOND)
    # Of a file that is no key at all only the name counts.
    assert isinstance(quick_local.where, Path)
    (quick_local.where / "keys" / ("ab" * 32)).write_bytes(b"[1]")
    assert [key["created"] for key in ask(quick_local).keys if key["id"] == "ab" * 32] == [None]
    assert ask(quick_local, key_id="abababab", state="absent").changed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": PASSWORD, "state": "absent"}, "and the last one, without which nobody"),
        ({"key_id": "own", "state": "absent"}, "and the last one, without which nobody"),
        ({"key_id": "xyz", "state": "absent"}, "give the id of a key"),
        ({"key_id": "", "state": "absent"}, "give the id of a key"),
        ({"key_id": "ab"}, "key_id works with state=absent"),
        ({"key": ""}, "key_password is empty"),
        ({"replace": True}, "replace needs the new password"),
        ({"state": "absent"}, "needs either key_id or key_password"),
        ({"key": SECOND, "state": "absent", "replace": True}, "replace works with state=present"),
    ],
)
def test_what_would_lock_out_or_means_nothing_is_refused(
    quick_local: Place, options: dict[str, t.Any], words: str
) -> None:
    before = keys_of(quick_local)
    if options.get("key_id") == "own":
        options = {**options, "key_id": current_id(ask(quick_local))}
    for check in (False, True):
        with pytest.raises(ConfigError, match=words):
            ask(quick_local, check=check, **options)
        assert keys_of(quick_local) == before


def test_the_key_in_use_is_not_removed_beside_others(quick_local: Place) -> None:
    with quick_local.open() as repository:
        add_quick_key(repository, SECOND)
    with pytest.raises(ConfigError, match=r"is the one that password opens .* with; open it with"):
        ask(quick_local, key=PASSWORD, state="absent")
    assert ask(quick_local, password=SECOND, key=PASSWORD, state="absent").changed
    assert not opens(quick_local, PASSWORD)


def test_there_are_twenty_at_most(quick_local: Place) -> None:
    with quick_local.open() as repository:
        for number in range(19):
            repository.backend.write(f"keys/{number:064x}", b"{}")
    for exchanged in (False, True):
        with pytest.raises(ConfigError, match="has 20 keys, and restic reads no more than 20"):
            ask(quick_local, key=SECOND, replace=exchanged)
    assert ask(quick_local, key_id=f"{3:064x}", state="absent").changed
    assert ask(quick_local, key=SECOND, check=True).changed


def test_it_waits_for_nobody_to_hold_a_lock(quick_local: Place) -> None:
    with quick_local.open() as repository, repository.lock():
        for exchanged in (False, True):
            with pytest.raises(RepositoryLocked):
                ask(quick_local, key=SECOND, replace=exchanged)
        assert not ask(quick_local).changed
        assert not ask(quick_local, key=SECOND, state="absent").changed
    assert len(keys_of(quick_local)) == 1


@pytest.mark.sampled("at", ["PUT", "DELETE"], 1)
def test_a_killed_change_leaves_a_password_and_the_next_one_completes_it(
    s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path, at: str
) -> None:
    place = Place(where=s3_bucket, cache_dir=tmp_path)
    _make(place)
    by_proxy = _by(place, s3_proxy)
    child: list[int] = []

    def kill(request: object) -> None:
        os.kill(child[0], signal.SIGKILL)

    s3_proxy.add(Fault(kind="run", method=at, path="/keys/", action=kill, times=1))
    child.append(_forked_change(by_proxy))
    assert os.WTERMSIG(os.waitpid(child[0], 0)[1]) == signal.SIGKILL
    assert [opens(place, word) for word in (PASSWORD, SECOND)].count(True) >= 1
    with pytest.raises(WrongPassword):
        place.open("neither").close()
    ask(place, key=SECOND, replace=True)
    assert [opens(place, word) for word in (PASSWORD, SECOND)] == [False, True]
    assert len(keys_of(place)) == 1


def _by(place: Place, proxy: HttpProxy) -> Place:
    assert isinstance(place.where, Bucket)
    return replace(place, where=replace(place.where, endpoint=proxy.endpoint))


def _forked_change(place: Place) -> int:
    child = os.fork()
    if child == 0:
        try:
            ask(place, key=SECOND, replace=True)
        finally:
            os._exit(0)
    return child


def test_a_storage_that_refuses_to_delete_keeps_the_old_password_and_says_so(
    s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path
) -> None:
    place = Place(where=s3_bucket, cache_dir=tmp_path)
    _make(place)
    s3_proxy.add(Fault(kind="answer", method="DELETE", path="/keys/", status=403))
    words = "The new password opens the repository, but keys/.* could not be removed"
    with pytest.raises(StorageError, match=words):
        ask(_by(place, s3_proxy), key=SECOND, replace=True)
    assert opens(place, PASSWORD)
    assert opens(place, SECOND)


@pytest.mark.slow
def test_a_key_without_an_answer_is_looked_for(
    s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path
) -> None:
    place = Place(where=s3_bucket, cache_dir=tmp_path)
    _make(place)
    s3_proxy.add(Fault(kind="cut_after", method="PUT", path="/keys/", times=5))
    assert ask(_by(place, s3_proxy), key=SECOND).changed
    assert opens(place, SECOND)
    assert len(keys_of(place)) == 2
