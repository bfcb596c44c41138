# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""S3 and what speaks like it."""

from __future__ import annotations

import typing as t

from .bucket import BucketBackend
from .s3_client import AWS_HOST, endpoint_of
from .s3_requests import S3Requests

if t.TYPE_CHECKING:
    from .model import S3Settings
    from .retry import Retry


class S3Backend(BucketBackend):
    """A prefix in a bucket of S3."""

    def __init__(self, settings: S3Settings, retry: Retry) -> None:
        place = f"{endpoint_of(settings) or AWS_HOST}/{settings.bucket}/{settings.root}"
        super().__init__(
            S3Requests(settings, retry),
            bucket=settings.bucket,
            root=settings.root,
            location=f"s3:{place.rstrip('/')}",
        )
        self.settings = settings
