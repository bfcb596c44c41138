# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a hook may know of its session: how it went so far, and the data of its templates."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.granary.postgres.operator.job.output import read_output
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.conditions import (
    BACKEND_REPOSITORY_INITIALIZED,
    REPOSITORY_INTEGRITY_VERIFIED,
    RETENTION_POLICY_APPLIED,
    find,
    is_false,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    format_go_duration,
    now,
    parse_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    STASH,
    name_of,
    namespace_of,
    status_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    FAILED,
    SUCCEEDED,
)

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.granary.postgres.operator.job.session_status import SessionStatus
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

_FAILING = (
    BACKEND_REPOSITORY_INITIALIZED,
    RETENTION_POLICY_APPLIED,
    REPOSITORY_INTEGRITY_VERIFIED,
)
_DIED = "The session's Job ended before it could say how."


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HookOutcome:
    """How a session went so far; ``error`` is empty unless it failed."""

    failed: bool
    error: str = ""

    @classmethod
    def of(cls, session: SessionStatus, folder: Path, *, known: bool) -> HookOutcome:
        """Return what the output of the step before and the session's conditions say.

        ``known``: the session has done its work, or died of it. Then there is no output, and the
        session has failed.
        """
        if not known:
            return cls(failed=False)
        try:
            output = read_output(folder)
        except ConfigError:
            return cls._of_status(session)
        found = status_of(session.session).get("conditions")
        wrong = [find(found, one) or {} for one in _FAILING if is_false(found, one)]
        said = [output.error, *(str(one.get("message") or "") for one in wrong)]
        return cls(
            failed=bool(wrong) or not output.succeeded,
            error=" ".join(words for words in said if words),
        )

    @classmethod
    def _of_status(cls, session: SessionStatus) -> HookOutcome:
        hosts = session.target_status.get("stats") or []
        errors = [str(one["error"]) for one in hosts if one.get("error")]
        if hosts and not errors and all(one.get("phase") == SUCCEEDED for one in hosts):
            return cls(failed=False)
        return cls(failed=True, error=" ".join(errors) or _DIED)


def hook_data(
    invoker: Invoker, session: SessionStatus, target: t.Mapping[str, str], outcome: HookOutcome
) -> Object:
    """Return the data of templates, by Stash's names."""
    age = (now() - parse_time(session.created)).total_seconds()
    return {
        "Name": name_of(session.session),
        "Namespace": namespace_of(session.session),
        "Invoker": {"APIGroup": STASH, "Kind": invoker.kind, "Name": invoker.name},
        "Target": {
            "APIVersion": target["apiVersion"],
            "Kind": target["kind"],
            "Name": target["name"],
            "Namespace": target["namespace"],
        },
        "Status": {
            "Phase": FAILED if outcome.failed else SUCCEEDED,
            "Duration": format_go_duration(age, whole_seconds=True),
            "Error": outcome.error,
        },
        "RetryLeft": session.retry_left,
    }
