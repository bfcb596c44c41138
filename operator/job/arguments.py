# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments that several commands share: a repository, a database, the place of the output."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.granary.postgres.operator.job.container import own_namespace
from ansible_collections.granary.postgres.operator.job.plain_arguments import (
    CommandParser,
    flag,
    number,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    OUTPUT_PATH,
    SCRATCH_PATH,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
)

if t.TYPE_CHECKING:
    import argparse


def add_repository(parser: CommandParser) -> None:
    """Add the flags that say where a repository is; what they say becomes a ``RepositorySpec``."""
    for name in ("provider", "bucket", "endpoint", "region", "path"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--insecure-tls", type=flag, default=False, nargs="?", const=True)
    parser.add_argument("--max-connections", type=number, default=0)
    parser.add_argument("--storage-secret-name", default="")
    parser.add_argument("--storage-secret-namespace", default="")
    parser.add_argument("--scratch-dir", type=Path, default=Path(SCRATCH_PATH))


def repository_spec(options: argparse.Namespace) -> RepositorySpec:
    """Return the repository that the flags of ``add_repository`` name."""
    if not (options.provider and options.bucket and options.storage_secret_name):
        raise ConfigError(
            "The repository is not known; give --provider, --bucket and --storage-secret-name."
        )
    return RepositorySpec(
        name=options.path.strip("/") or options.bucket,
        namespace=options.storage_secret_namespace or own_namespace(),
        provider=options.provider,
        bucket=options.bucket,
        prefix=options.path,
        endpoint=options.endpoint or None,
        region=options.region or None,
        insecure_tls=options.insecure_tls,
        max_connections=options.max_connections or 0,
        secret_name=options.storage_secret_name,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An AppBinding by its name, as status and output show it."""

    namespace: str
    name: str
    kind: str = "AppBinding"
    api_version: str = "appcatalog.appscode.com/v1alpha1"

    def reference(self) -> dict[str, str]:
        """Return it as a TargetRef."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        }


def add_database(parser: CommandParser) -> None:
    """Add the flags of a database that is backed up or restored."""
    parser.add_argument("--namespace", default="")
    parser.add_argument("--appbinding", required=True)
    parser.add_argument("--appbinding-namespace", default="")
    parser.add_argument("--hostname", default="")
    parser.add_argument("--pg-args", default="")
    parser.add_argument("--wait-timeout", type=number, default=300)
    parser.add_argument("--user", default="")
    add_output(parser)
    parser.add_argument("--jobs", type=number, default=None)


def add_output(parser: CommandParser) -> None:
    """Add the flag of the folder with `output.json`, which a Function may leave empty."""
    default = Path(OUTPUT_PATH)
    parser.add_argument(
        "--output-dir", type=lambda text: Path(text) if text else default, default=default
    )


def target_of(options: argparse.Namespace) -> Target:
    """Return the AppBinding of ``add_database``'s flags."""
    namespace = options.appbinding_namespace or options.namespace or own_namespace()
    return Target(namespace=namespace, name=options.appbinding)
