# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Runs one engine call for a module: errors, warnings and results in Ansible's terms."""

from __future__ import annotations

import typing as t

from .._core.errors import GranaryError
from .._core.events import RecordedEvents
from .dependencies import require

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ansible.module_utils.basic import AnsibleModule

    from .._core.events import Events

    Action = Callable[[Mapping[str, t.Any], bool, Events], dict[str, t.Any]]


def run_module(module: AnsibleModule, action: Action, libraries: Iterable[str]) -> None:
    """Call ``action(params, check_mode, events)`` and end the module with what it returns or
    raises.

    ``libraries`` are the Python libraries that the call needs. A ``diff`` in the result is kept
    only in diff mode; a result of which ``failed`` is true ends the module as a failure.
    """
    events = RecordedEvents()
    try:
        require(libraries)
        result = action(module.params, module.check_mode, events)
    except GranaryError as exc:
        _show_warnings(module, events)
        module.fail_json(**failure(exc))
    _show_warnings(module, events)
    # pylint: disable-next=protected-access; AnsibleModule has no public name for diff mode
    if not module._diff:
        result.pop("diff", None)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


def failure(exc: GranaryError) -> dict[str, t.Any]:
    """Return what a failed task returns of its error; put into a result, it makes that a failure
    which keeps the rest.
    """
    details = {name: value for name, value in exc.details.items() if value is not None}
    error = {"code": exc.code, "retryable": exc.retryable, "details": details}
    return {"failed": True, "msg": exc.sentence, "error": error}


def _show_warnings(module: AnsibleModule, events: RecordedEvents) -> None:
    for message in events.warnings:
        module.warn(message)
