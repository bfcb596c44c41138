# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which snapshot a user means by ``latest`` or by the beginning of an id. Pure: decides over a
list.
"""

from __future__ import annotations

import typing as t

from .._core.errors import SnapshotAmbiguous, SnapshotMissing
from .._core.units import plural
from .snapshot import age_order

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .snapshot import Snapshot

LATEST = "latest"
_SHOWN = 5
_SHORT_ID = 8


def select_snapshots(
    snapshots: Sequence[Snapshot],
    *,
    host: str | None = None,
    paths: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
) -> list[Snapshot]:
    """Return, in the order given, the snapshots of ``host`` that hold all of ``paths`` and all of
    ``tags``.

    None means any, as in restic; an empty list too.
    """
    return [
        snapshot
        for snapshot in snapshots
        if (host is None or snapshot.hostname == host)
        and set(paths or ()) <= set(snapshot.paths)
        and set(tags or ()) <= set(snapshot.tags)
    ]


def find_snapshot(
    snapshots: Sequence[Snapshot],
    wanted: str,
    *,
    host: str | None = None,
    paths: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
    accept: Callable[[Snapshot], bool] = lambda dummy: True,
) -> Snapshot:
    """Return the snapshot that ``wanted`` means.

    ``latest`` is the newest of those that ``host``, ``paths`` and ``tags`` select and that
    ``accept`` takes (asked newest first, until it says yes). Anything else is the beginning of an
    id, of any host, path and tags, and not put to ``accept``: what a user names is used or refused,
    never replaced. An id that no snapshot has any more is looked for in ``original``, where
    restic's ``tag`` and ``rewrite`` keep it.

    Raises ``SnapshotMissing``, ``SnapshotAmbiguous``.
    """
    if wanted != LATEST:
        return _by_id(snapshots, wanted)
    selected = select_snapshots(snapshots, host=host, paths=paths, tags=tags)
    for snapshot in sorted(selected, key=age_order, reverse=True):
        if accept(snapshot):
            return snapshot
    raise SnapshotMissing(_none_fits(len(snapshots), len(selected), host, paths, tags))


def _by_id(snapshots: Sequence[Snapshot], wanted: str) -> Snapshot:
    if not wanted or wanted.strip("0123456789abcdef"):
        raise SnapshotMissing(
            f"{wanted!r} is no snapshot: give `latest` or the beginning of an id (lower-case hex "
            "digits)."
        )
    found = [one for one in snapshots if one.id.hex().startswith(wanted)]
    begins = f"have an id that begins with {wanted}"
    if not found:
        found = [one for one in snapshots if one.original and one.original.hex().startswith(wanted)]
        begins = f"were made from one whose id begins with {wanted}"
    if not found:
        raise SnapshotMissing(
            f"No snapshot has an id that begins with {wanted}, among "
            f"{plural(len(snapshots), 'snapshot')}; `repository_info` or `restic snapshots` lists "
            "them."
        )
    if len(found) > 1:
        raise SnapshotAmbiguous(
            f"{plural(len(found), 'snapshot')} {begins}: give more digits of one of {_show(found)}."
        )
    return found[0]


def _show(found: Sequence[Snapshot]) -> str:
    shown = [f"{s.id.hex()[: _SHORT_ID * 2]} of {s.time}" for s in sorted(found, key=age_order)]
    return ", ".join([*shown[:_SHOWN], *(["..."] if len(shown) > _SHOWN else [])])


def _none_fits(
    total: int,
    selected: int,
    host: str | None,
    paths: Sequence[str] | None,
    tags: Sequence[str] | None,
) -> str:
    wishes = [f"host {host}"] if host is not None else []
    wishes += [f"path {path}" for path in paths or ()]
    wishes += [f"tag {tag}" for tag in tags or ()]
    which = " with " + ", ".join(wishes) if wishes else ""
    if not total:
        return "The repository holds no snapshots yet; make one with `backup`."
    if not selected:
        return (
            f"None of {plural(total, 'snapshot')} is one{which}; `repository_info` lists what "
            "there is."
        )
    return (
        f"None of {plural(selected, 'snapshot')}{which} is whole and holds what is asked for; "
        "`repository_info` lists what there is."
    )
