# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or
# https://opensource.org/licenses/BSD-2-Clause) SPDX-License-Identifier: BSD-2-Clause

"""Which settings open which backend: a literal table, so that AnsiballZ ships what it names."""

from __future__ import annotations

import typing as t

from .._core.errors import ConfigError
from .local import LocalBackend
from .model import LocalSettings, S3Settings

if t.TYPE_CHECKING:
    from .._core.events import Events
    from .base import Backend


def open_backend(settings: LocalSettings | S3Settings, events: Events | None = None) -> Backend:
    """Return a backend of the calling process; nothing is looked up, made or connected to yet.

    ``events`` hears of tries that are made again (``storage_retry``).
    """
    if isinstance(settings, LocalSettings):
        return LocalBackend(settings)
    raise ConfigError("This version stores in local folders only.")
