# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The boto3 client: how it is told where to go, as whom, and to leave retries to us."""

from __future__ import annotations

import os
import sys
import typing as t

from .._core.errors import ConfigError
from .._core.redaction import redact
from .model import check_endpoint

if t.TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_s3 import S3Client

    from .._core.redaction import Secret
    from .model import S3Settings

AWS_HOST = "s3.amazonaws.com"


def secrets_of(settings: S3Settings) -> tuple[Secret | None, ...]:
    """Return what must not be seen in a text."""
    return (settings.access_key, settings.secret_key, settings.session_token)


def endpoint_of(settings: S3Settings) -> str | None:
    """Return the endpoint of the settings or, as boto3 does, of the environment; None means AWS.

    Raises ``ConfigError`` when that of the environment cannot be used.
    """
    found = (
        settings.endpoint
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
    if found:
        check_endpoint(found)
        return found.rstrip("/")
    return None


def connect(settings: S3Settings) -> S3Client:
    """Return a new client; takes about 0.3 s and asks nobody anything.

    It may be shared by threads but not across a fork. Raises ``ConfigError``.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError as exc:
        raise ConfigError(
            f"S3 needs the Python library boto3, which {sys.executable} does not have ({exc}); "
            "install it there."
        ) from exc
    if not settings.verify_tls:
        _silence_warnings()
    endpoint = endpoint_of(settings)
    config = _config(settings, path_style=endpoint is not None)
    try:
        client = boto3.session.Session(
            profile_name=settings.profile, region_name=settings.region
        ).client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=_shown(settings.access_key),
            aws_secret_access_key=_shown(settings.secret_key),
            aws_session_token=_shown(settings.session_token),
            verify=settings.ca_bundle if settings.verify_tls else False,
            config=config,
        )
        client.meta.events.register("before-call.s3.HeadBucket", _ask_for_the_region_once)
    except (BotoCoreError, ValueError) as exc:
        said = redact(str(exc), *secrets_of(settings))
        raise ConfigError(
            f"The S3 options cannot be used: {said.rstrip('.')}; correct them."
        ) from exc
    return client


def _config(settings: S3Settings, *, path_style: bool) -> Config:
    import botocore
    from botocore.config import Config

    try:
        return Config(
            connect_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Newer checksums are refused by some S3-like servers; our PUTs carry Content-MD5.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if path_style else "auto"},
            tcp_keepalive=True,
        )
    except TypeError as exc:
        raise ConfigError(
            f"boto3 and botocore {botocore.__version__} of {sys.executable} are too old for us "
            f"({exc}); install boto3 1.36 or newer there."
        ) from exc


def _silence_warnings() -> None:
    """Keep urllib3 from a warning for each request: that nothing is verified was asked for."""
    import urllib3

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def _ask_for_the_region_once(params: dict[str, t.Any], **dummy: object) -> None:
    """Keep botocore from asking for ever where a server redirects everything (http to https).

    On a redirect it asks by HeadBucket for the bucket's region; when that is redirected too, it
    asks again, until Python's stack ends (seen with botocore 1.44). Here it is told that this
    question has been redirected already.
    """
    params.get("context", {}).get("s3_redirect", {})["redirected"] = True


def _shown(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None
