-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- A subscription and a user mapping's options: only a superuser may see them.

CREATE TABLE taken (id integer PRIMARY KEY);
GRANT SELECT ON taken TO app_user;
CREATE SUBSCRIPTION "a subscription" CONNECTION 'host=nowhere.invalid dbname=x' PUBLICATION p, "q r" WITH (connect = false, slot_name = NONE);
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
CREATE USER MAPPING FOR app_user SERVER elsewhere OPTIONS ("user" 'u', password 'it''s mapped');
CREATE USER MAPPING FOR PUBLIC SERVER elsewhere;
