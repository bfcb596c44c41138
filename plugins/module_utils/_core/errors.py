# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The one error tree: what the engine raises and what every face shows.

Each message is one sentence that says what happened, to which object, and what the user can do; the
cause's own words stay in it, secrets do not. Libraries' exceptions are translated once, at the edge
that calls the library.

GranaryError
  ConfigError                     an option or a combination of options that cannot work
  Cancelled                       somebody asked us to stop (SIGTERM, SIGINT)
  ProgramError                    a client program ended with a status other than 0
    ProgramMissing
  StorageError                    bytes under names
    ObjectMissing
    ObjectTooShort                it ends before the range that was asked for
    AccessDenied
    StorageFull
    StorageUnavailable  *         the store did not answer as it should; trying again may help
    OutcomeUnknown                a write or a delete may have happened, or may still happen
  RepositoryError
    RepositoryMissing             there is no repository at that place
    WrongPassword
    RepositoryLocked  *
    LockLost
    RepositoryDamaged
    RepositoryNotEmpty            it holds what must not go with it
    SnapshotMissing
    SnapshotAmbiguous
  PostgresError
    ServerUnreachable  *
    LoginRefused
    ServerUnsupported
    DatabaseMissing
    RightsMissing
    TableLocksRefused  *
    BackupYielded  *
    DumpFailed
    RestoreFailed
    TargetNotEmpty
    VerifyFailed
  ClusterError                    the Kubernetes API server refused or failed a request
    ClusterObjectMissing
    ClusterObjectExists
    ClusterConflict  *            the object was changed meanwhile
    ClusterForbidden
    ClusterUnavailable  *
    HookFailed
    PushgatewayUnavailable  *
    SessionFailed                 a BackupSession or RestoreSession ended without success
    SessionUnfinished  *
  InvalidObject                   a Kubernetes object asks for what cannot be
    NotSupported                  it asks for what Granary does not do

* retryable: the same call may succeed later without any change by the user.
"""

from __future__ import annotations

import typing as t

_CHECK = "repository_check"  # the module that finds damage and names whom it hits


class GranaryError(Exception):
    """Base of every error that the engine raises on purpose.

    ``details`` are short facts for machines (names, numbers, ids), never secrets.
    """

    code: t.ClassVar[str] = "granary"
    retryable: t.ClassVar[bool] = False
    advice: str = ""
    """What the user can do, for a kind of error that is raised where only the fact is known."""

    def __init__(self, message: str, **details: str | int | None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @property
    def sentence(self) -> str:
        """The message for people: with the advice of its kind, unless that is in it already."""
        if not self.advice or _CHECK in self.message:
            return self.message
        return f"{self.message.rstrip('.')}; {self.advice}."

    def __reduce__(self) -> tuple[t.Any, ...]:
        # Errors cross from workers to the coordinator by pickle; keyword details need help.
        return (_rebuild, (type(self), self.message, self.details))


def _rebuild(
    kind: type[GranaryError], message: str, details: dict[str, str | int | None]
) -> GranaryError:
    return kind(message, **details)


class ConfigError(GranaryError):
    """An option, or a combination of options, cannot work; nothing was touched."""

    code = "config"


class Cancelled(GranaryError):
    """The run was asked to stop and did."""

    code = "cancelled"


class ProgramError(GranaryError):
    """A client program ended with a status other than 0, or was killed."""

    code = "program_failed"


class ProgramMissing(ProgramError):
    """No client program of a fitting version was found."""

    code = "program_missing"


class StorageError(GranaryError):
    """The store refused or failed an operation in a way that has no class of its own."""

    code = "storage"


class ObjectMissing(StorageError):
    """The named object, folder or bucket does not exist."""

    code = "object_missing"


class ObjectTooShort(StorageError):
    """The named object ends before the range that was asked for: damage, not an outage."""

    code = "object_too_short"


class AccessDenied(StorageError):
    """The store knows us and says no, or does not know us."""

    code = "access_denied"


class StorageFull(StorageError):
    """No room is left (disk, quota)."""

    code = "storage_full"


class StorageUnavailable(StorageError):
    """The store did not answer, or not as it should, after all tries."""

    code = "storage_unavailable"
    retryable = True


class OutcomeUnknown(StorageError):
    """A write or delete got no answer; it may have happened, not have happened, or happen later."""

    code = "outcome_unknown"


class RepositoryError(GranaryError):
    """A repository rule was broken in a way that has no class of its own."""

    code = "repository"


class RepositoryMissing(RepositoryError):
    """The place holds no repository."""

    code = "repository_missing"


class WrongPassword(RepositoryError):
    """No key of the repository opens with the given password."""

    code = "wrong_password"


class RepositoryLocked(RepositoryError):
    """Somebody else holds a lock that conflicts with ours."""

    code = "repository_locked"
    retryable = True


class LockLost(RepositoryError):
    """Our lock is gone or too old: nothing more may be written by this run."""

    code = "lock_lost"


class RepositoryDamaged(RepositoryError):
    """Stored bytes are missing or are not what their name says."""

    code = "repository_damaged"
    advice = f"run {_CHECK} to see which snapshots and tables are damaged, and what to do"


class RepositoryNotEmpty(RepositoryError):
    """The repository holds snapshots, or its place holds other things; it was not removed."""

    code = "repository_not_empty"


class SnapshotMissing(RepositoryError):
    """No snapshot fits the request."""

    code = "snapshot_missing"


class SnapshotAmbiguous(RepositoryError):
    """More than one snapshot fits the request."""

    code = "snapshot_ambiguous"


class PostgresError(GranaryError):
    """The server reported an error that has no class of its own."""

    code = "postgres"


class ServerUnreachable(PostgresError):
    """The server could not be reached, or the connection broke."""

    code = "server_unreachable"
    retryable = True


class LoginRefused(PostgresError):
    """The server is there and refuses the login (password, certificate, pg_hba.conf, TLS)."""

    code = "login_refused"


class ServerUnsupported(PostgresError):
    """The server's version, or what answers in its place (a pooler), cannot be served."""

    code = "server_unsupported"


class DatabaseMissing(PostgresError):
    """A named database does not exist."""

    code = "database_missing"


class RightsMissing(PostgresError):
    """The role may not read or do everything that was asked; all of it is named."""

    code = "rights_missing"


class TableLocksRefused(PostgresError):
    """Table locks could not be had within the allowed number of attempts."""

    code = "table_locks_refused"
    retryable = True


class BackupYielded(PostgresError):
    """Somebody waited behind our table locks for longer than ``yield_after``; no snapshot."""

    code = "yielded"
    retryable = True


class DumpFailed(PostgresError):
    """The dump is not whole; there is no snapshot."""

    code = "dump_failed"


class RestoreFailed(PostgresError):
    """The restore met an error; the target is not whole and is marked so."""

    code = "restore_failed"


class TargetNotEmpty(PostgresError):
    """The target database exists and holds objects."""

    code = "target_not_empty"


class VerifyFailed(PostgresError):
    """What stands in the target is not what the manifest says."""

    code = "verify_failed"


class ClusterError(GranaryError):
    """The Kubernetes API server failed a request in a way that has no class of its own."""

    code = "cluster"


class ClusterObjectMissing(ClusterError):
    """The named object, its namespace or its whole kind does not exist in the cluster."""

    code = "cluster_object_missing"


class ClusterObjectExists(ClusterError):
    """An object of that name is there already, and perhaps belongs to somebody else."""

    code = "cluster_object_exists"


class ClusterConflict(ClusterError):
    """The object was changed or deleted between our reading and our writing."""

    code = "cluster_conflict"
    retryable = True


class ClusterForbidden(ClusterError):
    """The API server does not know us, or knows us and says no."""

    code = "cluster_forbidden"


class ClusterUnavailable(ClusterError):
    """The API server did not answer, or not as it should."""

    code = "cluster_unavailable"
    retryable = True


class HookFailed(ClusterError):
    """A user's hook failed; its execution policy and place decide what that means."""

    code = "hook_failed"


class PushgatewayUnavailable(ClusterError):
    """Metrics could not be pushed; the backup or restore is none the worse for it."""

    code = "pushgateway_unavailable"
    retryable = True


class SessionFailed(ClusterError):
    """A BackupSession or a RestoreSession has ended, and not well; its own words say why."""

    code = "session_failed"


class SessionUnfinished(ClusterError):
    """A session had not ended when the time to wait for it was over; it goes on."""

    code = "session_unfinished"
    retryable = True


class InvalidObject(GranaryError):
    """A Kubernetes object asks for what cannot be; somebody has to correct it."""

    code = "invalid_object"


class NotSupported(InvalidObject):
    """A Kubernetes object asks for a part of Stash's API that Granary does not serve."""

    code = "not_supported"
