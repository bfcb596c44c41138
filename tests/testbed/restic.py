# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stock restic, of two releases, as a user would run it."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .components import ensure
from .errors import TestBedError
from .process import run

if t.TYPE_CHECKING:
    from .s3 import Bucket

VERSIONS = ("0.18", "0.19")


def restic_program(version: str) -> Path:
    """The program of one release, installed on demand."""
    return ensure(f"restic-{version}") / "bin" / "restic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restic:
    """One release on one repository, in restic's own notation: a folder or `s3:URL/bucket`."""

    version: str
    repository: str
    password: str
    cache_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def on_bucket(
        cls, version: str, bucket: Bucket, password: str, cache_dir: Path, *, prefix: str = ""
    ) -> Restic:
        """On a bucket, below a prefix."""
        trust = {"RESTIC_CACERT": str(bucket.ca_bundle)} if bucket.ca_bundle else {}
        return cls(
            version=version,
            repository=f"s3:{bucket.endpoint}/{bucket.name}/{prefix}".rstrip("/"),
            password=password,
            cache_dir=cache_dir,
            environment=bucket.environment() | trust,
        )

    @property
    def program(self) -> Path:
        """The program itself."""
        return restic_program(self.version)

    def env(self) -> dict[str, str]:
        """What a shell that runs restic on this repository needs."""
        return {
            **self.environment,
            "RESTIC_REPOSITORY": self.repository,
            "RESTIC_PASSWORD": self.password,
            "RESTIC_CACHE_DIR": str(self.cache_dir),
            "RESTIC_PROGRESS_FPS": "0.01",
        }

    def run(self, *arguments: str | Path, **env: str) -> str:
        """Run it and return its output; raises TestBedError with its words if it fails."""
        doing = f"restic {self.version} {arguments[0]}"
        return run([self.program, *arguments], doing=doing, env={**self.env(), **env})

    def json(self, *arguments: str | Path, **env: str) -> t.Any:
        """Run it with --json; one document, or a list where it prints one a line."""
        said = self.run(*arguments, "--json", **env)
        try:
            return json.loads(said)
        except ValueError:
            return [json.loads(line) for line in said.splitlines() if line]

    def raw(self, *arguments: str | Path, stdin: bytes | None = None) -> bytes:
        """Run it with bytes in and out (`dump`, `backup --stdin`)."""
        done = subprocess.run(
            [self.program, *arguments],
            env={**os.environ, **self.env()},
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            words = done.stderr.decode("utf-8", "replace").strip()[-2000:]
            what = f"restic {self.version} {arguments[0]}"
            raise TestBedError(f"{what} failed with status {done.returncode}: {words}")
        return done.stdout
