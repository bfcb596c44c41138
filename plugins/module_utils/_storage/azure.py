# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Azure Blob Storage."""

from __future__ import annotations

import typing as t

from .azure_client import endpoint_of
from .azure_requests import AzureRequests
from .bucket import BucketBackend

if t.TYPE_CHECKING:
    from .model import AzureSettings
    from .retry import Retry


class AzureBackend(BucketBackend):
    """A prefix in a container of Azure Blob Storage, named as restic names it."""

    def __init__(self, settings: AzureSettings, retry: Retry) -> None:
        endpoint_of(settings)  # refuses an unusable one of the environment before any work
        super().__init__(
            AzureRequests(settings, retry),
            bucket=settings.container,
            root=settings.root,
            location=f"azure:{settings.container}:/{settings.root.rstrip('/')}",
        )
        self.settings = settings
