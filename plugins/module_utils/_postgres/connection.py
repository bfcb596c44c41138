# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Opening connections, and the only place that turns the driver's errors into the engine's.

Connections are in autocommit mode: transactions begin and end by SQL that can be read where it is
sent. This file knows nothing of dumps, catalogs or tables.
"""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from .._core.errors import (
    ConfigError,
    DatabaseMissing,
    GranaryError,
    LoginRefused,
    PostgresError,
    RightsMissing,
    ServerUnreachable,
    TableLocksRefused,
)
from .._core.redaction import redact

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg2
    import psycopg2.extensions

    from .model import ConnectionSettings

    # The layers above name the type of a connection by this: the driver stays in this package.
    Connection = psycopg2.extensions.connection

# Where client programs connect for what concerns the whole server, and from where that can be
# dropped.
MAINTENANCE_DATABASE = "postgres"
_OTHER_MAINTENANCE_DATABASE = "template1"
# After the application's name in that of a client program's session.
PROGRAM_SUFFIX = " program"
_WORDS_LIMIT = 600

# A connection that fails has no SQLSTATE (libpq keeps none), only words. The server's come after
# "FATAL:", libpq's own are English in the builds that have no translations. The first match
# decides; what matches nothing is unreachable.
_LOGIN_WORDS: tuple[tuple[str, type[GranaryError], str], ...] = (
    (
        r"invalid (sslmode|port number|integer|\S+ value|connection option)|weak sslmode",
        ConfigError,
        "correct the connection options",
    ),
    (
        r"remaining connection slots|too many (clients|connections)|no more connections allowed"
        r"|starting up|shutting down|recovery mode|not yet accepting connections",
        ServerUnreachable,
        "try again when the server has room for connections",
    ),
    (
        r'database "(?s:.*)" does not exist|is not currently accepting connections',
        DatabaseMissing,
        "check the name of the database",
    ),
    (
        r"permission denied for database|does not have CONNECT privilege",
        RightsMissing,
        "grant the role CONNECT on it",
    ),
    (
        r"authentication (failed|method)|no password supplied|no such user|unsupported startup"
        r"|no pg_hba\.conf entry|pg_hba\.conf rejects"
        r"|role .* (does not exist|is not permitted to log in)"
        r"|server does not support SSL|SSL (required|connection is required|error)"
        r"|certificate|sslrootcert|private key",
        LoginRefused,
        "check login_user, login_password, the TLS options and the server's pg_hba.conf",
    ),
)
_UNREACHABLE_ADVICE = "check that the server runs and that login_host and login_port are right"

# SQLSTATE (or its class) -> error; the longest match decides.
_SQLSTATES: dict[str, type[PostgresError]] = {
    "08": ServerUnreachable,
    "28": LoginRefused,
    "3D000": DatabaseMissing,
    "42501": RightsMissing,
    "53300": ServerUnreachable,
    "55P03": TableLocksRefused,
    "57P01": ServerUnreachable,
    "57P02": ServerUnreachable,
    "57P03": ServerUnreachable,
    "57P05": ServerUnreachable,
}
_READ_ONLY_CONFLICT = "40001"


def connect(
    settings: ConnectionSettings,
    dbname: str | None = None,
    *,
    application_name: str | None = None,
) -> Connection:
    """Open a connection in autocommit mode to ``dbname`` (else the settings' own), talking UTF-8.

    A database whose encoding has no way to UTF-8 is opened without conversion (client_encoding
    SQL_ASCII), and so is one of no encoding: its names need not be UTF-8, and the server would
    refuse to send them.

    Raises ``LoginRefused``, ``ServerUnreachable``, ``DatabaseMissing``, ``RightsMissing`` or
    ``ConfigError``.
    """
    import psycopg2

    parameters = _parameters(settings, dbname, application_name)
    try:
        try:
            conn: Connection = psycopg2.connect(**parameters, client_encoding="UTF8")
        except psycopg2.OperationalError as exc:
            if "UTF8" not in str(exc):
                raise
            conn = psycopg2.connect(**parameters, client_encoding="SQL_ASCII")
    except psycopg2.Error as exc:
        raise _login_error(exc, settings, dbname or settings.dbname) from exc
    except UnicodeEncodeError as exc:
        raise ConfigError(
            "A connection option or the name of the database is not valid UTF-8: "
            "the driver cannot send it; rename the database or correct the option."
        ) from exc
    conn.autocommit = True
    if conn.info.parameter_status("server_encoding") == "SQL_ASCII":
        # Said to the server alone: the driver goes on reading messages as UTF-8.
        with translated("Could not set up the session"), conn.cursor() as cursor:
            cursor.execute("SET client_encoding TO 'SQL_ASCII'")
    return conn


def connect_server(settings: ConnectionSettings, *, besides: str | None = None) -> Connection:
    """Open a connection for what concerns the whole server, to the settings' own database or else
    ``postgres``; to another one if that is ``besides``, which is to be dropped, or if nobody named
    it and it is not there.

    Raises as ``connect`` does.
    """
    own = settings.dbname or MAINTENANCE_DATABASE
    candidates = (own, _OTHER_MAINTENANCE_DATABASE, MAINTENANCE_DATABASE)
    chosen = next(name for name in candidates if name != besides)
    try:
        return connect(settings, chosen)
    except DatabaseMissing:
        if settings.dbname is not None or besides == _OTHER_MAINTENANCE_DATABASE:
            raise
        return connect(settings, _OTHER_MAINTENANCE_DATABASE)


def _parameters(
    settings: ConnectionSettings, dbname: str | None, application_name: str | None
) -> dict[str, t.Any]:
    password = settings.password.reveal() if settings.password else None
    wanted: dict[str, str | int | None] = {
        "host": settings.unix_socket or settings.host,
        "port": settings.port,
        "user": settings.user,
        "password": password,
        "dbname": dbname or settings.dbname,
        "sslmode": settings.ssl_mode,
        "sslrootcert": settings.ca_cert,
        "sslcert": settings.ssl_cert,
        "sslkey": settings.ssl_key,
        "connect_timeout": settings.connect_timeout_seconds,
        "application_name": application_name or settings.application_name,
        # A firewall forgets a silent connection after minutes; the coordinator's is silent for
        # hours.
        "keepalives": 1,
        "keepalives_idle": 60,
        "keepalives_interval": 15,
        "keepalives_count": 4,
    }
    return {key: value for key, value in wanted.items() if value is not None}


def _login_error(
    exc: psycopg2.Error, settings: ConnectionSettings, dbname: str | None
) -> GranaryError:
    words = redact(_one_line(str(exc)), settings.password)
    database = f" to database {dbname!r}" if dbname else ""
    doing = f"Could not connect to PostgreSQL at {settings.place}{database}"
    for pattern, kind, advice in _LOGIN_WORDS:
        if re.search(pattern, words):
            return kind(f"{doing}: {words}; {advice}.", database=dbname)
    return ServerUnreachable(f"{doing}: {words}; {_UNREACHABLE_ADVICE}.", database=dbname)


def translate(
    exc: psycopg2.Error, doing: str, *, otherwise: type[PostgresError] = PostgresError
) -> PostgresError:
    """Return the engine's error for the driver's.

    ``doing`` begins the sentence, such as ``Could not read table public.t``; the server's message,
    DETAIL and HINT follow, SQLSTATE is in the details as ``sqlstate``. ``otherwise`` is the class
    where none is more exact.
    """
    sqlstate = exc.pgcode
    words = server_words(exc)
    if sqlstate is None:
        return _driver_error(exc, doing, words, otherwise)
    if sqlstate == _READ_ONLY_CONFLICT:
        return otherwise(
            f"{doing}: {words}; on a standby this is a recovery conflict: raise "
            "max_standby_streaming_delay, set hot_standby_feedback, or use the primary.",
            sqlstate=sqlstate,
        )
    kind = _SQLSTATES.get(sqlstate) or _SQLSTATES.get(sqlstate[:2]) or otherwise
    return kind(f"{doing}: {words}.", sqlstate=sqlstate)


def _driver_error(
    exc: psycopg2.Error, doing: str, words: str, otherwise: type[PostgresError]
) -> PostgresError:
    import psycopg2

    if isinstance(exc, psycopg2.OperationalError | psycopg2.InterfaceError) or re.search(
        r"server closed the connection|connection.*(closed|lost|not open)|no COPY in progress"
        # What psycopg2 says where the server goes in the middle of a COPY and leaves no word.
        r"|no message from the libpq",
        words,
    ):
        return ServerUnreachable(f"{doing}: the connection to the server broke: {words}.")
    return otherwise(f"{doing}: {words}.")


def server_words(exc: psycopg2.Error) -> str:
    """Return the server's message, DETAIL and HINT in one line of at most 600 characters."""
    parts = [exc.diag.message_primary or _one_line(str(exc))]
    if exc.diag.message_detail:
        parts.append(f"DETAIL: {exc.diag.message_detail}")
    if exc.diag.message_hint:
        parts.append(f"HINT: {exc.diag.message_hint}")
    words = redact(_one_line("\n".join(parts)))
    return words if len(words) <= _WORDS_LIMIT else words[:_WORDS_LIMIT] + "..."


def _one_line(text: str) -> str:
    lines = (" ".join(line.split()).rstrip(".") for line in text.splitlines())
    return "; ".join(line for line in lines if line) or "no reason was given"


@contextlib.contextmanager
def translated(doing: str, *, otherwise: type[PostgresError] = PostgresError) -> Iterator[None]:
    """Raise what ``translate`` makes of any error of the driver inside the block."""
    import psycopg2

    try:
        yield
    except psycopg2.Error as exc:
        raise translate(exc, doing, otherwise=otherwise) from exc


def program_environment(
    settings: ConnectionSettings,
    *,
    application_name: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the whole environment for a client program: the only way the password reaches it.

    libpq's variables of our own environment stay as fallbacks, but for those that would change what
    a dump holds; messages are in English, since some are read. The database is given by
    ``quoting.program_dbname``.
    """
    ours = os.environ if environ is None else environ
    env = {name: value for name, value in ours.items() if _may_inherit(name)}
    name = application_name or f"{settings.application_name}{PROGRAM_SUFFIX}"
    env |= {"LC_ALL": "C", "PGAPPNAME": name}
    # psycopg2-binary brings a libpq of its own; an LD_LIBRARY_PATH of the user's belongs to the
    # programs, so it stays.
    password = settings.password.reveal() if settings.password else None
    wanted: dict[str, str | int | None] = {
        "PGHOST": settings.unix_socket or settings.host,
        "PGPORT": settings.port,
        "PGUSER": settings.user,
        "PGPASSWORD": password,
        "PGSSLMODE": settings.ssl_mode,
        "PGSSLROOTCERT": settings.ca_cert,
        "PGSSLCERT": settings.ssl_cert,
        "PGSSLKEY": settings.ssl_key,
        "PGCONNECT_TIMEOUT": settings.connect_timeout_seconds,
    }
    return env | {name: str(value) for name, value in wanted.items() if value is not None}


_INHERITED = {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LD_LIBRARY_PATH"}
_CHANGES_A_DUMP = {"PGCLIENTENCODING", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGOPTIONS", "PGDATABASE"}


def _may_inherit(name: str) -> bool:
    if name in _CHANGES_A_DUMP:
        return False
    return name in _INHERITED or name.startswith(("PG", "KRB5", "SSL_CERT_", "OPENSSL_"))
