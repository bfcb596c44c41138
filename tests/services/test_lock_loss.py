# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is robbed of his lock never says that all is well."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import LockLost
from ansible_collections.granary.postgres.plugins.module_utils._repository.lock_file import LOCKS
from ansible_collections.granary.postgres.plugins.module_utils._repository.snapshot import SNAPSHOTS
from tests.fix_backup import HookedEvents, files_of
from tests.fix_lock_loss import Source, by, made
from tests.fix_repository import PREFIX, Place
from tests.testbed.http_proxy import Fault, HttpProxy, Request
from tests.testbed.restic import VERSIONS
from tests.testbed.s3 import Bucket


class TestRobbed:
    """`restic unlock --remove-all` in the middle of a backup."""

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("event", ["database_read", "index_written"])
    def test_and_pruned_before_the_snapshot_was_written(
        self, source: Source, local_place: Place, version: str, event: str
    ) -> None:
        made(local_place)
        restic = local_place.restic(version)
        indexes: list[int] = []

        def rob() -> None:
            assert len(files_of(local_place, "data")) >= 3
            restic.run("unlock", "--remove-all")
            restic.run("prune")
            indexes.append(len(files_of(local_place, "index")))

        with pytest.raises(LockLost, match=r"The lock on .* is (gone|lost)"):
            source.back_up(local_place, events=HookedEvents(event, rob))
        assert len(files_of(local_place, "index")) == indexes[0], "it names packs that are gone"
        assert files_of(local_place, SNAPSHOTS) == {}
        assert files_of(local_place, LOCKS) == {}
        source.back_up(local_place)
        restic.run("check", "--read-data")

    @pytest.mark.parametrize("whole", [True, False])
    def test_once_the_snapshot_was_written(
        self, source: Source, s3_bucket: Bucket, s3_proxy: HttpProxy, tmp_path: Path, whole: bool
    ) -> None:
        """All that it needs is looked for then: it is there, or the snapshot goes."""
        place = made(Place(where=s3_bucket, cache_dir=tmp_path / "cache"))
        restic = place.restic("0.19")
        robbed: list[str] = []

        def rob(request: Request) -> None:
            if robbed or not s3_bucket.list_keys(f"{PREFIX}/{SNAPSHOTS}/"):
                return
            robbed.append(request.path)
            restic.run("unlock", "--remove-all")
            if not whole:
                for key in s3_bucket.list_keys(f"{PREFIX}/data/"):
                    s3_bucket.client().delete_object(Bucket=s3_bucket.name, Key=key)

        # Until the first look at the lock after the snapshot's own write.
        s3_proxy.add(Fault(kind="run", method="GET", path="prefix=.*locks", action=rob))
        if whole:
            snapshot = source.back_up(by(place, s3_proxy))
            assert list(files_of(place, SNAPSHOTS)) == [f"{SNAPSHOTS}/{snapshot}"]
            restic.run("check", "--read-data")
        else:
            with pytest.raises(LockLost, match="the snapshot was removed"):
                source.back_up(by(place, s3_proxy))
            assert files_of(place, SNAPSHOTS) == {}
        assert robbed
        assert files_of(place, LOCKS) == {}
