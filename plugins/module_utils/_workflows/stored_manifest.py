# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The manifest of a snapshot in the repository: the next backup and every restore ask it."""

from __future__ import annotations

import typing as t

from .._postgres.layout import MANIFEST
from .._postgres.manifest import decode
from .._repository.tree import find_node

if t.TYPE_CHECKING:
    from .._postgres.manifest import Manifest
    from .._repository.reader import BlobReader


def read_manifest(reader: BlobReader, root: bytes) -> Manifest | None:
    """Return the manifest below the tree ``root``, or None where there is none (the snapshot is not
    ours, or was rewritten).

    Raises ``RepositoryDamaged`` when it is there and cannot be read.
    """
    node = find_node(reader, root, MANIFEST)
    if node is None:
        return None
    return decode(b"".join(reader.stream(node.content)))
