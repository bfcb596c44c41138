# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the golden repositories of this version: v1.tar, v2.tar and what is in them."""

from __future__ import annotations

import io
import json
import socket
import sys
import tarfile
import tempfile
import typing as t
from pathlib import Path
from unittest import mock

import yaml

from ansible_collections.granary.postgres.plugins.module_utils._core.events import RecordedEvents
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._workflows.keys import (
    KeyRequest,
    change_keys,
)
from tests.faults.crash_states import read_objects
from tests.faults.golden.contents import (
    CHANGES,
    DATABASE,
    SECOND_PASSWORD,
    SHOP,
    facts_of,
    rows_of,
)
from tests.fix_backup import access, back_up_server
from tests.fix_repository import Place
from tests.testbed.postgres import PostgresServer

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
MAJOR = 15


def main() -> int:
    """Make them; 1 if this version has some already."""
    version = yaml.safe_load((ROOT / "galaxy.yml").read_bytes())["version"]
    folder = FOLDER / version
    if folder.exists():
        sys.stderr.write(f"{folder} is there; what is released is never made again\n")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        places = {
            number: Place(where=Path(scratch, f"v{number}"), cache_dir=Path(scratch, "cache"))
            for number in (1, 2)
        }
        with mock.patch.object(socket, "gethostname", return_value="golden"):  # in the key files
            expected = {number: _make(place, number) for number, place in places.items()}
        folder.mkdir()
        for number, facts in expected.items():
            _pack(Path(scratch, f"v{number}"), folder / f"v{number}.tar")
            text = json.dumps(facts, indent=1, sort_keys=True)
            (folder / f"v{number}.json").write_text(f"{text}\n", encoding="utf-8")
    return 0


def _make(place: Place, version: int) -> dict[str, t.Any]:
    place.create(version=version).close()
    with PostgresServer(MAJOR) as server:
        server.start()
        server.execute(f'CREATE DATABASE "{DATABASE}"')
        server.execute(SHOP, database=DATABASE)
        rows = {}
        rows[_back_up(server, place)] = rows_of(server, DATABASE)
        server.execute(CHANGES, database=DATABASE)
        rows[_back_up(server, place)] = rows_of(server, DATABASE)
        rows[_back_up(server, place, host="plain", format="plain")] = rows_of(server, DATABASE)
    request = KeyRequest(repository=access(place), key_password=Secret(SECOND_PASSWORD))
    change_keys(request, events=RecordedEvents())
    with place.open() as repository:
        return {"snapshots": facts_of(repository), "rows": rows, "id": repository.config.id}


def _back_up(server: PostgresServer, place: Place, **options: t.Any) -> str:
    if "format" not in options:
        options["segment_threshold"] = 0
    made = back_up_server(server, place, databases=[DATABASE], **options)
    assert made.snapshot.id is not None
    return made.snapshot.id


def _pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(read_objects(folder).items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    sys.exit(main())
