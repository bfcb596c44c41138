# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What Google's libraries raise, in our words."""

from __future__ import annotations

import contextlib
import typing as t

from .._core.errors import (
    AccessDenied,
    ConfigError,
    GranaryError,
    ObjectMissing,
    ObjectTooShort,
    StorageFull,
    StorageUnavailable,
)
from .calls import GATEWAY_STATUS, Rule, judge, no_answer
from .http_errors import from_silence, not_the_store

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from google.api_core.exceptions import GoogleAPICallError

    from .calls import Call

STORE = "Google Cloud Storage"
_RULES = (
    Rule(ObjectMissing, frozenset({"notFound"}), frozenset({404}), ""),
    Rule(
        ObjectTooShort,
        frozenset({"requestedRangeNotSatisfiable"}),
        frozenset({416}),
        "the object is damaged",
    ),
    Rule(
        StorageFull,
        frozenset({"quotaExceeded", "storageQuotaExceeded"}),
        frozenset({507}),
        "raise the quota, then run it again",
    ),
    # By these the store itself says that the request was not carried out and may be made again.
    Rule(
        StorageUnavailable,
        frozenset({"backendError", "internalError", "rateLimitExceeded", "userRateLimitExceeded"}),
        frozenset({408, 429, 500, 503}),
        "look after the store, then run it again",
    ),
    Rule(
        AccessDenied,
        frozenset({"forbidden", "required", "authError", "userProjectMissing"}),
        frozenset({401, 403, 407}),
        "check the credentials, their rights on the bucket, and the clock",
    ),
)


@contextlib.contextmanager
def translated(call: Call) -> Iterator[None]:
    """Turn the exceptions of Google's libraries and of ``requests`` into the engine's."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
    from requests.exceptions import RequestException

    try:
        yield
    except GoogleAPICallError as exc:
        raise _from_answer(exc, call) from exc
    except DataCorruption as exc:
        raise StorageUnavailable(
            call.sentence(f"the bytes changed on the way ({exc})", "look after the network")
        ) from exc
    except InvalidResponse as exc:
        raise not_gcs(call) from exc
    except GoogleAuthError as exc:
        raise _from_login(exc, call) from exc
    except RequestException as exc:
        raise from_silence(exc, call, STORE) or not_gcs(call) from exc


def not_gcs(call: Call) -> ConfigError:
    """Return the error for an answer that Google Cloud Storage never gives."""
    return not_the_store(call, STORE)


def _from_answer(exc: GoogleAPICallError, call: Call) -> GranaryError:
    status = int(exc.code or 0)
    reason, message = _said(exc.response)
    if status in GATEWAY_STATUS:
        return no_answer(call, f"a gateway answered with HTTP status {status}: {message}")
    kind, advice = judge(_RULES, reason, status, otherwise="check the options of the backend")
    if not reason and kind not in {AccessDenied, ObjectMissing, ObjectTooShort, StorageUnavailable}:
        return not_gcs(call)
    said = f"{reason or f'HTTP status {status}'}: {message or 'no message'}"
    return kind(call.sentence(said, advice), gcs_reason=reason, http_status=status)


def _said(response: requests.Response | None) -> tuple[str, str]:
    """Return reason and message of an error; no reason where it is not JSON (downloads say plain
    text).
    """
    if response is None:
        return "", ""
    try:
        error = response.json()["error"]
        message = str(error.get("message", ""))
        first = (error.get("errors") or [{}])[0]
        return str(first.get("reason") or error.get("status") or "error"), message
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "", "" if "<" in response.text else response.text[:200]


def _from_login(exc: Exception, call: Call) -> GranaryError:
    """Judge a token that was not to be had."""
    from google.auth.exceptions import TransportError

    if isinstance(exc, TransportError):
        return StorageUnavailable(
            call.sentence(f"Google's login does not answer ({exc})", "check the network")
        )
    return AccessDenied(
        call.sentence(
            f"Google's login refuses us ({exc})", "check the credentials, their rights, the clock"
        )
    )
