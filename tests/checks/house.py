# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules that no other tool counts: sizes, headers, names, checks silenced without a reason."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import typing as t
from pathlib import Path

FILE_LINES = 600
FUNCTION_LINES = 40
MODULE_LINES = 60  # of a module's Python below its documentation
VAGUE_NAMES = frozenset(("utils", "helpers", "common", "manager"))
# REUSE-IgnoreStart: the headers that are asked for
HEADER = "# Copyright (c) 2026 Granary contributors"
BSD_HEADER = (
    HEADER,
    "# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)",
    "# SPDX-License-Identifier: BSD-2-Clause",
)
GPL_HEADER = (
    HEADER,
    "# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
)
# REUSE-IgnoreEnd
SILENCED = re.compile(r"# ?(?:type: ?ignore|noqa|pylint: ?disable|pragma: no cover)(?P<rest>.*)")
CODES = r"(?:\[[\w, -]+\]|: [A-Z]+\d+(?:, ?[A-Z]+\d+)*|(?:-next)?=[\w-]+)"
WITH_CODE = re.compile(rf"{CODES}.*")
WITH_CODE_AND_REASON = re.compile(rf"{CODES};?\s+\S.*")
UNFINISHED = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b")


def main() -> int:
    """Return 0 if no tracked Python file breaks a rule; name each that does."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "*.py"], check=True, capture_output=True, text=True
    )
    files = [Path(name) for name in listed.stdout.split("\0") if name and Path(name).exists()]
    complaints = [f"{path}{complaint}" for path in files for complaint in _complaints(path)]
    for complaint in complaints:
        sys.stdout.write(f"{complaint}\n")
    sys.stdout.write(f"{len(files)} Python files, {len(complaints)} complaints\n")
    return 1 if complaints or not files else 0


def _complaints(path: Path) -> t.Iterator[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if len(lines) > FILE_LINES:
        yield f": {len(lines)} lines, {FILE_LINES} is the most"
    if path.stem in VAGUE_NAMES or VAGUE_NAMES & set(path.parts):
        yield ": the name says nothing about what is in it"
    if path.parts[0] == "plugins" and path.name == "__init__.py":
        yield ": an __init__.py would ship its whole package with every task"
    yield from _header_complaints(path, lines)
    yield from _line_complaints(lines)
    yield from _function_complaints(ast.parse(text))
    if path.parts[:2] == ("plugins", "modules"):
        yield from _module_complaints(ast.parse(text), len(lines))


def _header_complaints(path: Path, lines: list[str]) -> t.Iterator[str]:
    if not lines:
        return
    wanted = BSD_HEADER if path.parts[:2] == ("plugins", "module_utils") else GPL_HEADER
    first = 1 if lines[0].startswith("#!") else 0
    if lines[0].startswith("#!") and path.parts[:2] != ("plugins", "modules"):
        yield ":1: only modules begin with #!"
    if tuple(lines[first : first + len(wanted)]) != wanted:
        yield f":{first + 1}: the header must be these lines: {' / '.join(wanted)}"


def _line_complaints(lines: list[str]) -> t.Iterator[str]:
    for number, line in enumerate(lines, 1):
        silenced = SILENCED.search(line)
        reason_above = number > 1 and lines[number - 2].lstrip().startswith("# ")
        wanted = WITH_CODE if reason_above else WITH_CODE_AND_REASON
        if silenced and not wanted.fullmatch(silenced["rest"]):
            yield f":{number}: a check is silenced without its code and a reason"
        if UNFINISHED.search(line):
            yield f":{number}: unfinished"


def _function_complaints(tree: ast.AST) -> t.Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > FUNCTION_LINES:
                yield f":{node.lineno}: {node.name} has {count} lines, {FUNCTION_LINES} is the most"


def _module_complaints(tree: ast.Module, lines: int) -> t.Iterator[str]:
    documented = [
        node.end_lineno or 0
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    ]
    count = lines - max(documented, default=0)
    if count > MODULE_LINES:
        yield f": {count} lines below the documentation, {MODULE_LINES} is the most"


if __name__ == "__main__":
    sys.exit(main())
