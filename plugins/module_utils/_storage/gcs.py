# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Google Cloud Storage."""

from __future__ import annotations

import typing as t

from .bucket import BucketBackend
from .gcs_client import endpoint_of
from .gcs_requests import GcsRequests

if t.TYPE_CHECKING:
    from .model import GcsSettings
    from .retry import Retry


class GcsBackend(BucketBackend):
    """A prefix in a bucket of Google Cloud Storage, named as restic names it."""

    def __init__(self, settings: GcsSettings, retry: Retry) -> None:
        endpoint_of(settings)  # refuses an unusable one of the environment before any work
        super().__init__(
            GcsRequests(settings, retry),
            bucket=settings.bucket,
            root=settings.root,
            location=f"gs:{settings.bucket}:/{settings.root.rstrip('/')}",
        )
        self.settings = settings
