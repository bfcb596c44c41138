# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Emulators of Google Cloud Storage and Azure Blob Storage on free ports of 127.0.0.1."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from pathlib import Path

from . import folders
from .components import ensure
from .ports import HOST, answers, free_port
from .process import ServerProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket or container, and the endpoint of its server."""

    name: str
    endpoint: str


class Emulator:
    """A server in memory or in a scratch folder. A context manager."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self.folder = folders.make_scratch()
        self.port = free_port()
        self._process: ServerProcess | None = None

    def __enter__(self) -> t.Self:
        """Start it and wait until it accepts connections."""
        self._process = ServerProcess(
            self.command(), self.folder / "server.log", env=self.environment(), cwd=self.folder
        )
        self._process.wait_until(lambda: answers(self.port))
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it and remove its files."""
        if self._process is not None:
            self._process.stop()
        folders.remove(self.folder)

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://{HOST}:{self.port}"

    def place(self, name: str) -> Place:
        """How to reach a bucket, whether it is there or not."""
        return Place(name=name, endpoint=self.endpoint)

    def command(self) -> list[str | Path]:
        """The program and its arguments."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """What is added to its environment."""
        return {}


class GcsServer(Emulator):
    """fake-gcs-server: it heeds generations, and states checksums."""

    def command(self) -> list[str | Path]:
        """In memory."""
        return [
            *(ensure("fake-gcs-server") / "bin" / "fake-gcs-server", "-backend", "memory"),
            *("-host", HOST, "-port", str(self.port), "-scheme", "http"),
            *("-public-host", f"{HOST}:{self.port}", "-log-level", "warn"),
        ]


class AzureServer(Emulator):
    """Azurite, with the account and the key that every Azurite has."""

    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    @property
    def endpoint(self) -> str:
        """Its URL, with the account as the path."""
        return f"http://{HOST}:{self.port}/{self.account}"

    def command(self) -> list[str | Path]:
        """In memory."""
        return [
            *(ensure("azurite") / "bin" / "azurite-blob", "--blobHost", HOST),
            *("--blobPort", str(self.port), "--inMemoryPersistence", "--silent"),
            *("--skipApiVersionCheck", "--disableTelemetry"),
        ]
