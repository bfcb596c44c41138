# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an invoker can be served: from what it says and refers to, to conditions. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ClusterForbidden,
    InvalidObject,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes import conditions as c
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.app_binding import (
    address_of,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.hooks import (
    ExecAction,
    parse_handler,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.invoker import (
    BACKUP,
    Invoker,
)
from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.repository_spec import (
    RepositorySpec,
    allowed,
)

if t.TYPE_CHECKING:
    from ansible_collections.granary.postgres.operator.controller.facts import Fact, Facts
    from ansible_collections.granary.postgres.plugins.module_utils._kubernetes.objects import Object

FITS_RESTRICTED = "FitsRestrictedPodSecurity"
"""Ours, on top of Stash's: False where the repository's volume keeps pods out of namespaces that
enforce the pod security standard ``restricted``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """``repository`` is None where it cannot be used; ``is_sound``: every condition is met."""

    conditions: list[Object]
    repository: RepositorySpec | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing stands in the way."""
        return all(
            each["status"] == c.TRUE for each in self.conditions if each["type"] != FITS_RESTRICTED
        )


def refused(error: InvalidObject) -> Evaluation:
    """Return what is said of an invoker that cannot even be read."""
    return Evaluation(conditions=[c.condition(c.VALIDATION_PASSED, c.FALSE, error.sentence)])


def evaluate(invoker: Invoker, facts: Facts, *, exec_hooks: bool) -> Evaluation:
    """Return all conditions that can be told, in Stash's order.

    ``exec_hooks``: hooks that run commands in pods are served here.
    """
    place = f"{invoker.repository.namespace}/{invoker.repository.name}"
    conditions = [_found(c.REPOSITORY_FOUND, f"Repository {place}", facts.repository)]
    spec, complaint = _repository(invoker, facts)
    if spec is not None:
        secret = f"Backend Secret {spec.namespace}/{spec.secret_name}"
        conditions.append(_found(c.BACKEND_SECRET_FOUND, secret, facts.secret))
    complaint = complaint or _hooks_complaint(invoker, exec_hooks) or _binding_complaint(facts)
    if isinstance(facts.repository, dict) or complaint:
        conditions.append(
            c.condition(
                c.VALIDATION_PASSED,
                c.FALSE if complaint else c.TRUE,
                complaint or f"Successfully validated {invoker.kind}.",
            )
        )
    conditions.append(_target(invoker, facts.binding))
    if spec is not None and spec.local is not None and spec.local.is_outside_restricted:
        conditions.append(_outside_restricted(spec))
    return Evaluation(conditions=conditions, repository=None if complaint else spec)


def _found(type_: str, what: str, fact: Fact) -> Object:
    if isinstance(fact, ClusterForbidden):
        return c.condition(
            type_, c.UNKNOWN, f"Failed to check whether {what} exists. Reason: {fact.sentence}"
        )
    if fact is None:
        return c.condition(type_, c.FALSE, f"{what} does not exist.")
    return c.condition(type_, c.TRUE, f"{what} exist.")  # Stash's words


def _target(invoker: Invoker, binding: Fact) -> Object:
    type_ = c.BACKUP_TARGET_FOUND if invoker.kind == BACKUP else c.RESTORE_TARGET_FOUND
    verb = "Backup" if invoker.kind == BACKUP else "Restore"
    target = invoker.target
    what = f"{verb} target {target.kind} {target.namespace}/{target.name}"
    if isinstance(binding, dict):
        return c.condition(type_, c.TRUE, f"{what} found.")
    return _found(type_, what, binding)


def _repository(invoker: Invoker, facts: Facts) -> tuple[RepositorySpec | None, str | None]:
    """Return the repository as far as it can be read, and what speaks against using it."""
    if not isinstance(facts.repository, dict):
        return None, None
    spec = None
    try:
        spec = RepositorySpec.parse(facts.repository)
        spec.check_supported()
        _check_allowed(invoker, spec, facts.namespace_labels)
    except InvalidObject as exc:
        return spec, exc.sentence
    return spec, None


def _check_allowed(invoker: Invoker, spec: RepositorySpec, labels: Fact) -> None:
    """Raise ``InvalidObject`` unless the repository's usage policy lets the invoker use it."""
    if isinstance(labels, ClusterForbidden):
        raise InvalidObject(
            f"The labels of namespace {invoker.namespace}, by which Repository {spec.name} selects "
            f"its users, cannot be read: {labels.message}"
        )
    if not allowed(spec, invoker.namespace, labels):
        raise InvalidObject(
            f"Namespace {invoker.namespace} is not allowed to use Repository "
            f"{spec.namespace}/{spec.name}; its spec.usagePolicy says who is."
        )


def _hooks_complaint(invoker: Invoker, exec_hooks: bool) -> str | None:
    for name, hook in invoker.hooks.items():
        if not hook:
            continue
        try:
            handler = parse_handler(hook)
        except InvalidObject as exc:
            return f"spec.hooks.{name} cannot be served: {exc.sentence}"
        if not exec_hooks and any(isinstance(each, ExecAction) for each in handler.actions):
            return (
                f"spec.hooks.{name} runs a command in a pod, for which this operator has no "
                "rights; install it with exec hooks, or use another kind of hook."
            )
    return None


def has_exec_hook(invoker: Invoker) -> bool:
    """Whether a hook of the invoker runs a command in a pod. Raises ``InvalidObject``."""
    handlers = [parse_handler(hook) for hook in invoker.hooks.values() if hook]
    return any(isinstance(each, ExecAction) for handler in handlers for each in handler.actions)


def _binding_complaint(facts: Facts) -> str | None:
    if not isinstance(facts.binding, dict):
        return None
    try:
        address_of(facts.binding)
    except InvalidObject as exc:
        return exc.sentence
    return None


def _outside_restricted(spec: RepositorySpec) -> Object:
    source = next(iter(spec.local.source)) if spec.local else ""
    return {
        **c.condition(c.VALIDATION_PASSED, c.FALSE, ""),
        "type": FITS_RESTRICTED,
        "reason": "VolumeOutsideRestricted",
        "message": (
            f"Repository {spec.namespace}/{spec.name} lies on a volume of the kind {source}, which "
            "namespaces that enforce the pod security standard restricted refuse; "
            "use a PersistentVolumeClaim there."
        ),
    }
