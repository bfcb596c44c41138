# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What Azure's libraries raise, in our words."""

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
from .calls import GATEWAY_STATUS, Rule, innermost_words, judge, no_answer
from .http_errors import from_silence, not_the_store, redirected

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.core.exceptions import HttpResponseError

    from .calls import Call

STORE = "Azure Blob Storage"
NO_CONTAINER = "ContainerNotFound"
_RULES = (
    Rule(
        ObjectMissing,
        frozenset({NO_CONTAINER}),
        frozenset(),
        "check the container's name, or let it be made with create_bucket",
    ),
    Rule(ObjectMissing, frozenset({"BlobNotFound", "ResourceNotFound"}), frozenset({404}), ""),
    Rule(ObjectTooShort, frozenset({"InvalidRange"}), frozenset({416}), "the object is damaged"),
    Rule(
        StorageFull,
        frozenset({"AccountLimitExceeded", "InsufficientAccountQuota"}),
        frozenset({507}),
        "make room there, then run it again",
    ),
    # By these the store itself says that the request was not carried out and may be made again.
    Rule(
        StorageUnavailable,
        frozenset(
            {
                "ContainerBeingDeleted",
                "InternalError",
                "Md5Mismatch",
                "OperationTimedOut",
                "ServerBusy",
            }
        ),
        frozenset({408, 429, 500, 503}),
        "look after the store, then run it again",
    ),
    Rule(
        AccessDenied,
        frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"}),
        frozenset({401, 403, 407}),
        "check the account, its key or token, their rights on the container, and the clock",
    ),
)


@contextlib.contextmanager
def translated(call: Call) -> Iterator[None]:
    """Turn the exceptions of Azure's libraries into the engine's."""
    from azure.core.exceptions import AzureError, DecodeError, HttpResponseError

    try:
        yield
    except DecodeError as exc:
        # A body that broke off is one too.
        raise from_silence(exc, call, STORE) or not_azure(call) from exc
    except HttpResponseError as exc:
        if exc.response is not None:
            raise _from_answer(exc, call) from exc
        raise from_silence(exc, call, STORE) or not_azure(call) from exc
    except AzureError as exc:
        raise from_silence(exc, call, STORE) or no_answer(call, innermost_words(exc)) from exc
    except (ValueError, AttributeError, TypeError) as exc:
        # So fail the library's parsers where headers or fields of Azure's answers are missing.
        raise not_azure(call) from exc


def not_azure(call: Call) -> ConfigError:
    """Return the error for an answer that Azure never gives."""
    return not_the_store(call, STORE)


def _from_answer(exc: HttpResponseError, call: Call) -> GranaryError:
    response = t.cast("t.Any", exc.response)
    status = int(response.status_code)
    code = response.headers.get("x-ms-error-code") or ""
    said = getattr(exc, "error_code", None)
    code = code or str(getattr(said, "value", said) or "")
    if "location" in response.headers and status in range(300, 400):
        return redirected(call, response.headers["location"])
    if status in GATEWAY_STATUS:
        return no_answer(call, f"a gateway answered with HTTP status {status}")
    kind, advice = judge(_RULES, code, status, otherwise="check the options of the backend")
    if not code and "x-ms-request-id" not in response.headers:
        if kind not in {AccessDenied, StorageFull, StorageUnavailable}:
            return not_azure(call)
        return kind(
            call.sentence(f"HTTP status {status} without an error of Azure's", advice),
            http_status=status,
        )
    words = _first_line(exc) if code else f"HTTP status {status}"
    return kind(call.sentence(f"{code}: {words}", advice), azure_code=code, http_status=status)


def _first_line(exc: HttpResponseError) -> str:
    """Return the store's message without the request's id and time below it."""
    lines = (exc.message or "").strip().splitlines()
    return lines[0] if lines else "no message"
