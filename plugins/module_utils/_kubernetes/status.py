# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The one function that writes a status: operator and Jobs use it, and nothing else does.

Merge patches of two writers lose each other's conditions; a PUT with the version that was read
cannot.
"""

from __future__ import annotations

import copy
import random
import time
import typing as t

from .._core.errors import ClusterConflict, ClusterObjectMissing
from .objects import Object, described, status_of, uid_of

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from .cluster import Cluster

_ATTEMPTS = 12
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.3


def write_status(
    cluster: Cluster,
    kind: str,
    name: str,
    namespace: str | None,
    change: Callable[[Object], Object | None],
    *,
    uid: str | None = None,
) -> Object:
    """Change an object's status and return the object as it is then.

    ``change`` gets a copy of the status as it is, which it may change, and returns the status that
    is to be, or None for no change; it is called again where somebody else wrote meanwhile.
    Nothing is sent for an equal status. With ``uid`` an object made anew under the name is not
    touched. Raises ``ClusterObjectMissing``, ``ClusterConflict`` after many attempts,
    ``ClusterError``.
    """
    for attempt in range(_ATTEMPTS):
        obj = cluster.get(kind, name, namespace)
        if uid and uid_of(obj) != uid:
            raise ClusterObjectMissing(
                f"{described(kind, name, namespace)} was deleted and made anew; "
                "the status was not written."
            )
        status = change(copy.deepcopy(status_of(obj)))
        if status is None or status == status_of(obj):
            return obj
        try:
            return cluster.replace_status({**obj, "status": status})
        except ClusterConflict:
            # The writers draw lots, or two of them would go on in step.
            pause = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
            time.sleep(random.uniform(0, pause))
    raise ClusterConflict(
        f"The status of {described(kind, name, namespace)} was written by somebody else each of "
        f"{_ATTEMPTS} times; it is tried again later."
    )
