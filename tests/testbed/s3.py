# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""S3 servers for tests: versitygw, which keeps the rules, and rclone, which ignores some."""

from __future__ import annotations

import shutil
import signal
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import folders
from .certificates import Authority
from .components import ensure
from .errors import TestBedError
from .ports import HOST, answers, free_port
from .process import ServerProcess

if t.TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PORT_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket and how to reach it."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    region: str
    ca_bundle: Path | None

    def client(self, endpoint: str | None = None) -> S3Client:
        """A boto3 client, by `endpoint` (a proxy's) where one is given."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            verify=str(self.ca_bundle) if self.ca_bundle else None,
            config=Config(s3={"addressing_style": "path"}),
        )

    def environment(self) -> dict[str, str]:
        """AWS_* variables for programs such as restic."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    def list_keys(self, prefix: str = "") -> list[str]:
        """The names of all objects below a prefix, sorted."""
        pages = (
            self.client().get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        )
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))


class S3Server:
    """versitygw on a free port of 127.0.0.1. A context manager: starts, removes everything."""

    access_key = "granary-test-access"
    secret_key = "granary-test-secret"
    region = "us-east-1"

    def __init__(
        self, *, authority: Authority | None = None, addresses: Sequence[str] = ()
    ) -> None:
        """Choose TLS or not; nothing is started yet.

        `addresses` are more names that the certificate is valid for.
        """
        self.folder = folders.make_scratch()
        self.log = self.folder / "server.log"
        self.port = 0
        self._authority = authority
        self._addresses = addresses
        self._process: ServerProcess | None = None
        for name in ("data", "versions", "iam"):
            (self.folder / name).mkdir()

    def __enter__(self) -> t.Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it and remove its files."""
        self.close()

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"{'https' if self._authority else 'http'}://{HOST}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it accepts connections; a second start keeps port and data."""
        for attempt in range(_PORT_TRIES):
            port = self.port or free_port()
            self._process = ServerProcess(
                self._command(port), self.log, env=self._environment(), cwd=self.folder
            )
            try:
                self._process.wait_until(lambda port=port: answers(port))  # type: ignore[misc] # mypy cannot infer a lambda with a default
            except TestBedError:
                if attempt == _PORT_TRIES - 1:
                    raise
                continue
            self.port = port
            return

    def stop(self) -> None:
        """Stop it; data and port stay for another start."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, SIGSTOP for example."""
        if self._process is not None:
            self._process.send(number)

    def close(self) -> None:
        """Stop it and remove its files."""
        self.stop()
        folders.remove(self.folder)

    def make_bucket(self, name: str) -> Bucket:
        """A new bucket."""
        bucket = self.bucket(name)
        bucket.client().create_bucket(Bucket=name)
        return bucket

    def bucket(self, name: str) -> Bucket:
        """How to reach a bucket, whether it is there or not."""
        return Bucket(
            name=name,
            endpoint=self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            ca_bundle=self._authority.certificate if self._authority else None,
        )

    def drop_bucket(self, name: str) -> None:
        """Remove a bucket with all that is in it, at once."""
        shutil.rmtree(self.folder / "data" / name, ignore_errors=True)
        shutil.rmtree(self.folder / "versions" / name, ignore_errors=True)

    def _command(self, port: int) -> list[str | Path]:
        tls: list[str | Path] = []
        if self._authority:
            files = self._authority.issue(
                f"s3-{self.folder.name}", server=True, addresses=self._addresses
            )
            tls = ["--cert", files.certificate, "--key", files.key]
        return [
            *(ensure("versitygw") / "bin" / "versitygw", "--port", f"{HOST}:{port}"),
            *("--region", self.region, "--iam-dir", self.folder / "iam", *tls),
            *("posix", "--versioning-dir", self.folder / "versions", self.folder / "data"),
        ]

    def _environment(self) -> dict[str, str]:
        return {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}


class CarelessS3Server(S3Server):
    """rclone's S3 server: it ignores conditional writes, so that nobody may trust in them."""

    def _command(self, port: int) -> list[str | Path]:
        return [
            *(ensure("rclone") / "bin" / "rclone", "serve", "s3", "--addr", f"{HOST}:{port}"),
            *("--config", "/dev/null", "--cache-dir", self.folder / "cache"),
            *("--auth-key", f"{self.access_key},{self.secret_key}", self.folder / "data"),
        ]
