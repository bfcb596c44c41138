# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PgBouncer before a server of the test bed."""

from __future__ import annotations

import typing as t

from . import folders
from .components import ensure
from .ports import HOST, answers, free_port
from .process import ServerProcess, give_to, server_user

if t.TYPE_CHECKING:
    from .postgres import PostgresServer

_SETTINGS = """\
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
ignore_startup_parameters = extra_float_digits
"""


class PgBouncer:
    """A pooler on a free port before a server that trusts everybody. A context manager."""

    def __init__(
        self, server: PostgresServer, mode: t.Literal["transaction", "session"] = "transaction"
    ) -> None:
        """Start it and wait until it accepts connections."""
        self.host = HOST
        self.port = free_port()
        self._folder = folders.make_scratch()
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(
            _SETTINGS.format(
                host=HOST,
                server_port=server.port,
                port=self.port,
                folder=self._folder,
                mode=mode,
            ),
            encoding="utf-8",
        )
        (self._folder / "users").write_text(f'"{server.user}" ""\n', encoding="utf-8")
        user = server_user()
        give_to(self._folder, user)
        self._process = ServerProcess(
            [ensure("pgbouncer") / "bin" / "pgbouncer", settings],
            self._folder / "server.log",
            cwd=self._folder,
            user=user,
        )
        self._process.wait_until(lambda: answers(self.port))

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it and remove its files."""
        self._process.stop()
        folders.remove(self._folder)
