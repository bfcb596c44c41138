# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Thin access to the API server: objects in and out are plain dicts, errors are of our own tree.

Must not know what any kind means to us. Safe for several threads.
"""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from .._core.errors import (
    ClusterConflict,
    ClusterError,
    ClusterObjectExists,
    ClusterObjectMissing,
    ClusterUnavailable,
    InvalidObject,
)
from .cluster_access import ClusterAccess, connected
from .cluster_errors import GONE, OVERLOADED, answered, unreachable
from .objects import (
    Object,
    described,
    described_object,
    kind_named,
    metadata,
    name_of,
    namespace_of,
)
from .wanted import brought_to, check_owner, is_as_wanted, stamped

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kubernetes.client import ApiClient

PAGE = 500
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_ATTEMPTS = 5
_MERGE_PATCH = "application/merge-patch+json"
Query: t.TypeAlias = "Sequence[tuple[str, str]]"
Objects: t.TypeAlias = "list[Object]"


class _Overtaken(Exception):
    """Somebody else made, changed or removed the object between our reading and our writing."""


class Cluster:
    """One API server and one way to log in.

    ``requests`` counts what was sent to it; ``api_client`` is the library's client, for what is no
    request for objects (exec).
    """

    def __init__(self, client: ApiClient, *, patience_s: float = 10.0) -> None:
        self.api_client = client
        self._patience_s = patience_s
        self._counting = threading.Lock()
        self.requests = 0

    @classmethod
    def connect(cls, *, patience_s: float = 10.0, **access: t.Any) -> Cluster:
        """Return the cluster that ``ClusterAccess``' options name; nobody is asked anything yet.

        ``patience_s``: how long a request is tried again while the server does not answer or is
        overloaded, where a second try cannot do a thing twice. Raises ``ConfigError``.
        """
        return cls(connected(ClusterAccess(**access)), patience_s=patience_s)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """Return one object. Raises ``ClusterObjectMissing``, ``ClusterError``."""
        what = described(kind, name, namespace)
        return self._ask("GET", kind_named(kind).path(namespace, name), what)

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, or None where it is not there. Raises ``ClusterError``."""
        try:
            return self.get(kind, name, namespace)
        except ClusterObjectMissing:
            return None

    def list(
        self, kind: str, namespace: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> Objects:
        """Return all objects of a kind, of one namespace or of the cluster, that have ``labels``.

        Read in pages; begun again where the server forgot the list meanwhile. Items have kind and
        apiVersion, which the server leaves out. Raises ``ClusterError``.
        """
        for dummy in range(_ATTEMPTS):
            try:
                return list(self._pages(kind, namespace, labels or {}))
            except ClusterConflict as exc:
                if exc.details.get("status") != GONE:
                    raise
        raise ClusterConflict(
            f"The list of {described(kind, None, namespace)} changes faster than it can be read; "
            "it is asked for again."
        )

    def _pages(
        self, kind: str, namespace: str | None, labels: Mapping[str, str]
    ) -> Iterator[Object]:
        where = kind_named(kind)
        query = [("limit", str(PAGE))]
        if labels:
            query.append(("labelSelector", ",".join(f"{k}={v}" for k, v in labels.items())))
        following = ""
        while True:
            page = self._ask(
                "GET",
                where.path(namespace),
                described(kind, None, namespace),
                query=[*query, ("continue", following)] if following else query,
            )
            for item in page.get("items") or []:
                yield {**item, "apiVersion": where.api_version, "kind": kind}
            following = metadata(page).get("continue") or ""
            if not following:
                return

    def create(self, obj: Object) -> Object:
        """Create an object and return it as the server keeps it.

        Raises ``ClusterObjectExists``, ``InvalidObject`` (the server refuses its content),
        ``ClusterObjectMissing`` (its namespace or kind), ``ClusterError``.
        """
        path = kind_named(obj["kind"]).path(namespace_of(obj))
        return self._ask("POST", path, described_object(obj), body=obj)

    def replace(self, obj: Object) -> Object:
        """Write an object that was read before.

        Raises ``ClusterConflict`` where it was changed since (metadata.resourceVersion),
        ``ClusterObjectMissing``, ``InvalidObject``, ``ClusterError``.
        """
        return self._put(obj, "")

    def replace_status(self, obj: Object) -> Object:
        """Write the status alone of an object that was read before; raises as ``replace``."""
        return self._put(obj, "/status")

    def _put(self, obj: Object, subresource: str) -> Object:
        if not metadata(obj).get("resourceVersion"):
            raise InvalidObject(
                f"{described_object(obj)} was not read from the cluster; read it before writing."
            )
        path = kind_named(obj["kind"]).path(namespace_of(obj), name_of(obj))
        return self._ask("PUT", path + subresource, described_object(obj), body=obj)

    def patch(self, kind: str, name: str, namespace: str | None, merge_patch: Object) -> Object:
        """Merge ``merge_patch`` into an object (RFC 7386: None removes, lists are replaced).

        Not for status: two writers would lose each other's conditions. Raises as ``replace``.
        """
        return self._ask(
            "PATCH",
            kind_named(kind).path(namespace, name),
            described(kind, name, namespace),
            body=merge_patch,
        )

    def delete(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: str = "Background",
    ) -> bool:
        """Delete an object; returns False where it was not there.

        With ``uid`` only that very object: one made anew under its name stays, which is False too.
        Raises ``ClusterError``.
        """
        body: Object = {"propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        path = kind_named(kind).path(namespace, name)
        try:
            self._ask("DELETE", path, described(kind, name, namespace), body=body)
        except ClusterObjectMissing:
            return False
        except ClusterConflict:
            if uid:
                return False
            raise
        return True

    def ensure(self, wanted: Object) -> Object:
        """Create an object of ours, or bring the one that is there to what is wanted.

        Only labels, annotations that are wanted, and what stands beside ``metadata`` and
        ``status`` are ours to change; nothing is sent where all is as wanted. Raises
        ``ClusterObjectExists`` where the object belongs to another owner, ``ClusterConflict``
        while it is being deleted, else as ``create``.
        """
        wanted = stamped(wanted)
        for dummy in range(_ATTEMPTS):
            present = self.find(wanted["kind"], name_of(wanted), namespace_of(wanted))
            with contextlib.suppress(_Overtaken):
                if present is None:
                    return self._create_first(wanted)
                check_owner(present, wanted)
                if is_as_wanted(present, wanted):
                    return present
                return self._replace_unchanged(brought_to(present, wanted))
        raise ClusterConflict(
            f"{described_object(wanted)} is changed by somebody else each time that we write it; "
            "find out who else manages it."
        )

    def _create_first(self, obj: Object) -> Object:
        try:
            return self.create(obj)
        except ClusterObjectExists as exc:
            raise _Overtaken from exc

    def _replace_unchanged(self, obj: Object) -> Object:
        try:
            return self.replace(obj)
        except (ClusterConflict, ClusterObjectMissing) as exc:
            raise _Overtaken from exc

    def _ask(
        self, method: str, path: str, what: str, *, body: Object | None = None, query: Query = ()
    ) -> Object:
        """Send one request, again while the server is not there and a second try is harmless."""
        until = time.monotonic() + self._patience_s
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return self._send(method, path, what, body=body, query=query)
            except ClusterUnavailable as exc:
                if not _may_repeat(method, exc) or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _send(
        self, method: str, path: str, what: str, *, body: Object | None, query: Query
    ) -> Object:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        with self._counting:
            self.requests += 1
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if method == "PATCH":
            headers["Content-Type"] = _MERGE_PATCH
        try:
            answer = self.api_client.call_api(
                path,
                method,
                query_params=query,
                header_params=headers,
                body=body,
                response_types_map=dict.fromkeys((200, 201, 202), "object"),
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )
        except ApiException as exc:
            if exc.status:
                raise answered(exc.status, exc.body, what) from exc
            raise unreachable(exc, self.api_client.configuration.host, what) from exc
        except HTTPError as exc:
            raise unreachable(exc, self.api_client.configuration.host, what) from exc
        if not isinstance(answer, dict):
            raise ClusterError(f"The API server's answer about {what} is not an object.")
        return answer


def _may_repeat(method: str, exc: ClusterError) -> bool:
    """Whether a request without a good answer may be sent again.

    A creation that got no answer may have happened; a refused connection and a full queue prove
    that it did not.
    """
    from urllib3.exceptions import NewConnectionError

    refused = exc.details.get("status") == OVERLOADED
    return method != "POST" or refused or isinstance(exc.__cause__, NewConnectionError)
