# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which reconciler is for which kind."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.controller.backup_configuration import (
    reconcile_configuration,
)
from ansible_collections.granary.postgres.operator.controller.backup_session import (
    reconcile_backup_session,
)
from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.operator.controller.repository import reconcile_repository
from ansible_collections.granary.postgres.operator.controller.restore_session import (
    reconcile_restore_session,
)
from ansible_collections.granary.postgres.operator.controller.unsupported import (
    reconcile_unsupported,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterObjectMissing,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ansible_collections.granary.postgres.operator.controller.site import Site

RECONCILERS: Mapping[str, Callable[[Site, Key], float | None]] = {
    "Repository": reconcile_repository,
    "BackupConfiguration": reconcile_configuration,
    "BackupSession": reconcile_backup_session,
    "RestoreSession": reconcile_restore_session,
    "BackupBatch": reconcile_unsupported,
    "RestoreBatch": reconcile_unsupported,
    "BackupBlueprint": reconcile_unsupported,
}


def reconcile(site: Site, key: Key) -> float | None:
    """Move one object a step on; return after how many seconds to look at it again, None for not
    before something happens. Raises ``GranaryError`` for what is worth another try.
    """
    try:
        return RECONCILERS[key.kind](site, key)
    except ClusterObjectMissing:
        if site.cluster.find(key.kind, key.name, key.namespace or None) is not None:
            raise
        return 0.0  # deleted during the step, which is no failure: the next clears away after it
