# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data folder of a PostgreSQL server: made by initdb, configured, turned into a standby's."""

from __future__ import annotations

import shutil
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .certificates import Authority
from .components import installed
from .ports import HOST
from .process import give_to, run, server_user

_LOCALE_PROVIDERS_SINCE = 15
_RECOVERY_SETTINGS_SINCE = 12

# Durability is not what the tests are about; autovacuum stays as users have it.
_SETTINGS = {
    "listen_addresses": HOST,
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "60",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """How a server is made. `hba` lines come before the ones that initdb writes."""

    auth: t.Literal["trust", "scram-sha-256", "md5"] = "trust"
    user: str = "postgres"
    password: str = "a test's password"
    encoding: str = "UTF8"
    locale: str = "C.UTF-8"
    icu_locale: str | None = None
    checksums: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    hba: Sequence[str] = ()
    authority: Authority | None = None
    bin_dir: Path | None = None


def make_cluster(folder: Path, *, bin_dir: Path, major: int, options: PostgresOptions) -> None:
    """Make `folder`/data as `options` say; the socket will be in `folder`, which gets our user."""
    data, user = folder / "data", server_user()
    give_to(folder, user)
    password_file = folder / "password"
    password_file.write_text(options.password, encoding="utf-8")
    password_file.chmod(0o644)
    command: list[str | Path] = [
        *(bin_dir / "initdb", "-D", data, "-N"),
        *("-U", options.user, "-A", options.auth, f"--pwfile={password_file}"),
        *("-E", options.encoding, f"--locale={options.locale}"),
        *(["-k"] if options.checksums else []),
    ]
    if options.icu_locale:
        command += ["--locale-provider=icu", f"--icu-locale={options.icu_locale}"]
    elif major >= _LOCALE_PROVIDERS_SINCE:
        command += ["--locale-provider=libc"]
    run(command, doing=f"initdb of {major}", env=server_environment(), cwd=folder, user=user)
    password_file.unlink()
    hba = data / "pg_hba.conf"
    hba.write_text("\n".join([*options.hba, hba.read_text(encoding="utf-8")]), encoding="utf-8")
    tls = _tls_settings(folder, options.authority) if options.authority else {}
    configure(folder, _SETTINGS | tls | dict(options.settings))


def configure(folder: Path, settings: Mapping[str, str]) -> None:
    """Add settings to `folder`/data, and that the socket is in `folder`; the last one counts."""
    wanted = {"unix_socket_directories": str(folder), **settings}
    lines = [f"{name} = {_quote(value)}\n" for name, value in wanted.items()]
    with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.writelines(lines)


def make_standby(
    folder: Path, *, major: int, primary_dsn: str, settings: Mapping[str, str]
) -> None:
    """Turn `folder`/data, a copy of the primary's, into a hot standby's.

    Not by pg_basebackup --write-recovery-conf: a newer one writes connection options that an
    older server's libpq refuses.
    """
    source = {"primary_conninfo": primary_dsn}
    if major < _RECOVERY_SETTINGS_SINCE:
        recovery = folder / "data" / "recovery.conf"
        text = f"standby_mode = on\nprimary_conninfo = {_quote(primary_dsn)}\n"
        recovery.write_text(text, encoding="utf-8")
        source = {}
    else:
        (folder / "data" / "standby.signal").touch()
    configure(folder, {"hot_standby": "on", **source, **settings})


def server_environment() -> dict[str, str]:
    """Our own libc locales, where they are installed; LANG of the person running is not used."""
    env = {"LC_ALL": "C.UTF-8", "PGTZ": "UTC"}
    compiled = installed("locales")
    return env | ({"LOCPATH": str(compiled)} if compiled else {})


def _tls_settings(folder: Path, authority: Authority) -> dict[str, str]:
    files = authority.issue(f"postgres-{folder.name}", server=True)
    sources = {
        "ssl_cert_file": files.certificate,
        "ssl_key_file": files.key,
        "ssl_ca_file": authority.certificate,
    }
    for source in sources.values():
        copy = Path(shutil.copy(source, folder / "data"))
        copy.chmod(0o600)
        give_to(copy, server_user())
    return {"ssl": "on", **{name: source.name for name, source in sources.items()}}


def _quote(value: str) -> str:
    """As a value in postgresql.conf, where a backslash begins an escape as well."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
