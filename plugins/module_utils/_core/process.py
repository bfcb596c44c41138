# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Child programs: the only place that starts one.

Ansible's ``run_command`` keeps all output in memory; a dump must be streamed. A program's secrets
reach it by its environment or by a file, never by its arguments.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import signal
import subprocess  # pylint: disable=ansible-bad-function; here alone, and streamed
import threading
import typing as t

from .errors import ProgramError, ProgramMissing
from .redaction import Secret, redact

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STDERR_LINES = 2000
PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL
_PR_SET_PDEATHSIG = 1


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when the thread that forked it ends (prctl(2), Linux
    only)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)


_LIBC = ctypes.CDLL(None, use_errno=True)


def program_path(file: t.IO[bytes]) -> str:
    """Return the path by which a program that is given an open file finds it.

    It opens the file anew, from its start, as often as it likes (proc(5)). So a temporary file
    needs no name, and is gone with the last process that has it open, even if all are killed.
    """
    return f"/proc/self/fd/{file.fileno()}"


class Child:
    """A running program whose standard error is kept, bounded to its last 2,000 lines.

    It is killed when the thread that started it ends, so start it in a thread that outlives it. As
    a context manager it kills and reaps the program on the way out if it still runs.

    ``on_line`` is called with each line of standard error as it comes, redacted, by the thread that
    reads them; it must not raise. ``files`` are open ones that the program may open again, by
    ``program_path``.

    Raises ``ProgramMissing`` when the program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: int | None = DEVNULL,
        stdout: int | None = PIPE,
        secrets: Sequence[Secret] = (),
        on_line: Callable[[str], None] | None = None,
        files: Sequence[t.IO[bytes]] = (),
    ) -> None:
        self.name = argv[0].rsplit("/", 1)[-1]
        self._secrets = tuple(secrets)
        self._on_line = on_line
        self._lines: collections.deque[str] = collections.deque(maxlen=STDERR_LINES)
        try:
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function; as above
                list(argv),
                env=dict(env),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call, libc is loaded before the fork
                close_fds=True,
                pass_fds=[file.fileno() for file in files],
                process_group=0,
            )
        except OSError as exc:
            raise ProgramMissing(
                f"Could not start {argv[0]}: {exc.strerror or exc}; check that it is installed and "
                "executable."
            ) from exc
        self._reader = threading.Thread(target=self._drain, name=f"{self.name}-stderr", daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        stream = self._process.stderr
        if stream is None:
            return
        for line in stream:
            said = redact(line.decode("utf-8", "replace").rstrip("\n"), *self._secrets)
            self._lines.append(said)
            if self._on_line:
                self._on_line(said)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def stdout(self) -> t.IO[bytes]:
        """The pipe from the program's standard output (only if it was asked for)."""
        if self._process.stdout is None:
            raise ProgramError(f"{self.name} was started without a pipe for its output.")
        return self._process.stdout

    @property
    def stdin(self) -> t.IO[bytes]:
        """The pipe to the program's standard input (only if it was asked for)."""
        if self._process.stdin is None:
            raise ProgramError(f"{self.name} was started without a pipe for its input.")
        return self._process.stdin

    @property
    def stderr_lines(self) -> list[str]:
        """What the program has said on standard error so far, redacted."""
        return list(self._lines)

    def wait(self) -> list[str]:
        """Wait for the end and return the lines of standard error.

        Raises ``ProgramError`` with the program's own last words when it did not exit with status
        0.
        """
        code = self._process.wait()
        if code != 0:
            self.stop()
        self._reader.join()
        if code != 0:
            raise ProgramError(self._failure(code), returncode=code, program=self.name)
        return self.stderr_lines

    def running(self) -> bool:
        """Tell whether the program has not ended yet."""
        return self._process.poll() is None

    def _failure(self, code: int) -> str:
        how = (
            f"was ended by {signal.Signals(-code).name}"
            if code < 0
            else f"exited with status {code}"
        )
        said = "; ".join(line for line in list(self._lines)[-5:] if line)
        return f"{self.name} {how}: {said or 'it said nothing'}"

    def stop(self) -> None:
        """Kill the program without waiting for its end; any thread may, ``on_line`` too.

        Its own children too (pg_restore has some), which would keep its standard error open.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End the program at once and reap it; nothing happens if it has ended."""
        if self._process.poll() is None:
            self.stop()
        self._process.wait()
        self._reader.join()

    def close(self) -> None:
        """Kill the program if it still runs, and close its pipes."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    # A pipe to a dead program cannot be flushed; the program's end is reported by
                    # wait().
                    continue

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def run(
    argv: Sequence[str], *, env: Mapping[str, str], secrets: Sequence[Secret] = ()
) -> tuple[bytes, list[str]]:
    """Run a program of small output to its end; return its standard output and its lines of
    standard error.

    Raises ``ProgramError`` when it does not exit with status 0.
    """
    with Child(argv, env=env, secrets=secrets) as child:
        output = child.stdout.read()
        return output, child.wait()
