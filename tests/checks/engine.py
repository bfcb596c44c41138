# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import every engine module while Ansible, kopf and all third-party libraries are out of reach.

As a pytest plugin (`-p tests.checks.engine`) it keeps Ansible and kopf alone out of reach, so that
the engine's own tests show that it works without them.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import typing as t
from pathlib import Path

ENGINE = Path("plugins/module_utils")
PACKAGE = "ansible_collections.granary.postgres.plugins.module_utils"
FACES = ("ansible", "kopf")
LIBRARIES = ("boto3", "botocore", "cryptography", "jmespath", "psycopg2", "pyfastcdc", "zstandard")


class _OutOfReach(importlib.abc.MetaPathFinder):
    """Refuses to find some packages."""

    def __init__(self, names: t.Iterable[str]) -> None:
        self.names = frozenset(names)

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{fullname} is out of reach here", name=fullname)
        return None


def pytest_configure() -> None:
    """As a plugin: keep the faces out of reach from now on."""
    _shut_out(FACES)


def _shut_out(names: t.Iterable[str]) -> None:
    loaded = sorted(set(names) & sys.modules.keys())
    if loaded:
        raise RuntimeError(f"already imported: {', '.join(loaded)}")
    sys.meta_path.insert(0, _OutOfReach(names))


def main() -> int:
    """Return 0 if every engine module can be imported; name those that cannot."""
    _shut_out((*FACES, *LIBRARIES))
    files = [path for path in sorted(ENGINE.rglob("*.py")) if path.parts[2] != "_ansible"]
    failures = 0
    for path in files:
        name = ".".join((PACKAGE, *path.relative_to(ENGINE).with_suffix("").parts))
        try:
            importlib.import_module(name)
        except ImportError as exc:
            failures += 1
            sys.stdout.write(f"{path}: {exc}\n")
    sys.stdout.write(f"{len(files)} engine modules, {failures} cannot be imported alone\n")
    return 1 if failures or not files else 0


if __name__ == "__main__":
    sys.exit(main())
