# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`granary COMMAND`: the image's entry point, for the operator and for the containers of its Jobs.

A command's code is imported when it is asked for: the trigger of a schedule must not wait for
libraries that a backup needs.
"""

from __future__ import annotations

import sys
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def _operator(arguments: Sequence[str]) -> int:
    from ansible_collections.granary.postgres.operator.controller.main import main

    return main(arguments)


def _backup_pg(arguments: Sequence[str]) -> int:
    from ansible_collections.granary.postgres.operator.job.backup_pg import main

    return main(arguments)


def _restore_pg(arguments: Sequence[str]) -> int:
    from ansible_collections.granary.postgres.operator.job.restore_pg import main

    return main(arguments)


def _update_status(arguments: Sequence[str]) -> int:
    from ansible_collections.granary.postgres.operator.job.update_status import main

    return main(arguments)


def _create_backupsession(arguments: Sequence[str]) -> int:
    from ansible_collections.granary.postgres.operator.job.create_backupsession import main

    return main(arguments)


def _run_hook(arguments: Sequence[str]) -> int:
    from ansible_collections.granary.postgres.operator.job.run_hook import main

    return main(arguments)


def _wipe_out(arguments: Sequence[str]) -> int:
    from ansible_collections.granary.postgres.operator.job.wipe_out import main

    return main(arguments)


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "operator": _operator,
    "backup-pg": _backup_pg,
    "restore-pg": _restore_pg,
    "update-status": _update_status,
    "create-backupsession": _create_backupsession,
    "run-hook": _run_hook,
    "wipe-out": _wipe_out,
}


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first argument names; return its exit status."""
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        sys.stderr.write(f"usage: granary {{{','.join(COMMANDS)}}} ...\n")
        return 2
    return command(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
