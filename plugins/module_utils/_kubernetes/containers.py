# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What every container of a Job gets beside its image and arguments: the rights that are taken from
it, its environment, and the user's ``runtimeSettings.container``.

Pure: dicts in, dicts out.
"""

from __future__ import annotations

import typing as t

from .names import SCRATCH_PATH

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .objects import Object

USER_ID = 65535
"""User and group of the image, and of every pod that its user gives no other: backups and restores
can read what the other wrote."""
USER_NAME = "granary"

_TAKEN_OVER = ("resources", "livenessProbe", "readinessProbe", "lifecycle", "envFrom")
_ROOT_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
"""What somebody who asks for user 0 wants it for: files of others on a volume."""


def identity_environment(cluster_uid: str) -> list[Object]:
    """Return the variables by which a process in a pod knows who it is; a lock proves with them
    later that its owner is gone.
    """
    fields = {
        "GRANARY_POD_NAMESPACE": "metadata.namespace",
        "GRANARY_POD_NAME": "metadata.name",
        "GRANARY_POD_UID": "metadata.uid",
        "GRANARY_NODE_NAME": "spec.nodeName",
    }
    return [
        {"name": "GRANARY_CLUSTER", "value": cluster_uid},
        *(field_variable(name, path) for name, path in fields.items()),
        # The user has no entry in /etc/passwd and no home of its own.
        {"name": "TMPDIR", "value": SCRATCH_PATH},
        {"name": "HOME", "value": SCRATCH_PATH},
        {"name": "USER", "value": USER_NAME},
    ]


def field_variable(name: str, path: str) -> Object:
    """Return a variable that holds a field of the pod itself."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def niceness_environment(settings: Mapping[str, t.Any]) -> list[Object]:
    """Return ``nice`` and ``ionice`` of ``runtimeSettings.container`` as Stash's variables."""
    nice, ionice = settings.get("nice") or {}, settings.get("ionice") or {}
    values = {
        "NICE_ADJUSTMENT": nice.get("adjustment"),
        "IONICE_CLASS": ionice.get("class"),
        "IONICE_CLASS_DATA": ionice.get("classData"),
    }
    return [{"name": k, "value": str(v)} for k, v in values.items() if v is not None]


def with_function_settings(container: Object, settings: Mapping[str, t.Any]) -> Object:
    """Return a Function's container with the ``runtimeSettings`` that the Function itself has."""
    settled = {**container, **_taken_over(settings)}
    environment = [*niceness_environment(settings), *(settings.get("env") or [])]
    if environment:
        settled["env"] = _by_name([*environment, *(container.get("env") or [])])
    if settings.get("securityContext"):
        settled["securityContext"] = dict(settings["securityContext"])
    return settled


def with_settings(
    container: Object,
    settings: Mapping[str, t.Any],
    *,
    environment: Iterable[Object],
    pod_security: Mapping[str, t.Any],
    read_only: bool,
) -> Object:
    """Return ``container`` with our environment, the user's ``settings`` and fewer rights.

    Later variables of one name win: ours, then the container's own, then the user's.
    ``pod_security`` is the pod's securityContext, as it will be. ``read_only`` closes the image's
    file system, which only our own image is known to bear.
    """
    settled = {**container, **_taken_over(settings)}
    own, users = container.get("env") or [], settings.get("env") or []
    settled["env"] = _by_name([*environment, *niceness_environment(settings), *own, *users])
    given = {**(container.get("securityContext") or {}), **(settings.get("securityContext") or {})}
    settled["securityContext"] = restricted(given, pod_security, read_only=read_only)
    settled.setdefault("imagePullPolicy", "IfNotPresent")
    # A process that is killed, or cannot even begin, leaves no sentence of its own.
    settled.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    return settled


def restricted(
    given: Mapping[str, t.Any], pod_security: Mapping[str, t.Any], *, read_only: bool
) -> Object:
    """Return a container's securityContext: what ``given`` says, else what ``restricted`` wants.

    It stands on containers because a user's securityContext of the pod replaces ours as a whole.
    User 0, asked for by name, keeps what one asks it for: the files of others.
    """
    user = given.get("runAsUser", pod_security.get("runAsUser"))
    context: Object = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "readOnlyRootFilesystem": read_only,
    }
    if user == 0:
        context["capabilities"] = {"drop": ["ALL"], "add": list(_ROOT_CAPABILITIES)}
    else:
        context["runAsNonRoot"] = True
    if given.get("privileged"):
        del context["allowPrivilegeEscalation"]  # the API server refuses the two together
    return {**context, **given}


def _taken_over(settings: Mapping[str, t.Any]) -> Object:
    return {field: settings[field] for field in _TAKEN_OVER if settings.get(field)}


def _by_name(variables: Iterable[Object]) -> list[Object]:
    return list({each["name"]: each for each in variables}.values())
