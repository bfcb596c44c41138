# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What the API server and the way to it can answer, said in errors of our own tree.

The server's own words stay in each sentence.
"""

from __future__ import annotations

import json
import typing as t

from .._core.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterObjectExists,
    ClusterObjectMissing,
    ClusterUnavailable,
    InvalidObject,
)

_SHOWN = 1000
"""Characters kept of what a server says: a refused Job repeats a whole pod otherwise."""

OVERLOADED = 429
GONE = 410
_CONFLICT = 409
_CLASSES: t.Final[dict[int, tuple[type[ClusterError | InvalidObject], str]]] = {
    400: (InvalidObject, "cannot be read by the API server"),
    401: (ClusterForbidden, "was refused because the API server does not know who asks"),
    403: (ClusterForbidden, "is forbidden"),
    404: (ClusterObjectMissing, "was not found"),
    GONE: (ClusterConflict, "was asked for by a state that the API server no longer keeps"),
    422: (InvalidObject, "is not accepted by the API server"),
    OVERLOADED: (ClusterUnavailable, "could not be served because the API server is overloaded"),
    504: (ClusterUnavailable, "got no answer from the API server in time"),
}


def answered(status: int, body: str | None, what: str) -> ClusterError | InvalidObject:
    """Return the error for an answer of the server other than 2xx about ``what``.

    ``status`` 0 is the library's word for a TLS connection that did not come about.
    """
    reason, said = _said(body)
    if status == _CONFLICT:
        if reason == "AlreadyExists":
            return ClusterObjectExists(f"{what} exists already{said}.", status=status)
        return ClusterConflict(f"{what} was changed meanwhile{said}.", status=status)
    if status in _CLASSES:
        kind, words = _CLASSES[status]
        return kind(f"{what} {words}{said}.", status=status)
    if status >= 500:  # noqa: PLR2004 - HTTP's class of the server's own failures
        return ClusterUnavailable(
            f"{what} failed in the API server with HTTP {status}{said}.", status=status
        )
    return ClusterError(f"{what} was refused with HTTP {status}{said}.", status=status)


def unreachable(exc: Exception, host: str, what: str) -> ClusterError:
    """Return the error for a request about ``what`` that got no whole answer from ``host``."""
    from urllib3.exceptions import SSLError

    words = " ".join(str(exc).split())[:_SHOWN].rstrip(".")
    if isinstance(exc, SSLError):
        return ClusterError(
            f"No safe connection to the API server {host} for {what} ({words}); "
            "check its address and the certificate authority."
        )
    return ClusterUnavailable(f"The API server {host} did not answer for {what}: {words}.")


def _said(body: str | None) -> tuple[str, str]:
    """Return the reason's code and the message, ready to follow a clause, of a v1 Status."""
    try:
        status = json.loads(body or "")
    except ValueError:
        status = None
    if not isinstance(status, dict):
        words = " ".join((body or "").split())
        return "", f": {words[:_SHOWN].rstrip('.')}" if words else ""
    message = " ".join(str(status.get("message") or "").split())[:_SHOWN].rstrip(".")
    return str(status.get("reason") or ""), f": {message}" if message else ""
