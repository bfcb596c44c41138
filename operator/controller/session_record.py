# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session as it is on record: what its object, its invoker and its Job say, and the one way to
write its status.
"""

from __future__ import annotations

import datetime
import functools
import typing as t

from ansible_collections.granary.postgres.operator.controller.job_outcome import JOB_NAME_LABEL
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterObjectMissing,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.durations import (
    format_go_duration,
    now,
    parse_time,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.names import (
    job_name,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import (
    Object,
    metadata,
    name_of,
    namespace_of,
    status_of,
    uid_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.status import (
    write_status,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.granary.postgres.operator.controller.session_kind import SessionKind
    from ansible_collections.granary.postgres.operator.controller.site import Site
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
        Invoker,
    )

Change: t.TypeAlias = "Callable[[Object], Object]"


class SessionRecord:
    """A session, its invoker where that can be read, and its Job, read in this order: what the Job
    wrote before it ended is then seen by whoever sees its end and writes.
    """

    kind: t.ClassVar[SessionKind]
    job_prefix: t.ClassVar[str]

    def __init__(
        self, site: Site, session: Object, invoker_object: Object | None, invoker: Invoker | None
    ) -> None:
        self.site = site
        self.session = session
        self.invoker_object = invoker_object
        self.invoker = invoker
        self.now = now()

    @property
    def name(self) -> str:
        """The session's name."""
        return name_of(self.session)

    @property
    def namespace(self) -> str:
        """The session's namespace."""
        return namespace_of(self.session) or ""

    @property
    def created(self) -> datetime.datetime:
        """When the session was created; deadlines and durations count from it."""
        return parse_time(metadata(self.session)["creationTimestamp"])

    @property
    def age_s(self) -> float:
        """Seconds since the session was created."""
        return (self.now - self.created).total_seconds()

    @property
    def deadline(self) -> datetime.datetime | None:
        """The moment by which it must be over: once it has begun the one that was written then."""
        written = status_of(self.session).get("sessionDeadline")
        if written:
            return parse_time(written)
        if self.invoker is None or self.invoker.timeout_seconds is None:
            return None
        return self.created + datetime.timedelta(seconds=self.invoker.timeout_seconds)

    @property
    def job_name(self) -> str:
        """The name of the session's Job, whether there is one or not."""
        return job_name(self.job_prefix, self.name)

    @functools.cached_property
    def job(self) -> Object | None:
        """The session's Job as it is now."""
        return self.own_job(self.job_name)

    def duration(self) -> str:
        """Return how long the session has taken."""
        return format_go_duration(self.age_s, whole_seconds=True)

    def write(self, change: Change) -> None:
        """Write the session's status; the session is as it was written then. Nothing happens where
        it is gone.
        """
        try:
            self.session = write_status(
                self.site.cluster,
                self.kind.name,
                self.name,
                self.namespace,
                change,
                uid=uid_of(self.session),
            )
        except ClusterObjectMissing:
            return

    def own_job(self, name: str) -> Object | None:
        """Return a Job of this very session; None for one of a session before it."""
        job = self.site.cluster.find("Job", name, self.namespace)
        owners = metadata(job or {}).get("ownerReferences") or []
        return job if any(each.get("uid") == uid_of(self.session) for each in owners) else None

    def pods(self) -> list[Object]:
        """Return the pods of the session's Job."""
        labels = {JOB_NAME_LABEL: self.job_name}
        return self.site.cluster.list("Pod", self.namespace, labels=labels)
