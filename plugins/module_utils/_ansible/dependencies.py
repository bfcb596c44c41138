# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Says which Python libraries are missing on the host that runs the task, before anything else is
tried."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import missing_required_lib

from .._core.errors import ConfigError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REASON = "to work with PostgreSQL and restic repositories"


def _psycopg2() -> None:
    import psycopg2  # noqa: F401 - looked for, not used


def _boto3() -> None:
    import boto3  # noqa: F401 - looked for, not used


def _google_cloud_storage() -> None:
    import google.cloud.storage  # noqa: F401 - looked for, not used


def _azure_storage_blob() -> None:
    import azure.storage.blob  # noqa: F401 - looked for, not used


def _zstandard() -> None:
    import zstandard  # noqa: F401 - looked for, not used


def _cryptography() -> None:
    import cryptography  # noqa: F401 - looked for, not used


def _pyfastcdc() -> None:
    import pyfastcdc  # noqa: F401 - looked for, not used


def _jmespath() -> None:
    import jmespath  # noqa: F401 - looked for, not used


# Import statements, not import_module(): what Ansible ships and what linters see is found by
# reading the source.
LIBRARIES: dict[str, Callable[[], None]] = {
    "psycopg2": _psycopg2,
    "boto3": _boto3,
    "google-cloud-storage": _google_cloud_storage,
    "azure-storage-blob": _azure_storage_blob,
    "zstandard": _zstandard,
    "cryptography": _cryptography,
    "pyfastcdc": _pyfastcdc,
    "jmespath": _jmespath,
}


def require(names: Iterable[str]) -> None:
    """Raise ``ConfigError`` that names every library of ``names`` that cannot be imported."""
    missing: dict[str, ImportError] = {}
    for name in names:
        try:
            LIBRARIES[name]()
        except ImportError as exc:
            missing[name] = exc
    if missing:
        message = missing_required_lib(", ".join(missing), reason=REASON)
        raise ConfigError(
            f"{message} The role granary.postgres.client installs them.", missing=", ".join(missing)
        ) from next(iter(missing.values()))
