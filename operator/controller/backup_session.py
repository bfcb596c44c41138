# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""BackupSession: from its creation to its end, its retry, and the history of its invoker."""

from __future__ import annotations

import datetime
import logging
import typing as t

from ansible_collections.granary.postgres.operator.controller.executor import Assignment
from ansible_collections.granary.postgres.operator.controller.finalizers import (
    take_stash_finalizers_off,
)
from ansible_collections.granary.postgres.operator.controller.history import (
    busy_session,
    invoked_by,
    is_final,
    reason_to_skip,
    retry_session,
    sessions_to_delete,
    wants_retry,
)
from ansible_collections.granary.postgres.operator.controller.keys import Key
from ansible_collections.granary.postgres.operator.controller.repository_lookup import repository_of
from ansible_collections.granary.postgres.operator.controller.session_end import (
    awaits_push,
    end_session,
    push_again,
)
from ansible_collections.granary.postgres.operator.controller.session_kind import BACKUP_SESSION
from ansible_collections.granary.postgres.operator.controller.session_run import AT_ONCE, SessionRun
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
    ClusterObjectExists,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    format_time,
    parse_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
    BACKUP,
    Invoker,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    BACKUP_JOB,
    TARGET_NAME,
    label_value,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    is_being_deleted,
    metadata,
    name_of,
    spec_of,
    status_of,
    uid_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.phases import (
    PENDING,
    READY,
    SKIPPED,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.site import Site
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.references import (
        TargetRef,
    )

_log = logging.getLogger("granary.session")
INVOKER_GRACE_S = 30.0
"""A session may have been created in one go with its invoker, and be seen before it."""
BUSY_S = 5.0


def reconcile_backup_session(site: Site, key: Key) -> float | None:
    """Move a BackupSession on."""
    session = site.cluster.find("BackupSession", key.name, key.namespace)
    if session is None:
        site.dependants.forget(key)
        return None
    take_stash_finalizers_off(site.cluster, session)
    if is_being_deleted(session):
        return None
    if is_final(session) and not wants_retry(session) and not awaits_push(session):
        return None
    run = BackupRun.read(site, session)
    return run.after_end() if is_final(session) else run.step()


class BackupRun(SessionRun):
    """A BackupSession on its way."""

    kind = BACKUP_SESSION
    job_prefix = BACKUP_JOB
    complaint = ""
    """Why the invoker cannot be read, where it is there."""

    @classmethod
    def read(cls, site: Site, session: Object) -> BackupRun:
        """Read the session's invoker."""
        reference = spec_of(session).get("invoker") or {}
        if reference.get("kind") != BACKUP:
            run = cls(site, session, None, None)
            run.complaint = f"the kind {reference.get('kind')} is not served yet."
            return run
        found = site.cluster.find(BACKUP, reference["name"], metadata(session)["namespace"])
        try:
            return cls(site, session, found, Invoker.parse(found) if found else None)
        except InvalidObject as exc:
            run = cls(site, session, found, None)
            run.complaint = exc.sentence
            return run

    @property
    def key(self) -> Key:
        """The session's key."""
        return Key("BackupSession", self.namespace, self.name)

    def begin(self) -> float | None:
        if self.invoker is None or self.invoker_object is None:
            return self._await_invoker()
        status = status_of(self.invoker_object)
        is_judged = status.get("observedGeneration") == metadata(self.invoker_object)["generation"]
        if not is_judged and self.age_s < INVOKER_GRACE_S:
            return self._await([Key(BACKUP, self.namespace, self.invoker.name)])
        if status.get("phase") != READY:
            return self._skip(f"{BACKUP} {self.invoker.name} is not ready: {_unmet(status)}")
        with self.site.starting:
            own = self.site.cluster.list("BackupSession", self.namespace)
            siblings = invoked_by(own, self.invoker.kind, self.invoker.name)
            reason = reason_to_skip(self.session, siblings)
            if reason is not None:
                return self._skip(reason)
            busy = self._busy(self.invoker.target, own)
            if busy is not None:
                return self._await(
                    [Key("BackupSession", metadata(busy)["namespace"], name_of(busy))]
                )
            self.write(lambda status: status if status.get("targets") else self.claim(status))
        self.site.dependants.forget(self.key)
        return self.make_job()

    def assignment(self) -> Assignment:
        if self.invoker is None or self.invoker_object is None:
            raise InvalidObject(f"The invoker of BackupSession {self.name} is gone.")
        repository, spec = repository_of(self.site.cluster, self.invoker)
        return Assignment(
            session=self.session,
            invoker_object=self.invoker_object,
            invoker=self.invoker,
            repository_object=repository,
            repository=spec,
        )

    def finish(self) -> float | None:
        pretended = c.condition(c.METRICS_PUSHED, c.TRUE, "")
        phase = self.kind.with_condition(status_of(self.session), pretended)["phase"]
        end_session(self, *self._clean_history(phase))
        return AT_ONCE

    def after_end(self) -> float | None:
        """Do what is left once the session is over; return when to look again."""
        again = self._push_again()
        retry = self._retry() if wants_retry(self.session) else None
        return min((each for each in (again, retry) if each is not None), default=None)

    def _await_invoker(self) -> float | None:
        reference = spec_of(self.session).get("invoker") or {}
        kind, name = reference.get("kind") or "", reference.get("name") or ""
        if not self.complaint and self.age_s < INVOKER_GRACE_S:
            return self._await([Key(kind, self.namespace, name)])
        what = f"{kind} {self.namespace}/{name}"
        if self.complaint:
            return self._skip(f"{what} cannot be served: {self.complaint}")
        return self._skip(f"{what} does not exist.")

    def _await(self, needs: list[Key]) -> float:
        """Wait for others; the session is looked at when they change, and now and then."""
        self.site.dependants.note(self.key, needs)
        if status_of(self.session).get("phase") != PENDING:
            self.write(lambda status: {**status, "phase": PENDING})
        return BUSY_S

    def _busy(self, target: TargetRef, own: list[Object]) -> Object | None:
        """Return another invoker's session that is running on the same target, or None.

        ``own`` are all of the namespace: those made by hand may have no labels.
        """
        labels = {TARGET_NAME: label_value(target.name)}
        place = None if self.site.options.is_cluster_wide else self.namespace
        others = self.site.cluster.list("BackupSession", place, labels=labels)
        return busy_session(self.session, target.as_object(), [*own, *others])

    def _skip(self, reason: str) -> float | None:
        self.site.dependants.forget(self.key)
        skipped = c.condition(c.BACKUP_SKIPPED, c.TRUE, f"Skipped taking new backup. {reason}")
        said = [skipped, *self._clean_history(SKIPPED)]

        def change(status: Object) -> Object:
            if status.get("targets"):
                return status
            for each in said:
                status = self.kind.with_condition(status, each)
            return status

        self.write(change)
        _log.info('event=session_skipped session="%s" reason="%s"', self.key, reason)
        return None

    def _clean_history(self, phase: str) -> list[Object]:
        """Delete sessions beyond the limit; return the condition about it."""
        if self.invoker is None:
            return []
        invoker = self.invoker
        sessions = self.site.cluster.list("BackupSession", self.namespace)
        siblings = invoked_by(sessions, invoker.kind, invoker.name)
        try:
            for each in sessions_to_delete(siblings, self.session, phase, invoker.history_limit):
                self.site.cluster.delete(
                    "BackupSession", name_of(each), self.namespace, uid=uid_of(each)
                )
        except ClusterForbidden as exc:
            return [c.condition(c.BACKUP_HISTORY_CLEANED, c.FALSE, exc.sentence)]
        message = "Successfully cleaned up backup history according to backupHistoryLimit."
        return [c.condition(c.BACKUP_HISTORY_CLEANED, c.TRUE, message)]

    def _push_again(self) -> float | None:
        """Push what could not be pushed, unless a newer session has been over meanwhile: its
        figures are the ones that count.
        """
        if not awaits_push(self.session) or self.invoker is None:
            return None
        sessions = self.site.cluster.list("BackupSession", self.namespace)
        siblings = invoked_by(sessions, self.invoker.kind, self.invoker.name)
        created = metadata(self.session)["creationTimestamp"]
        newer = [each for each in siblings if metadata(each)["creationTimestamp"] > created]
        if any(is_final(each) for each in newer):
            return None
        return push_again(self)

    def _retry(self) -> float | None:
        """Try a failed session again when its time has come; returns when that is."""
        if self.invoker is None or self.invoker_object is None:
            return None
        due_text = status_of(self.session).get("nextRetry")
        if not due_text:
            delay = self.invoker.retry.delay_seconds if self.invoker.retry else 0.0
            due_text = format_time(self.now + datetime.timedelta(seconds=delay))
            self.write(lambda status: {"nextRetry": due_text, **status})
        due = parse_time(status_of(self.session)["nextRetry"])
        if due > self.now:
            return (due - self.now).total_seconds()
        again = retry_session(self.session, self.invoker_object, self.invoker)
        try:
            self.site.cluster.create(again)
        except ClusterObjectExists:
            _log.info('event=retry_is_there session="%s" retry=%s', self.key, name_of(again))
        self.write(lambda status: {**status, "retried": True})
        return None


def _unmet(status: Object) -> str:
    """Return what a configuration says of the first condition that it does not meet."""
    conditions = status.get("conditions") or []
    unmet = (each.get("message") for each in conditions if each.get("status") != c.TRUE)
    return next((str(each) for each in unmet if each), "it has not been looked at yet.")
