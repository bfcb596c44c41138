# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What botocore raises, in our words."""

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
from .calls import GATEWAY_STATUS, TLS_BROKE, Rule, innermost_words, judge, no_answer

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.exceptions import ClientError

    from .calls import Call

_RULES = (
    Rule(
        ObjectMissing,
        frozenset({"NoSuchBucket"}),
        frozenset(),
        "check the bucket's name, or let it be made with create_bucket",
    ),
    Rule(ObjectMissing, frozenset({"NoSuchKey"}), frozenset({404}), ""),
    Rule(ObjectTooShort, frozenset({"InvalidRange"}), frozenset({416}), "the object is damaged"),
    Rule(
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
    Rule(
        StorageFull,
        frozenset({"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"}),
        frozenset({507}),
        "make room there, then run it again",
    ),
    # By these the store itself says that the request was not carried out and may be made again.
    Rule(
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
    Rule(
        AccessDenied,
        frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}),
        frozenset({401, 403, 407}),
        "check the credentials, their rights on the bucket, and the clock",
    ),
)


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
    if status in GATEWAY_STATUS:
        return no_answer(call, said)
    kind, advice = _judge(code, status)
    return kind(call.sentence(said, advice), s3_code=code, http_status=status)


def _judge(code: str, status: int) -> tuple[type[GranaryError], str]:
    return judge(_RULES, code, status, otherwise="check the S3 options")


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
    if status in GATEWAY_STATUS:
        return no_answer(call, f"a gateway answered with HTTP status {status}")
    kind, advice = _judge("", status)
    if kind in {AccessDenied, StorageFull, StorageUnavailable}:
        # botocore gives a page of HTML with status 200 the status 500.
        said = f"HTTP status {status} without an S3 error, so perhaps not from an S3 server"
        return kind(call.sentence(said, f"check the endpoint, {advice}"), http_status=status)
    return not_s3(call)


def _from_silence(exc: Exception, call: Call) -> GranaryError:
    """Judge a request that ended without a whole answer."""
    from botocore import exceptions as boto

    words = innermost_words(exc)
    if isinstance(exc, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        return ConfigError(
            call.sentence(
                "no S3 credentials were found",
                "give access_key and secret_key, or profile, or set the AWS environment variables",
            )
        )
    if isinstance(exc, boto.SSLError) and not any(sign in words for sign in TLS_BROKE):
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
        return no_answer(call, f"the connection broke or fell silent ({words})")
    return ConfigError(call.sentence(str(exc), "check the S3 options"))
