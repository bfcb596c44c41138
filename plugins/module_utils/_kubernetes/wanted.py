# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Whether an object in the cluster is what we want it to be, and how it is brought there.

The server fills in defaults, so what is there is never equal to what was sent. A hash of what was
sent, kept as an annotation on our own objects, shows that the wish has changed (a field taken out
of it, too); comparing what was sent with what is there shows that somebody else changed it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t

from .._core.errors import ClusterConflict, ClusterObjectExists
from .objects import Object, controller_of, described_object, metadata, uid_of
from .quantities import quantity_of

WANTED = "granary.postgres/wanted"
_NOT_OURS = frozenset({"apiVersion", "kind", "metadata", "status"})


def stamped(wanted: Object) -> Object:
    """Return a copy of ``wanted`` with the hash of its labels and content as an annotation."""
    stamp = copy.deepcopy(wanted)
    labels = metadata(wanted).get("labels") or {}
    text = json.dumps([labels, _content(wanted)], sort_keys=True)
    annotations = dict(metadata(wanted).get("annotations") or {})
    annotations[WANTED] = hashlib.sha256(text.encode()).hexdigest()[:16]
    stamp["metadata"]["annotations"] = annotations
    return stamp


def check_owner(present: Object, wanted: Object) -> None:
    """Raise unless both objects have the same controller, or none and the same manager's label."""
    if metadata(present).get("deletionTimestamp"):
        raise ClusterConflict(
            f"{described_object(present)} is being deleted; it can be made again when it is gone."
        )
    ours, theirs = controller_of(wanted), controller_of(present)
    managed = "app.kubernetes.io/managed-by"
    if ours is None and theirs is None:
        labels = metadata(present).get("labels") or {}
        if labels.get(managed) == (metadata(wanted).get("labels") or {}).get(managed):
            return
    if ours and theirs and ours.get("uid") == theirs.get("uid"):
        return
    owner = f"{theirs.get('kind')} {theirs.get('name')}" if theirs else "nobody we know"
    raise ClusterObjectExists(
        f"{described_object(present)} (uid {uid_of(present)}) is there already and belongs to "
        f"{owner}; it is left alone: rename or delete it."
    )


def is_as_wanted(present: Object, wanted: Object) -> bool:
    """Whether everything in the stamped ``wanted`` stands in ``present``."""
    return all(
        holds(metadata(present).get(part) or {}, metadata(wanted).get(part) or {})
        for part in ("labels", "annotations")
    ) and holds(present, _content(wanted))


def brought_to(present: Object, wanted: Object) -> Object:
    """Return ``present`` with the labels, annotations and content of ``wanted``."""
    meta = dict(metadata(present))
    for part in ("labels", "annotations"):
        meta[part] = {**(meta.get(part) or {}), **(metadata(wanted).get(part) or {})}
    return {**present, **copy.deepcopy(_content(wanted)), "metadata": meta}


def holds(present: t.Any, wanted: t.Any) -> bool:
    """Whether ``present`` has everything that ``wanted`` has: dicts by key, lists item by item.

    An empty value is held by a missing one: the server leaves such fields out. Quantities are
    compared by what they mean: it writes ``1`` as ``"1"`` and ``0.5`` as ``500m``.
    """
    if isinstance(wanted, dict):
        present = present or {}
        return isinstance(present, dict) and all(
            holds(present.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        present = present or []
        return (
            isinstance(present, list)
            and len(present) == len(wanted)
            and all(map(holds, present, wanted))
        )
    if present == wanted or (not wanted and not present):
        return True
    quantity = quantity_of(wanted)
    return quantity is not None and quantity == quantity_of(present)


def _content(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in _NOT_OURS}
