# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""What proves, without reading them, that rows are still those of an earlier snapshot.

A version of a row never changes: an update writes another one, and each carries the transaction
that made it (xmin). So where a page range shows as many rows as an earlier snapshot saw in it, and
all of them were made by transactions that had ended by then, they are the same rows: each was
visible then, since it is now, and there were no others.

That holds while a transaction's number means one transaction and a version means one text. A
table's *lineage* is a hash of all that could part them: it is other after a restart, a crash, a
failover or a return to an older state of the disk, after the table or the database was made anew or
rewritten, and after a column, a type's labels or a setting that shapes text changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from .copying import where_pages
from .session import fetch, session_text

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg2.extensions import connection as Connection

    from .model import Table
    from .segments import PageRange

# Numbers of transactions are compared modulo 2^32, half of them as older (access/transam/transam.c,
# TransactionIdPrecedes); the server itself stops 3 million before that.
_MOST_TRANSACTIONS_SINCE = 2**31 - 3_000_000
_NUMBERS = 2**32

# The server forgets its statistics when it recovers from a crash (StartupXLOG), and says since when
# it has these.
_LIFE = """
SELECT pg_is_in_recovery(), pg_postmaster_start_time()::text,
       pg_stat_get_bgwriter_stat_reset_time()::text, current_setting('TimeZone'),
       (SELECT oid FROM pg_database WHERE datname = current_database()),
       pg_snapshot_xmin(pg_current_snapshot())::text, pg_snapshot_xmax(pg_current_snapshot())::text
"""
# In a statement of its own: the right to call a function is asked for before a CASE around it could
# help.
_MAY_ASK = """
SELECT has_function_privilege('pg_postmaster_start_time()', 'EXECUTE')
   AND has_function_privilege('pg_stat_get_bgwriter_stat_reset_time()', 'EXECUTE')"""

# Output functions of built-in types whose text is given by the value and the settings of a dump
# session. Not among them: names of catalog objects (regclass), rights, money (lc_monetary), rows.
_FIXED_TEXT = """\
boolout byteaout charout nameout int2out int4out int8out oidout tidout xidout xid8out pg_lsn_out
textout varcharout bpcharout float4out float8out numeric_out bit_out varbit_out uuid_out
date_out time_out timetz_out timestamp_out timestamptz_out interval_out
json_out jsonb_out jsonpath_out xml_out tsvectorout tsqueryout
inet_out cidr_out macaddr_out macaddr8_out
point_out lseg_out line_out box_out path_out poly_out circle_out"""

# A domain has its base type's output function; built-in ranges are over types of the list. No table
# lock keeps a label from being renamed while rows are read: its xmin tells even if it is renamed
# back.
_COLUMNS = rf"""
WITH kinds AS (
    SELECT t.oid, t.typelem, p.proname = 'array_out' AS is_array,
           t.typtype = 'e' OR t.oid < 16384 AND t.typtype IN ('r', 'm')
           OR p.pronamespace = 'pg_catalog'::regnamespace
              AND p.proname = ANY (regexp_split_to_array('{_FIXED_TEXT}', '\s+')) AS fixed,
           (SELECT string_agg(concat_ws(' ', e.oid, e.xmin, quote_literal(e.enumlabel)), ','
                              ORDER BY e.oid)
              FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels
      FROM pg_type t JOIN pg_proc p ON p.oid = t.typoutput)
SELECT a.attrelid, bool_and(CASE WHEN k.is_array THEN coalesce(m.fixed, false) ELSE k.fixed END),
       string_agg(concat_ws(' ', a.attnum, quote_literal(a.attname), a.atttypid, a.atttypmod,
                            a.attgenerated, k.labels, m.labels), ';' ORDER BY a.attnum)
  FROM pg_attribute a
  JOIN kinds k ON k.oid = a.atttypid
  LEFT JOIN kinds m ON k.is_array AND m.oid = k.typelem
 WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ANY (ARRAY[{{oids}}]::oid[])
 GROUP BY a.attrelid"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RowVersions:
    """What a snapshot says of its rows' versions.

    ``xmin`` is the oldest transaction that was running when it was taken, ``xmax`` the first that
    had not begun, both as 64 bits (pg_snapshot_xmin); None where nothing may be concluded.
    ``lineages`` are by oid; a table with a column whose text another object shapes has none.
    """

    xmin: int | None
    xmax: int | None
    lineages: dict[int, str]

    def reach(self, xmin: int) -> bool:
        """Tell whether the transactions since an earlier snapshot's ``xmin`` can be told from the
        ones before."""
        if self.xmin is None or self.xmax is None:
            return False
        return xmin <= self.xmin and self.xmax - xmin < _MOST_TRANSACTIONS_SINCE


UNKNOWN_VERSIONS = RowVersions(xmin=None, xmax=None, lineages={})


class RowsBefore(t.NamedTuple):
    """How many rows an earlier snapshot, with ``xmin``, saw in a page range."""

    xmin: int
    rows: int


def read_row_versions(conn: Connection, tables: Sequence[Table], reader: str) -> RowVersions:
    """Return what the transaction's snapshot says of the versions in ``tables``.

    ``reader`` names the program that makes text of rows and its version. A standby says nothing,
    nor does a server whose start the role may not see. Needs PostgreSQL 14.
    """
    doing = "Could not ask how the rows' versions are to be told"
    if not tables or not fetch(conn, _MAY_ASK, doing)[0][0]:
        return UNKNOWN_VERSIONS
    in_recovery, *life, xmin, xmax = fetch(conn, _LIFE, doing)[0]
    if in_recovery:
        return UNKNOWN_VERSIONS
    oids = ",".join(str(table.oid) for table in tables)
    columns = {row[0]: row[2] for row in fetch(conn, _COLUMNS.format(oids=oids), doing) if row[1]}
    return RowVersions(
        xmin=int(xmin),
        xmax=int(xmax),
        lineages={
            table.oid: _hash(reader, *life, table.oid, table.file_node, columns[table.oid])
            for table in tables
            if table.oid in columns
        },
    )


def _hash(*facts: object) -> str:
    text = "\0".join(map(str, facts))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def rows_unchanged(
    conn: Connection, table: tuple[str, str], pages: PageRange, before: RowsBefore
) -> bool:
    """Tell whether ``pages`` of ``table`` (schema, name) show the rows that they showed before.

    The table's lineage must be the same, and the transaction's ``RowVersions`` reach so far.
    """
    sql = (
        f"SELECT count(*), coalesce(min(age(xmin)) > age('{before.xmin % _NUMBERS}'::xid), true) "
        "FROM ONLY "
    ).encode()
    sql += session_text(conn).qualified(*table) + where_pages(pages)
    doing = f"Could not look for changes in table {table[0]}.{table[1]}"
    rows, all_older = fetch(conn, sql, doing)[0]
    return bool(all_older) and int(rows) == before.rows
