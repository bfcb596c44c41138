# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The fixed texts of RESTORE.md and restore.sh; ``by_hand`` puts the snapshot's own parts in.

The script is POSIX shell and uses psql, pg_restore, awk and sed, nothing of ours.
"""

from __future__ import annotations

SCRIPT_HEAD = r"""#!/bin/sh
# Restores this snapshot with psql and pg_restore alone. `sh restore.sh -h` explains; RESTORE.md
# says more. Written by the backup; nothing in here needs the program that wrote it.
set -eu
LC_ALL=C
export LC_ALL

usage() {
    cat <<'END'
usage: sh restore.sh [-l] [-d DATABASE [-n NAME]] [-j JOBS] [-G] [-O] [-x] [-T] [-R]

The server and the role are given by libpq's variables: PGHOST, PGPORT, PGUSER, PGPASSWORD (or a
.pgpass file). The role should be a superuser.

  -l  only list the databases of this snapshot
  -d  restore this database only (default: all of them)
  -n  under this name (with -d)
  -j  parallel jobs (default: 2)
  -G  leave roles and tablespaces (globals.sql) alone
  -O  objects belong to the connecting role (pg_restore --no-owner)
  -x  no grants (pg_restore --no-privileges)
  -T  everything into the default tablespace (pg_restore --no-tablespaces)
  -R  load every partition through its root: needed where locale, encoding or collation provider
      differ from the source's

PGDATABASE is the database to connect to first (default: postgres). A database that exists is
never dropped: drop it yourself, or use -n.
END
}

say() { printf '%s\n' "restore.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

list=no only='' rename='' jobs=2 flags=''
globals=yes owners=yes privileges=yes tablespaces=yes roots=no
while getopts ld:n:j:GOxTRh option; do
    case $option in
        l) list=yes ;;
        d) only=$OPTARG ;;
        n) rename=$OPTARG ;;
        j) jobs=$OPTARG ;;
        G) globals=no ;;
        O) owners=no flags="$flags --no-owner" ;;
        x) privileges=no flags="$flags --no-privileges" ;;
        T) tablespaces=no flags="$flags --no-tablespaces" ;;
        R) roots=yes ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
[ -z "$rename" ] || [ -n "$only" ] || fail "-n needs -d"
case $jobs in '' | *[!0-9]* | 0) fail "-j needs a number of jobs" ;; esac

here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
first=${PGDATABASE:-postgres}
unset PGDATABASE
# No setting of a role or a database may stop the load or change how rows are read.
PGOPTIONS='-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0'
PGOPTIONS="$PGOPTIONS -c search_path= -c row_security=off"
export PGOPTIONS

# A database's name as a connection string, which may hold any character.
# The dot keeps line breaks at its end, which the shell would take off.
conninfo() {
    printf "dbname='%s'" "$(printf '%s.' "$1" | sed "s/[\\\\']/\\\\&/g")" | sed "\$s/\.'\$/'/"
}
# Runs SQL from its input in database $1; more arguments go to psql.
sql() {
    sql_database=$(conninfo "$1")
    shift
    psql -X -q -v ON_ERROR_STOP=1 -d "$sql_database" -f - "$@"
}
ask() { printf '%s\n' "$1" | sql "$first" -A -t; }

restore_globals() {
    say "roles and tablespaces"
    me=$(PGCLIENTENCODING=UTF8 ask "SELECT '\"' || replace(current_user, '\"', '\"\"') || '\"'")
    # The connecting role keeps its password; roles and tablespaces that exist are no error.
    # Servers before 16 wrote down anybody as grantor; newer ones want a role with admin option.
    grantors=yes
    [ "$source" -ge 16 ] || [ "$server" -lt 16 ] || grantors=no
    me=$me tablespaces=$tablespaces grantors=$grantors awk '
        index($0, "ALTER ROLE " ENVIRON["me"] " WITH ") == 1 { next }
        ENVIRON["tablespaces"] == "no" && /^(CREATE|ALTER|COMMENT ON) TABLESPACE / { next }
        ENVIRON["tablespaces"] == "no" && /^(GRANT|REVOKE) .* ON TABLESPACE / { next }
        ENVIRON["grantors"] == "no" && /^GRANT .* TO .* GRANTED BY / {
            sub(/ GRANTED BY .*;$/, ";")
        }
        { print }' "$here/globals.sql" >"$scratch/globals.sql"
    psql -X -q -v VERBOSITY=verbose -d "$(conninfo "$first")" -f "$scratch/globals.sql" \
        2>"$scratch/said" || { cat "$scratch/said" >&2; fail "roles and tablespaces failed"; }
    if awk '/^psql:/ && !/: (NOTICE|WARNING):  / && !/:  42710: / { bad = 1; print }
            END { exit !bad }' "$scratch/said" >&2; then
        fail "roles and tablespaces failed"
    fi
}

# One section of an archive: archive $1, section $2, jobs $3, ids of entries to leave out $4.
restore_section() {
    set -- "$1" "$2" "$3" "$4" "$(conninfo "$target")"
    chosen=
    if [ -n "$4" ]; then
        pg_restore -l "$1" | grep -Ev "^($4);" >"$scratch/entries"
        chosen="--use-list=$scratch/entries"
    fi
    if [ "$program" -lt 17 ] || [ "$server" -ge 17 ]; then
        # shellcheck disable=SC2086 # flags are words
        pg_restore --exit-on-error -d "$5" --section="$2" -j "$3" $flags \
            ${chosen:+"$chosen"} "$1"
        return
    fi
    # pg_restore 17 and newer set a parameter that this server does not know.
    # shellcheck disable=SC2086 # flags are words
    {
        pg_restore -f - --section="$2" $flags ${chosen:+"$chosen"} "$1" || touch "$scratch/broken"
    } | sed '1,40{/^SET transaction_timeout = 0;$/d;}' | sql "$target"
    [ ! -e "$scratch/broken" ]
}

# The rows of one table: its folder $1, COPY into itself $2, COPY into its partition root $3.
# Each worker does every $jobs-th.
table() {
    number=$((number + 1))
    [ $((number % jobs)) -eq "$worker" ] || return 0
    copy=$2
    [ $roots = no ] || copy=$3
    {
        printf '%s;\n' "$copy"
        for part in "$here/$1"/*/*.copy; do
            [ ! -e "$part" ] || cat "$part" || touch "$scratch/unread"
        done
        printf '%s\n' '\.'
    } | PGCLIENTENCODING=$names sql "$target"
    [ ! -e "$scratch/unread" ]
}

# Everything of one database: name $1, folder $2, encoding of the names in this file $3, functions
# create_$4, rows_$4, count_$4 and finish_$4, ids of foreign keys to leave out $5.
database() {
    [ $list = no ] || { printf '%s\n' "$1"; return 0; }
    [ -z "$only" ] || [ "$only" = "$1" ] || return 0
    found=yes target=${rename:-$1} folder=$2 names=$3 number=0 workers=
    say "database $1 into $target"
    "create_$4" | PGCLIENTENCODING=UTF8 sql "$first" -v "db=$target" -v "owners=$owners" \
        -v "privileges=$privileges" -v "tablespaces=$tablespaces"
    say "definitions before the rows"
    restore_section "$here/$folder/schema.dump" pre-data 1 ''
    say "rows"
    restore_section "$here/$folder/data.dump" data 1 '' &
    workers=$!
    worker=0
    while [ "$worker" -lt "$jobs" ]; do
        "rows_$4" &
        workers="$workers $!"
        worker=$((worker + 1))
    done
    for pid in $workers; do
        wait "$pid" || fail "the rows of database $1 could not be restored"
    done
    say "definitions after the rows"
    restore_section "$here/$folder/schema.dump" post-data "$jobs" "$5"
    echo 'ANALYZE;' | sql "$target"
    say "counting rows"
    "count_$4" | PGCLIENTENCODING=$names sql "$target" -A -t >"$scratch/wrong"
    if [ -s "$scratch/wrong" ]; then
        cat "$scratch/wrong" >&2
        fail "database $1 is not what was backed up"
    fi
    "finish_$4" | PGCLIENTENCODING=UTF8 sql "$first" -v "db=$target"
    say "database $1 is restored and its rows are counted"
}
"""

SCRIPT_START = r"""
found=no
if [ $list = no ]; then
    source=@source@
    server=$(($(ask 'SHOW server_version_num') / 10000))
    program=$(pg_restore --version | sed 's/^[^)]*) \([0-9]*\).*/\1/')
    [ $globals = no ] || [ ! -e "$here/globals.sql" ] || restore_globals
fi
"""

SCRIPT_END = r"""
[ $list = yes ] || [ $found = yes ] || fail "this snapshot holds no database $only; -l lists them"
[ $list = yes ] || say "done"
"""

MARKDOWN = """\
# How to restore this snapshot without the program that made it

This folder was written by a backup of a PostgreSQL server. All in it is plain: archives of pg_dump,
COPY text, SQL. You need `restic` (0.14 or newer), `psql` and `pg_restore`; the archives were
written by {dump_program}, so take client programs of that major version or a newer one.

1. Write the snapshot to a disk (as large as the databases):

       restic -r REPOSITORY restore SNAPSHOT --target /some/folder

2. Load it into a server; libpq's variables say which:

       PGHOST=... PGUSER=postgres sh /some/folder/postgres/restore.sh

   It makes roles and tablespaces that are missing, makes each database, loads it, and compares the
   number of rows of every table with the number that was backed up. It stops at the first error and
   never drops anything. `sh restore.sh -h` lists its options: one database, another name, parallel
   jobs, no owners, no tablespaces.

## What is here

| File | What it is |
|---|---|
| `globals.sql` | roles and tablespaces (`pg_dumpall --globals-only`), for psql |
| `databases/<database>/schema.dump` | definitions: an archive of pg_dump, custom format |
| `databases/<database>/data.dump` | the same: small tables' rows, sequences, large objects |
| `databases/<database>/tables/<schema>/<table>/*/*.copy` | rows of large tables: COPY text |
| `manifest.json` | all names, columns, numbers of rows, and how each database is made |
| `restore.sh` | does all of the following |

In names of files and folders `/`, `%`, a leading `.` and control characters are written as `%` and
two hexadecimal digits. A name that would be longer than 255 bytes is cut and ends in `%~` and a
hash; `manifest.json` has it whole.

## By hand, step by step

1. `psql -f globals.sql` (errors of roles that exist may be passed over).
2. Make the database from `template0`, with the encoding and locale that `manifest.json` names.
3. `pg_restore --section=pre-data -d DATABASE schema.dump`
4. `pg_restore --section=data -d DATABASE data.dump`
5. For each folder below `tables`: all its files, in order, joined, are one
   `COPY schema.table (columns) FROM STDIN` in the database's encoding. `manifest.json` names the
   columns (they are not always in the table's order). Partitions below a hash-partitioned table
   must be loaded into its topmost table, since hashes may differ between servers; with another
   locale or encoding all partitions must.
6. `pg_restore --section=post-data -j 4 -d DATABASE schema.dump`
7. `ANALYZE`, and compare the numbers of rows with `manifest.json`.
"""
