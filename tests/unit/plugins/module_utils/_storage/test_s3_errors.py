# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import ssl
import typing as t

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
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
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._storage.calls import Call
from ansible_collections.granary.postgres.plugins.module_utils._storage.s3_errors import translated

URL = "https://s3.example.org/bucket/key?x=y"
READ = Call(doing="read config from s3:x", secrets=(Secret("PLANTED"), None))
WRITE = Call(doing="write config to s3:x", secrets=(Secret("PLANTED"),), changes=True)
HEAD = Call(doing="look at config in s3:x", secrets=(), silent=True)


def _answer(code: str, status: int, message: str = "said so") -> boto.ClientError:
    response: t.Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return boto.ClientError(response, "GetObject")


def _told(exc: Exception, call: Call = READ) -> GranaryError:
    with pytest.raises(GranaryError) as caught, translated(call):
        raise exc
    assert caught.value.__cause__ is exc
    assert str(caught.value).startswith(f"Could not {call.doing}: ")
    return caught.value


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, ObjectMissing),
        ("NoSuchBucket", 404, ObjectMissing),
        ("InvalidRange", 416, ObjectTooShort),
        ("AccessDenied", 403, AccessDenied),
        ("SignatureDoesNotMatch", 403, AccessDenied),
        ("RequestTimeTooSkewed", 403, AccessDenied),
        ("ExpiredToken", 400, AccessDenied),
        ("QuotaExceeded", 403, StorageFull),
        ("XMinioStorageFull", 507, StorageFull),
        ("PermanentRedirect", 301, ConfigError),
        ("AuthorizationHeaderMalformed", 400, ConfigError),
        ("SlowDown", 503, StorageUnavailable),
        ("InternalError", 500, StorageUnavailable),
        ("RequestTimeout", 400, StorageUnavailable),
        ("BadDigest", 400, StorageUnavailable),
        ("ConditionalRequestConflict", 409, StorageUnavailable),
        ("TooManyRequests", 429, StorageUnavailable),
        ("PreconditionFailed", 412, StorageError),
        ("NotImplemented", 501, StorageError),
    ],
)
@pytest.mark.parametrize("call", [READ, WRITE])
def test_answers_of_a_store(code: str, status: int, kind: type[GranaryError], call: Call) -> None:
    error = _told(_answer(code, status), call)
    assert error.code == kind.code
    assert f"{code}: said so" in str(error)
    assert error.details["s3_code"] == code
    assert error.details["http_status"] == status


@pytest.mark.parametrize("code", ["GatewayTimeout", "504", "502"])
def test_a_gateway_does_not_know_what_became_of_a_write(code: str) -> None:
    status = 502 if code == "502" else 504
    assert _told(_answer(code, status), WRITE).code == OutcomeUnknown.code
    assert _told(_answer(code, status), READ).code == StorageUnavailable.code


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ConfigError),
        (400, ConfigError),
        (403, AccessDenied),
        (404, ConfigError),
        (405, ConfigError),
        (407, AccessDenied),
        (500, StorageUnavailable),
        (503, StorageUnavailable),
        (507, StorageFull),
    ],
)
def test_answers_without_an_s3_error_in_them(status: int, kind: type[GranaryError]) -> None:
    assert _told(_answer(str(status), status)).code == kind.code


def test_an_answer_to_head_has_no_words() -> None:
    assert _told(_answer("404", 404), HEAD).code == ObjectMissing.code
    assert _told(_answer("403", 403), HEAD).code == AccessDenied.code


def test_a_page_of_a_web_server_is_no_answer() -> None:
    error = _told(ResponseParserError("not well-formed: <html>"))
    assert error.code == ConfigError.code
    assert "does not answer as an S3 server" in str(error)


@pytest.mark.parametrize(
    "exc",
    [
        boto.ReadTimeoutError(endpoint_url=URL),
        boto.ConnectionClosedError(endpoint_url=URL),
        boto.HTTPClientError(error=OSError(32, "Broken pipe")),
        boto.SSLError(endpoint_url=URL, error=ssl.SSLError(8, "EOF occurred")),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        boto.ResponseStreamingError(error="cut"),
    ],
)
def test_silence_leaves_a_write_unknown(exc: Exception) -> None:
    assert _told(exc, WRITE).code == OutcomeUnknown.code
    assert _told(exc, READ).code == StorageUnavailable.code


@pytest.mark.parametrize(
    "exc",
    [
        boto.EndpointConnectionError(endpoint_url=URL),
        boto.ConnectTimeoutError(endpoint_url=URL),
        boto.ProxyConnectionError(proxy_url="http://me:pw@proxy"),
    ],
)
def test_what_was_never_sent_did_not_happen(exc: Exception) -> None:
    error = _told(exc, WRITE)
    assert error.code == StorageUnavailable.code
    assert "pw" not in str(error)


def test_tls_that_cannot_work_is_not_tried_again() -> None:
    error = _told(boto.SSLError(endpoint_url=URL, error=ssl.SSLError("certificate verify failed")))
    assert error.code == ConfigError.code
    assert "ca_bundle" in str(error)


@pytest.mark.parametrize(
    "exc",
    [boto.NoCredentialsError(), boto.PartialCredentialsError(provider="env", cred_var="x")],
)
def test_missing_credentials_say_where_they_could_come_from(exc: Exception) -> None:
    error = _told(exc)
    assert error.code == ConfigError.code
    assert "access_key and secret_key" in str(error)


def test_the_operating_system_has_the_last_word() -> None:
    outer = boto.EndpointConnectionError(endpoint_url=URL)
    outer.__cause__ = socket.gaierror(-2, "Name or service not known")
    assert "(Name or service not known)" in str(_told(outer))


def test_long_and_secret_words_are_cut() -> None:
    error = str(_told(_answer("Odd", 418, "key PLANTED " + "x\n" * 1000)))
    assert "PLANTED" not in error
    assert "***" in error
    assert len(error) < 400
    assert "\n" not in error
