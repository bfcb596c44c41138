# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What ``requests`` raises below Google's and Azure's libraries, in our words."""

from __future__ import annotations

import typing as t

from .._core.errors import ConfigError, GranaryError, StorageUnavailable
from .calls import TLS_BROKE, innermost_words, no_answer

if t.TYPE_CHECKING:
    import requests

    from .calls import Call


def not_the_store(call: Call, store: str) -> ConfigError:
    """Return the error for an answer that ``store`` never gives."""
    return ConfigError(
        call.sentence(
            f"what answers there does not answer as {store}",
            "check endpoint, port and whether it wants http or https",
        )
    )


def redirected(call: Call, location: str) -> ConfigError:
    """Return the error for an endpoint that sends us elsewhere."""
    return ConfigError(
        call.sentence(
            f"the endpoint redirects to {location}",
            "set the endpoint to where the store really is",
        )
    )


def from_silence(exc: BaseException, call: Call, store: str) -> GranaryError | None:
    """Judge a request that ended without a whole answer; None if that is not what happened."""
    from requests import exceptions as http

    failure = _failure(exc)
    if failure is None:
        return None
    if isinstance(failure, http.TooManyRedirects):
        answer = failure.response
        return redirected(call, answer.headers.get("location", "?") if answer is not None else "?")
    if isinstance(failure, http.JSONDecodeError):
        return not_the_store(call, store)
    return _judge(failure, call)


def _judge(failure: requests.exceptions.RequestException, call: Call) -> GranaryError:
    from requests import exceptions as http

    words = innermost_words(failure)
    if isinstance(failure, http.SSLError) and not any(sign in words for sign in TLS_BROKE):
        return ConfigError(
            call.sentence(f"no TLS with that server ({words})", "check the endpoint and ca_bundle")
        )
    if _was_never_sent(failure):
        return StorageUnavailable(
            call.sentence(f"no connection to the server ({words})", "check endpoint and network")
        )
    broken = (
        http.ConnectionError,
        http.Timeout,
        http.ChunkedEncodingError,
        http.ContentDecodingError,
    )
    if isinstance(failure, broken):
        return no_answer(call, f"the connection broke or fell silent ({words})")
    return ConfigError(call.sentence(str(failure), "check the options of the backend"))


def _failure(exc: BaseException) -> requests.exceptions.RequestException | None:
    """Return what ``requests`` raised, behind the layers of a library."""
    from requests.exceptions import RequestException

    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, RequestException):
            return seen
        # Azure's errors keep theirs in a field of their own.
        seen = seen.__cause__ or seen.__context__ or getattr(seen, "inner_exception", None)
    return None


def _was_never_sent(failure: requests.exceptions.RequestException) -> bool:
    from requests import exceptions as http
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    if isinstance(failure, (http.ConnectTimeout, http.ProxyError)):
        return True
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    return isinstance(reason, (ConnectTimeoutError, NewConnectionError))
