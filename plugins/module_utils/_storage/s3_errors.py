# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What botocore raises, in our words.

Three readers act on the class: the retry policy (``retryable``), the layers above (missing, full,
outcome unknown) and the user, who gets one sentence with the store's own code and message in it and
nothing secret.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as t

from .._core.errors import (
    AccessDenied,
    ConfigError,
    GranaryError,
    ObjectMissing,
    ObjectTooShort,
    OutcomeUnknown,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from .._core.redaction import Secret, redact

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.exceptions import ClientError

_TEXT_LIMIT = 256


@dataclasses.dataclass(frozen=True, slots=True)
class _Rule:
    """S3 error codes, and HTTP statuses of other codes, that mean one thing to us."""

    kind: type[GranaryError]
    codes: frozenset[str]
    statuses: frozenset[int]
    advice: str


_RULES = (
    _Rule(
        ObjectMissing,
        frozenset({"NoSuchBucket"}),
        frozenset(),
        "check the bucket's name, or let it be made with create_bucket",
    ),
    _Rule(ObjectMissing, frozenset({"NoSuchKey"}), frozenset({404}), ""),
    _Rule(ObjectTooShort, frozenset({"InvalidRange"}), frozenset({416}), "the object is damaged"),
    _Rule(
        ConfigError,
        frozenset(
            {
                "AuthorizationHeaderMalformed",
                "IllegalLocationConstraintException",
                "PermanentRedirect",
            }
        ),
        frozenset(range(300, 400)),
        "set region, or the endpoint, to where the bucket is",
    ),
    _Rule(
        StorageFull,
        frozenset({"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"}),
        frozenset({507}),
        "make room there, then run it again",
    ),
    # By these the store itself says that the request was not carried out and may be made again.
    _Rule(
        StorageUnavailable,
        frozenset(
            {
                "BadDigest",
                "ConditionalRequestConflict",
                "IncompleteBody",
                "InternalError",
                "OperationAborted",
                "RequestTimeout",
                "ServiceUnavailable",
                "SlowDown",
                "XAmzContentSHA256Mismatch",
            }
        ),
        frozenset({408, 429, 500, 503}),
        "look after the store, then run it again",
    ),
    _Rule(
        AccessDenied,
        frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}),
        frozenset({401, 403, 407}),
        "check the credentials, their rights on the bucket, and the clock",
    ),
)
# A gateway speaks here, not the store: what the store did with the request is not known.
_GATEWAY_STATUS = frozenset({502, 504})
# Stores say several sentences; ours is one.
_SENTENCE_END = re.compile(r"\. +(?=[A-Z])")
# TLS that broke on the way, as against TLS that cannot work with these settings.
_TLS_BROKE = ("EOF", "timed out", "reset", "bad record mac", "shutdown")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: ``doing`` completes "Could not"; ``changes`` tells writes and deletes from
    reads.

    ``silent``: the answer has no body (HEAD), so an error comes without the store's own words.
    """

    doing: str
    secrets: tuple[Secret | None, ...]
    changes: bool = False
    silent: bool = False

    def sentence(self, why: str, advice: str = "") -> str:
        """Return the sentence of an error: what could not be done, why, what to do."""
        words = _SENTENCE_END.sub("; ", " ".join(why.split()))
        short = redact(words, *self.secrets)[:_TEXT_LIMIT].rstrip(".")
        return f"Could not {self.doing}: {short}{f'; {advice}' if advice else ''}."


@contextlib.contextmanager
def translated(call: Call) -> Iterator[None]:
    """Turn botocore's exceptions into the engine's."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as exc:
        raise _from_answer(exc, call) from exc
    except ResponseParserError as exc:
        raise not_s3(call) from exc
    except BotoCoreError as exc:
        raise _from_silence(exc, call) from exc


def not_s3(call: Call) -> ConfigError:
    """Return the error for an answer that no S3 server gives."""
    return ConfigError(
        call.sentence(
            "what answers there does not answer as an S3 server",
            "check endpoint, port and whether it wants http or https",
        )
    )


def _from_answer(exc: ClientError, call: Call) -> GranaryError:
    error = exc.response.get("Error", {})
    code = error.get("Code", "")
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = f"{code}: {error.get('Message') or 'no message'}"
    if code.isdigit() or not code:
        if not call.silent:
            return _from_stranger(exc, call, status)
        said = f"HTTP status {status}"
    if status in _GATEWAY_STATUS:
        return _no_answer(call, said)
    kind, advice = _judge(code, status)
    return kind(call.sentence(said, advice), s3_code=code, http_status=status)


def _judge(code: str, status: int) -> tuple[type[GranaryError], str]:
    """Return the class of an S3 error and what the user can do; codes are asked before statuses."""
    for rule in _RULES:
        if code in rule.codes:
            return rule.kind, rule.advice
    for rule in _RULES:
        if status in rule.statuses:
            return rule.kind, rule.advice
    return StorageError, "check the S3 options"


def _from_stranger(exc: ClientError, call: Call, status: int) -> GranaryError:
    """Judge an answer without an S3 error in it: from a proxy, or another kind of server."""
    headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "location" in headers:
        return ConfigError(
            call.sentence(
                f"the endpoint redirects to {headers['location']}",
                "set the endpoint to where the store really is",
            )
        )
    if status in _GATEWAY_STATUS:
        return _no_answer(call, f"a gateway answered with HTTP status {status}")
    kind, advice = _judge("", status)
    if kind in {AccessDenied, StorageFull, StorageUnavailable}:
        # botocore gives a page of HTML with status 200 the status 500.
        said = f"HTTP status {status} without an S3 error, so perhaps not from an S3 server"
        return kind(call.sentence(said, f"check the endpoint, {advice}"), http_status=status)
    return not_s3(call)


def _from_silence(exc: Exception, call: Call) -> GranaryError:
    """Judge a request that ended without a whole answer."""
    from botocore import exceptions as boto

    words = _innermost_words(exc)
    if isinstance(exc, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        return ConfigError(
            call.sentence(
                "no S3 credentials were found",
                "give access_key and secret_key, or profile, or set the AWS environment variables",
            )
        )
    if isinstance(exc, boto.SSLError) and not any(sign in words for sign in _TLS_BROKE):
        return ConfigError(
            call.sentence(f"no TLS with that server ({words})", "check the endpoint and ca_bundle")
        )
    # Nothing was sent: the connection never stood.
    refused = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)
    if isinstance(exc, refused):
        return StorageUnavailable(
            call.sentence(f"no connection to the server ({words})", "check endpoint and network")
        )
    broken = (
        boto.HTTPClientError,
        boto.IncompleteReadError,
        boto.ResponseStreamingError,
        boto.SSLError,
    )
    if isinstance(exc, broken):
        return _no_answer(call, f"the connection broke or fell silent ({words})")
    return ConfigError(call.sentence(str(exc), "check the S3 options"))


def _no_answer(call: Call, why: str) -> StorageError:
    if call.changes:
        return OutcomeUnknown(call.sentence(f"{why}, so it may have happened or may still happen"))
    advice = "look after the store, and whether it wants http or https, then run it again"
    return StorageUnavailable(call.sentence(why, advice))


def _innermost_words(exc: BaseException) -> str:
    """Return the operating system's words behind layers of HTTP libraries, if there are any."""
    words = str(exc)
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            words = str(seen.strerror)
        seen = seen.__cause__ or seen.__context__
    return words
