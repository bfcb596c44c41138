-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- Bytes of no encoding, in rows and in names: SQL_ASCII takes everything.

SET client_encoding = 'SQL_ASCII';
CREATE TABLE bytes (id integer PRIMARY KEY, t text);
INSERT INTO bytes SELECT i, E'\xff\xfe\x80 ' || i FROM generate_series(1, 1000) i;
INSERT INTO bytes VALUES (0, E'\xe4\xf6\xfc'), (-1, E'\xf0\x9f\x90\x98'), (-2, E'a\\\xc3');
DO $$
DECLARE
    odd text := E'n\xe4me \xff\xc3';
BEGIN
    EXECUTE format('CREATE SCHEMA %I', odd);
    EXECUTE format('CREATE TABLE %I.%I (%I integer, t text)', odd, odd, odd);
    EXECUTE format('INSERT INTO %I.%I SELECT i, %L FROM generate_series(1, 1000) i', odd, odd, odd);
    EXECUTE format('CREATE SEQUENCE %I.%I', odd, odd || ' seq');
END $$;
