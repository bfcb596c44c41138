# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""JMESPath over what a module returns, as other collections offer it."""

from __future__ import annotations

import typing as t

from .._core.errors import ConfigError


def select(query: str | None, returned: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return ``{"result": what query selects of returned}``, or ``returned`` itself without a
    query.

    Raises ``ConfigError`` when the expression is wrong.
    """
    if query is None:
        return returned
    import jmespath
    import jmespath.exceptions

    try:
        return {"result": jmespath.search(query, returned)}
    except jmespath.exceptions.JMESPathError as exc:
        raise ConfigError(
            f"The query {query!r} is not a JMESPath expression that fits: "
            f"{' '.join(str(exc).split())}; correct query."
        ) from exc
