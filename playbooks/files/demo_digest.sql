-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Everything in the database as lines that are equal if and only if the contents are: of each table the number of its rows
-- and a sum of their hashes that does not depend on their order; sequences; large objects.
SELECT format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)::numeric) FROM ONLY %s t', c.oid::regclass, c.oid::regclass)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
ORDER BY n.nspname, c.relname
\gexec
SELECT schemaname, sequencename, last_value FROM pg_catalog.pg_sequences ORDER BY 1, 2;
SELECT oid, md5(lo_get(oid)) FROM pg_catalog.pg_largeobject_metadata ORDER BY oid;
