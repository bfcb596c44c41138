# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of invokers in a Repository's status. Pure."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object


def with_reference(status: Object, reference: Object) -> Object:
    """Return the status with ``reference`` in it, once."""
    references = status.get("references") or []
    if any(_identity(each) == _identity(reference) for each in references):
        return status
    return {**status, "references": [*references, reference]}


def without_references(status: Object, is_gone: Callable[[Object], bool]) -> Object:
    """Return the status without references to what is gone."""
    references = status.get("references") or []
    left = [each for each in references if not is_gone(each)]
    return status if len(left) == len(references) else {**status, "references": left}


def _identity(reference: Object) -> tuple[str, ...]:
    return tuple(str(reference.get(field) or "") for field in ("kind", "namespace", "name"))
