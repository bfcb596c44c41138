# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RestoreSession: it waits for what it needs, runs once, and ends."""

from __future__ import annotations

import typing as t

from ansible_collections.granary.postgres.operator.controller.configuration_metrics import withdraw
from ansible_collections.granary.postgres.operator.controller.evaluation import evaluate, refused
from ansible_collections.granary.postgres.operator.controller.executor import Assignment
from ansible_collections.granary.postgres.operator.controller.facts import needs_of, read_facts
from ansible_collections.granary.postgres.operator.controller.finalizers import (
    take_stash_finalizers_off,
)
from ansible_collections.granary.postgres.operator.controller.foreign_rights import remove_orphans
from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.operator.controller.patience import look_again_s
from ansible_collections.granary.postgres.operator.controller.repository_lookup import repository_of
from ansible_collections.granary.postgres.operator.controller.session_end import (
    awaits_push,
    end_session,
    push_again,
)
from ansible_collections.granary.postgres.operator.controller.session_kind import RESTORE_SESSION
from ansible_collections.granary.postgres.operator.controller.session_run import AT_ONCE, SessionRun
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
    RESTORE,
    Invoker,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    RESTORE_JOB,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    is_being_deleted,
    status_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    FINAL_RESTORE_PHASES,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.site import Site


def reconcile_restore_session(site: Site, key: Key) -> float | None:
    """Move a RestoreSession on."""
    session = site.cluster.find(RESTORE, key.name, key.namespace)
    if session is None:
        site.dependants.forget(key)
        remove_orphans(site, key)
        return withdraw(site, key)
    take_stash_finalizers_off(site.cluster, session)
    if is_being_deleted(session):
        return None
    is_over = status_of(session).get("phase") in FINAL_RESTORE_PHASES
    if is_over and not awaits_push(session):
        return None
    try:
        run = RestoreRun(site, session, session, Invoker.parse(session))
    except InvalidObject as exc:
        RestoreRun(site, session, session, None).say(refused(exc).conditions)
        return None
    return push_again(run) if is_over else run.step()


class RestoreRun(SessionRun):
    """A RestoreSession on its way; it is its own invoker."""

    kind = RESTORE_SESSION
    job_prefix = RESTORE_JOB

    @property
    def key(self) -> Key:
        """The session's key."""
        return Key(RESTORE, self.namespace, self.name)

    def begin(self) -> float | None:
        if self.invoker is None:
            return None
        self.site.dependants.note(self.key, needs_of(self.invoker))
        facts = read_facts(self.site.cluster, self.invoker)
        evaluation = evaluate(self.invoker, facts, exec_hooks=self.site.options.exec_hooks)
        self.say(evaluation.conditions)
        if not evaluation.is_sound:
            return look_again_s(status_of(self.session), self.now)
        self.site.dependants.forget(self.key)
        self.write(lambda status: status if status.get("totalHosts") else self.claim(status))
        return self.make_job()

    def say(self, conditions: list[Object]) -> None:
        """Write conditions about what the session needs."""

        def change(status: Object) -> Object:
            for each in conditions:
                status = self.kind.with_condition(status, each)
            return status

        self.write(change)

    def assignment(self) -> Assignment:
        if self.invoker is None:
            raise InvalidObject(f"RestoreSession {self.name} cannot be read.")
        repository, spec = repository_of(self.site.cluster, self.invoker)
        return Assignment(
            session=self.session,
            invoker_object=self.session,
            invoker=self.invoker,
            repository_object=repository,
            repository=spec,
        )

    def finish(self) -> float | None:
        end_session(self)
        return AT_ONCE
