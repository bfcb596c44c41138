# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`output.json` from one container to the next, and figures read back from it."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.operator.job.host_figures import host_backup
from ansible_collections.granary.postgres.operator.job.output import (
    HostOutcome,
    backup_outcome,
    read_output,
    write_output,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    ConfigError,
    StorageError,
)
from ansible_collections.granary.postgres.plugins.module_utils._workflows.requests import (
    BackupResult,
    SnapshotSummary,
    Stats,
)

REFERENCE = {"kind": "AppBinding", "name": "pg", "namespace": "demo"}
ID = "ab" * 32
RESULT = BackupResult(
    snapshot=SnapshotSummary(
        id=ID, time="2026-11-22T12:00:00Z", host="host-0", paths=("/postgres",), tags=("granary",)
    ),
    stats=Stats(read_bytes=3_000_000, stored_bytes=1000, duration_seconds=75.5),
    dump_warnings=("mind the gap",),
    files=12,
)


def test_a_backup_in_stashs_words(tmp_path: Path) -> None:
    write_output(tmp_path / "new", REFERENCE, backup_outcome("host-0", RESULT, 81.25))
    document = json.loads((tmp_path / "new/output.json").read_text())
    assert document["targetStatus"] == {
        "ref": REFERENCE,
        "totalHosts": 1,
        "stats": [
            {
                "hostname": "host-0",
                "phase": "Succeeded",
                "duration": "1m21.25s",
                "snapshots": [
                    {
                        "name": ID,
                        "path": "postgres",
                        "totalSize": "2.861 MiB",
                        "uploaded": "1000 B",
                        "processingTime": "1:15",
                        "fileStats": {
                            "totalFiles": 12,
                            "newFiles": 12,
                            "modifiedFiles": 0,
                            "unmodifiedFiles": 0,
                        },
                    }
                ],
            }
        ],
    }
    assert document["granary"]["warnings"] == ["mind the gap"]


def test_the_next_container_may_be_another_user(tmp_path: Path) -> None:
    write_output(tmp_path, REFERENCE, HostOutcome(hostname="host-0", duration_seconds=1))
    assert stat.S_IMODE((tmp_path / "output.json").stat().st_mode) == 0o777
    assert [path.name for path in tmp_path.iterdir()] == ["output.json"]


def test_a_failure_has_its_whole_sentence(tmp_path: Path) -> None:
    sentence = "x" * 1000
    failed = HostOutcome(
        hostname="host-0", duration_seconds=0.5, error=sentence, error_code="dump_failed"
    )
    write_output(tmp_path, REFERENCE, failed)
    output = read_output(tmp_path)
    assert (output.succeeded, output.error, output.code) == (False, sentence, "dump_failed")
    assert output.stats[0]["phase"] == "Failed"
    assert host_backup(output.stats[0], output.exact) is None


def test_figures_are_our_own_and_exact(tmp_path: Path) -> None:
    write_output(tmp_path, REFERENCE, backup_outcome("host-0", RESULT, 81.25))
    output = read_output(tmp_path)
    figures = host_backup(output.stats[0], output.exact)
    assert figures is not None
    assert (figures.size_bytes, figures.uploaded_bytes) == (3_000_000, 1000)
    assert (figures.duration_seconds, figures.processing_seconds) == (81.25, 75.5)
    assert (figures.files, figures.new_files, figures.modified_files) == (12, 12, 0)
    assert abs(figures.ended_at - time.time()) < 60


def test_figures_of_somebody_elses_function_are_read_back() -> None:
    host = {
        "hostname": "host-0",
        "phase": "Succeeded",
        "duration": "1m1.5s",
        "snapshots": [
            {
                "totalSize": "1.500 GiB",
                "uploaded": "2.000 KiB",
                "processingTime": "1:02:03",
                "fileStats": {"totalFiles": 2, "newFiles": 1, "modifiedFiles": 1},
            }
        ],
    }
    figures = host_backup(host, None)
    assert figures is not None
    assert (figures.size_bytes, figures.uploaded_bytes) == (1.5 * 2**30, 2048)
    assert (figures.duration_seconds, figures.processing_seconds) == (61.5, 3723)
    assert (figures.files, figures.modified_files, figures.unmodified_files) == (2, 1, 0)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"targetStatus": {}}', '{"targetStatus": {"stats": []}}']
)
def test_what_says_nothing_of_a_host_is_no_output(tmp_path: Path, text: str) -> None:
    (tmp_path / "output.json").write_text(text)
    with pytest.raises(ConfigError, match=r"see (that step's log|the log)"):
        read_output(tmp_path)


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no readable .*output\.json"):
        read_output(tmp_path)


def test_what_cannot_be_written_has_the_outcome_in_its_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    failed = HostOutcome(hostname="host-0", duration_seconds=0, error="The dump broke.")
    with pytest.raises(StorageError, match=r"\(The dump broke\.\) could not be written to"):
        write_output(tmp_path / "file/below", REFERENCE, failed)
