# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stock restic as a fixture, of both releases."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.testbed.restic import VERSIONS, Restic
from tests.testbed.s3 import Bucket


class ResticFactory(t.Protocol):
    """Gives restic on a folder or a bucket (then below `prefix`)."""

    def __call__(self, place: Path | Bucket, password: str, *, prefix: str = "") -> Restic: ...


def restic_on(
    version: str, cache_dir: Path, place: Path | Bucket, password: str, prefix: str = ""
) -> Restic:
    """restic of one release on a folder or a bucket."""
    if isinstance(place, Bucket):
        return Restic.on_bucket(version, place, password, cache_dir, prefix=prefix)
    return Restic(version=version, repository=str(place), password=password, cache_dir=cache_dir)


@pytest.fixture(params=VERSIONS)
def restic(request: pytest.FixtureRequest, tmp_path: Path) -> ResticFactory:
    """restic of each release in turn: the test runs once with each."""

    def give(place: Path | Bucket, password: str, *, prefix: str = "") -> Restic:
        return restic_on(request.param, tmp_path / "restic-cache", place, password, prefix)

    return give


@pytest.fixture
def newest_restic(tmp_path: Path) -> ResticFactory:
    """restic of the newest release only."""

    def give(place: Path | Bucket, password: str, *, prefix: str = "") -> Restic:
        return restic_on(VERSIONS[-1], tmp_path / "restic-cache", place, password, prefix)

    return give
