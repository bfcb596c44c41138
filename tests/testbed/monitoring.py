# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Pushgateway and a Prometheus on free ports."""

from __future__ import annotations

import json
import typing as t
import urllib.parse
import urllib.request

from . import folders
from .components import ensure
from .ports import HOST, free_port
from .process import ServerProcess

SCRAPE_INTERVAL_S = 1


class _Server:
    """A program that says at a path when it is ready. A context manager."""

    def __init__(
        self, component: str, program: str, *arguments: str, ready: str, port: int | None = None
    ) -> None:
        """Start it and wait until it is ready; `{folder}` in arguments is its own folder."""
        self.port = port or free_port()
        self.folder = folders.make_scratch()
        self.prepare()
        given = [argument.replace("{folder}", str(self.folder)) for argument in arguments]
        self._process = ServerProcess(
            [
                ensure(component) / "bin" / program,
                f"--web.listen-address={HOST}:{self.port}",
                *given,
            ],
            self.folder / "server.log",
            cwd=self.folder,
        )
        self._process.wait_until(lambda: self._answers(ready))

    def prepare(self) -> None:
        """Write what it reads when it starts."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.stop()
        folders.remove(self.folder)

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Pushgateway(_Server):
    """Keeps in memory what is pushed to it."""

    def __init__(self, port: int | None = None) -> None:
        """Start it, on a free port where none is given, and wait until it is ready."""
        super().__init__("pushgateway", "prometheus-pushgateway", ready="/-/ready", port=port)


class Prometheus(_Server):
    """Scrapes the given ports of this machine each second, as our ServiceMonitor would have it."""

    def __init__(self, *ports: int) -> None:
        """Start it and wait until it is ready."""
        self._ports = ports
        super().__init__(
            "prometheus",
            "prometheus",
            "--config.file={folder}/prometheus.json",
            "--storage.tsdb.path={folder}/data",
            ready="/-/ready",
        )

    def prepare(self) -> None:
        """Write what is scraped; labels that were pushed win over its own."""
        targets = [f"{HOST}:{port}" for port in self._ports]
        settings = {
            "global": {"scrape_interval": f"{SCRAPE_INTERVAL_S}s"},
            "scrape_configs": [
                {
                    "job_name": "granary",
                    "honor_labels": True,
                    "static_configs": [{"targets": targets}],
                }
            ],
        }
        (self.folder / "prometheus.json").write_text(json.dumps(settings), encoding="utf-8")

    def query(self, expression: str) -> list[dict[str, t.Any]]:
        """What an expression gives now: `metric` (labels) and `value` of each series."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=10) as answer:
            data = json.load(answer)["data"]
        found: list[dict[str, t.Any]] = data["result"]
        return found
