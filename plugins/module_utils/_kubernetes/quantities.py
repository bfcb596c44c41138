# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Quantities of resources: numbers with a suffix, as Kubernetes reads them."""

from __future__ import annotations

import re
import typing as t
from decimal import Decimal

_FORM = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:(n|u|m|k|Ki|Mi|Gi|Ti|Pi|Ei|[MGTPE])|[eE]([+-]?\d{1,3}))?",
    re.ASCII,
)
_FACTORS = {
    **{unit: Decimal(1000) ** power for power, unit in enumerate("num", start=-3)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}


def quantity_of(value: t.Any) -> Decimal | None:
    """Return the number that a quantity means, such as 0.5 for ``500m``; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    match = _FORM.fullmatch(str(value))
    if match is None:
        return None
    number, suffix, exponent = match.groups()
    if exponent:
        return Decimal(number) * Decimal(10) ** int(exponent)
    return Decimal(number) * _FACTORS.get(suffix, Decimal(1))
