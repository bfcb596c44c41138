# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Texts of hooks that are templates: Go's text/template with sprig, rendered by a program of the
image, since nothing else speaks that language exactly.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._core.errors import HookFailed, ProgramError
from .._core.process import PIPE, Child

if t.TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "hook-template"


def render(template: str, data: Mapping[str, t.Any], *, program: str = PROGRAM) -> str:
    """Return the text that ``template`` makes of ``data``.

    Raises ``HookFailed`` with the program's words, ``ProgramMissing`` where there is none.
    """
    request = json.dumps({"template": template, "data": data}).encode()
    # Nothing of our environment but where programs are: the template is the user's.
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    with Child([program], env=env, stdin=PIPE) as child:
        with contextlib.suppress(BrokenPipeError):  # how it ends says why
            child.stdin.write(request)
            child.stdin.close()
        rendered = child.stdout.read()
        try:
            child.wait()
        except ProgramError as exc:
            said = "; ".join(line for line in child.stderr_lines if line) or exc.message
            raise HookFailed(
                f"A template of the hook cannot be rendered: {said}; correct it."
            ) from exc
    return rendered.decode("utf-8", "replace")
