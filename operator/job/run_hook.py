# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`run-hook`: one hook of a session, before its work or after it.

A first hook that fails ends the Job, so that nothing is backed up or restored; a last one only says
so. Each runs once: what stands in its condition is not done again.
"""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.granary.postgres.operator.job.arguments import (
    add_output,
)
from ansible_collections.granary.postgres.operator.job.container import ended, own_namespace
from ansible_collections.granary.postgres.operator.job.hook_data import HookOutcome, hook_data
from ansible_collections.granary.postgres.operator.job.plain_arguments import (
    command_parser,
    flag,
    read_arguments,
)
from ansible_collections.granary.postgres.operator.job.session_status import SessionStatus
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    GranaryError,
    HookFailed,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.cluster import Cluster
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hook_exec import (
    execute_in_pod,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hook_pod import (
    executor_pod,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hook_run import (
    HookRunner,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hook_template import (
    PROGRAM,
    render,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hooks import (
    parse_handler,
    reason_to_skip,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import Invoker

if t.TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ansible_collections.granary.postgres.operator.job.log_lines import LogEvents
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

_CONDITIONS = {
    "preBackup": conditions.PRE_BACKUP_HOOK_SUCCEEDED,
    "postBackup": conditions.POST_BACKUP_HOOK_SUCCEEDED,
    "preRestore": conditions.PRE_RESTORE_HOOK_SUCCEEDED,
    "postRestore": conditions.POST_RESTORE_HOOK_SUCCEEDED,
}


def main(
    arguments: Sequence[str], *, cluster: Cluster | None = None, template_program: str = PROGRAM
) -> int:
    """Return 0 unless a first hook failed, or a condition could not be written."""

    def work(events: LogEvents) -> None:
        options = read_arguments(_parser(), arguments, events)
        _Hook(options, cluster or Cluster.connect(), events, template_program).run()

    return ended(work)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("run-hook")
    add_output(parser)
    parser.add_argument("--hook-type", required=True, choices=list(_CONDITIONS))
    for name in ("namespace", "backupsession", "hostname", "target-namespace"):
        parser.add_argument(f"--{name}", default="")
    for name in ("invoker-kind", "invoker-name", "target-kind", "target-name"):
        parser.add_argument(f"--{name}", required=True)
    # Taken, as Stash gives them; what a hook did stands in the session's metrics.
    parser.add_argument("--metrics-enabled", default="")
    parser.add_argument("--metrics-pushgateway-url", default="")
    parser.add_argument("--verify-tls", type=flag, default=False, nargs="?", const=True)
    return parser


class _Hook:
    def __init__(
        self, options: argparse.Namespace, cluster: Cluster, events: LogEvents, program: str
    ) -> None:
        self._options = options
        self._cluster = cluster
        self._events = events
        self._program = program
        namespace = options.namespace or own_namespace()
        found = cluster.get(options.invoker_kind, options.invoker_name, namespace)
        self._invoker = Invoker.parse(found)
        if options.backupsession:
            found = cluster.get("BackupSession", options.backupsession, namespace)
        self._target = {
            "apiVersion": "appcatalog.appscode.com/v1alpha1",
            "kind": options.target_kind,
            "name": options.target_name,
            "namespace": options.target_namespace or namespace,
        }
        self._session = SessionStatus(cluster, found, self._target)

    @property
    def _is_first(self) -> bool:
        return bool(self._options.hook_type.startswith("pre"))

    def run(self) -> None:
        """Run the hook. Raises ``HookFailed`` for a first one that failed."""
        type_ = _CONDITIONS[self._options.hook_type]
        before = self._session.condition_of_target(type_)
        if before is not None:
            self._events.progress("hook_was_run", status=before["status"])
            self._end(before["status"] == conditions.TRUE, str(before.get("message")))
            return
        try:
            message = self._message()
        except GranaryError as exc:
            self._events.error("hook_failed", code=exc.code, message=exc.sentence)
            self._session.set_condition_of_target(type_, conditions.FALSE, exc.sentence)
            self._end(False, exc.sentence)
            return
        self._events.progress("hook_done", message=message)
        self._session.set_condition_of_target(type_, conditions.TRUE, message)

    def _end(self, succeeded: bool, message: str) -> None:
        if self._is_first and not succeeded:
            raise HookFailed(message)

    def _message(self) -> str:
        """Do what the hook asks for and return what its condition says."""
        name = self._options.hook_type
        hook = self._invoker.hooks.get(name)
        if not hook:
            raise InvalidObject(
                f"{self._invoker.kind} {self._invoker.namespace}/{self._invoker.name} has no hook "
                f"{name}; correct spec.hooks."
            )
        handler = parse_handler(hook)
        outcome = HookOutcome.of(self._session, self._options.output_dir, known=not self._is_first)
        if not self._is_first:
            skipped = reason_to_skip(
                handler.policy, failed=outcome.failed, retry_left=self._session.retry_left
            )
            if skipped is not None:
                return (
                    f"Skipping executing {name} hook, since {skipped} and its executionPolicy is "
                    f"{handler.policy}."
                )
        data = hook_data(self._invoker, self._session, self._target, outcome)
        handler = handler.with_texts(lambda text: render(text, data, program=self._program))
        HookRunner(
            find_pod=self._pod,
            execute=functools.partial(execute_in_pod, self._cluster),
            verify_tls=self._options.verify_tls,
        ).run(handler)
        return f"Successfully executed {name} hook."

    @functools.lru_cache(maxsize=1)  # noqa: B019 - the object lives as long as the process
    def _pod(self) -> Object:
        binding = self._cluster.get("AppBinding", self._target["name"], self._target["namespace"])
        return executor_pod(self._cluster, binding)
