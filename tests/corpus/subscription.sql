-- Copyright (c) 2026 Granary contributors
-- GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- A subscription, of which only a superuser may know.

CREATE TABLE taken (id integer PRIMARY KEY);
CREATE SUBSCRIPTION "a subscription" CONNECTION 'host=nowhere.invalid dbname=x' PUBLICATION p, "q r" WITH (connect = false, slot_name = NONE);
