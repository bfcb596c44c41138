# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a case of bad input is written down: `bad_input_places` and `bad_input_choices` hold them."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.fix_ansible import Task, bucket_repository
from tests.fix_stage import Stage
from tests.testbed.s3 import Bucket, S3Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The stage, and what only bad input needs."""

    stage: Stage
    bucket: Bucket
    s3: S3Server
    endpoints: dict[str, str]
    pooled: int
    nobody_there: int
    empty: Path
    pg_dump_alone: Path
    shared_digit: str


@dataclass(frozen=True, slots=True)
class Case:
    """One task that fails, its error's code (None: Ansible's own), and words of its message."""

    name: str
    task: Callable[[Scene], Task]
    code: str | None
    says: tuple[str, ...]


Make = Callable[[Scene], Task]


def backup(**more: t.Any) -> Make:
    """A backup with something wrong."""
    return lambda scene: scene.stage.backup(**more)


def restore(**more: t.Any) -> Make:
    """A restore with something wrong, of the host `main` unless another one is named."""
    return lambda scene: scene.stage.restore(**{"host": "main", **more})


def info(**more: t.Any) -> Make:
    """A look at the repository with something wrong."""
    return lambda scene: Task(module="repository_info", options=scene.stage.repository | more)


def check(**more: t.Any) -> Make:
    """A check of the repository with something wrong."""
    return lambda scene: Task(module="repository_check", options=scene.stage.repository | more)


def on_place(module: str, place: Callable[[Scene], dict[str, t.Any]]) -> Make:
    """A task of any module of ours on another repository."""

    def make(scene: Scene) -> Task:
        ours = {"backup": backup, "restore": restore}
        if module in ours:
            return ours[module](**place(scene))(scene)
        return Task(module=module, options=scene.stage.repository | place(scene))

    return make


def bucket(**wrong: str) -> Callable[[Scene], dict[str, t.Any]]:
    """An S3 place with something wrong; `no_s3` as the endpoint is a web server's."""

    def make(scene: Scene) -> dict[str, t.Any]:
        options = bucket_repository(scene.bucket)
        for name, text in wrong.items():
            where = options["backend"]["s3"] if name in {"name", "endpoint"} else options
            found = scene.endpoints.get(text, text)
            where["bucket" if name == "name" else name] = found
        return options

    return make


def at(**options: Callable[[Scene], t.Any]) -> Callable[[Scene], dict[str, t.Any]]:
    """Options that only the scene knows."""
    return lambda scene: {name: value(scene) for name, value in options.items()}


def backup_at(**options: Callable[[Scene], t.Any]) -> Make:
    """A backup with something wrong that only the scene knows."""
    return lambda scene: scene.stage.backup(**at(**options)(scene))


def restore_at(**options: Callable[[Scene], t.Any]) -> Make:
    """A restore with something wrong that only the scene knows."""
    return lambda scene: scene.stage.restore(**{"host": "main", **at(**options)(scene)})


def folder(path: Path | str) -> dict[str, t.Any]:
    """A repository in a folder."""
    return {"backend": {"local": {"path": str(path)}}}


def profile(scene: Scene) -> dict[str, t.Any]:
    """A bucket by a profile that nobody wrote down."""
    options = bucket_repository(scene.bucket)
    return {name: options[name] for name in ("backend", "password")} | {"profile": "nobody's"}


def without(task: Task, name: str) -> Task:
    """A task that lacks an option."""
    return replace(task, options={key: task.options[key] for key in task.options if key != name})


HTML = "web server"
NOBODY = "nobody"
NOT_HTTP = "PostgreSQL"
