# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what callbacks are told of each task to a file, one JSON object a line, for the tests."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: granary_results
type: notification
short_description: Write the results of tasks to the file that GRANARY_TEST_RESULTS names
description:
  - One JSON object a line, with C(host), C(task), C(outcome) and C(result).
author:
  - Granary contributors (@granary-postgres)
"""


class CallbackModule(CallbackBase):
    """Keeps results in the order in which they come."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "granary_results"

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Keep the result of a task that ended well."""
        self._keep(result, "ok")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Keep the result of a task that failed."""
        self._keep(result, "failed")

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        """Keep that a task was skipped."""
        self._keep(result, "skipped")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """Keep that a host could not be reached."""
        self._keep(result, "unreachable")

    @staticmethod
    def _keep(result: t.Any, outcome: str) -> None:
        line = {
            "host": result.host.get_name(),
            "task": result.task.get_name(),
            "outcome": outcome,
            "result": result.result,
        }
        with open(os.environ["GRANARY_TEST_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
