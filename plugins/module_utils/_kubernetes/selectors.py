# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Label selectors, as Kubernetes reads them."""

from __future__ import annotations

import typing as t

from .._core.errors import InvalidObject

if t.TYPE_CHECKING:
    from collections.abc import Mapping


def matches(selector: Mapping[str, t.Any], labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` fulfil a LabelSelector; an empty one is fulfilled by all.

    Raises ``InvalidObject`` for an operator that does not exist.
    """
    exact = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in exact.items()):
        return False
    return all(_fulfils(each, labels) for each in selector.get("matchExpressions") or [])


def _fulfils(expression: Mapping[str, t.Any], labels: Mapping[str, str]) -> bool:
    key, values = str(expression.get("key")), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case operator:
            raise InvalidObject(
                f"A selector has the operator {operator!r}; use In, NotIn, Exists or DoesNotExist."
            )
