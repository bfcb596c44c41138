# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Which settings open which backend: a literal table, so that AnsiballZ ships what it names."""

from __future__ import annotations

import typing as t

from .._core.events import SilentEvents
from .azure import AzureBackend
from .gcs import GcsBackend
from .local import LocalBackend
from .model import AzureSettings, GcsSettings, LocalSettings, S3Settings
from .retry import Retry
from .s3 import S3Backend

if t.TYPE_CHECKING:
    from .._core.events import Events
    from .base import Backend
    from .model import BackendSettings


def open_backend(settings: BackendSettings, events: Events | None = None) -> Backend:
    """Return a backend of the calling process; nothing is looked up, made or connected to yet.

    ``events`` hears of requests that are made again (``storage_retry``). Raises ``ConfigError``
    when the environment names an endpoint that cannot be used.
    """
    if isinstance(settings, LocalSettings):
        return LocalBackend(settings)
    retry = Retry(events=events or SilentEvents(), tries=settings.tries)
    match settings:
        case S3Settings():
            return S3Backend(settings, retry)
        case GcsSettings():
            return GcsBackend(settings, retry)
        case AzureSettings():
            return AzureBackend(settings, retry)
