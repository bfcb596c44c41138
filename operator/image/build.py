# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole image: its layers from the cache or made now, and how it is run."""

from __future__ import annotations

import inspect
import types
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.granary.postgres.operator.image import (
    archive,
    base,
    bytecode,
    cache,
    collection,
    debian,
    golang,
    layer_tar,
    libraries,
    programs,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError

if t.TYPE_CHECKING:
    from collections.abc import Callable

LAYERS = ("base", "programs", "libraries", "collection")
"""From the lowest, which changes least often, to the uppermost."""
_FROM_DEBIAN = ("base", "programs")


def default_name() -> str:
    """A name that no registry answers to, with the collection's version."""
    return f"local.test/granary:{collection.version()}"


def build_image(name: str | None = None, *, fresh: bool = False) -> Path:
    """The archive of the image under `name`, made where it is not in the cache.

    `fresh` makes the layers of Debian's packages anew, for security fixes.
    Any number of processes may ask at once. Must run as root; raises GranaryError.
    """
    name = name or default_name()
    if not name.rpartition("/")[2].rpartition(":")[0]:
        raise ConfigError(f"The image's name {name!r} has no tag: write NAME:TAG.")
    layers = [layer(wanted, fresh=fresh) for wanted in LAYERS]
    config = _config()
    digest = cache.digest_of(
        name, repr(config), *(layer.digest for layer in layers), *_code(archive)
    )

    def write(folder: Path) -> None:
        archive.write_archive(folder / "image.tar", name, layers, config)

    return cache.entry("archive", digest, write) / "image.tar"


def layer(name: str, *, fresh: bool = False) -> archive.Layer:
    """One layer, by its name in LAYERS."""
    folder = _entry(name, fresh=fresh and name in _FROM_DEBIAN)
    digest = (folder / "digest").read_text(encoding="ascii")
    return archive.Layer(name=name, tar=folder / "layer.tar", digest=digest)


def unpack(name: str, into: Path) -> None:
    """Fill `into` with one layer's files by the Python that runs us, without the cache."""
    _recipe(name, bytecode.Interpreter.running).make(into)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """How a layer is made, and all that it is made from, the code that makes it among them.

    What a mirror has today is not among them: that is what `fresh` is for.
    """

    parts: t.Sequence[str | bytes | Path]
    make: Callable[[Path], None]


def _recipe(name: str, interpreter: Callable[[], bytecode.Interpreter]) -> _Recipe:
    """`interpreter` is asked for only while a layer that has Python code in it is made."""
    if name == "base":
        return _Recipe(parts=_code(base, debian, bytecode), make=base.make)
    if name == "programs":
        return _Recipe(parts=_code(programs, debian), make=programs.make)
    if name == "libraries":
        return _Recipe(
            parts=[*_code(libraries, bytecode), libraries.REQUIREMENTS],
            make=lambda root: libraries.make(root, interpreter()),
        )
    sources = collection.read_sources()
    contents = [part for pair in sources.items() for part in pair]
    return _Recipe(
        parts=[*_code(collection, bytecode), golang.hook_template(), *contents],
        make=lambda root: collection.make(root, sources, interpreter()),
    )


def _entry(name: str, *, fresh: bool = False) -> Path:
    recipe = _recipe(name, _interpreter_of_base)

    def make(folder: Path) -> None:
        root = folder / "root"
        root.mkdir()
        recipe.make(root)
        digest = layer_tar.write_layer(root, folder / "layer.tar")
        (folder / "digest").write_text(digest, encoding="ascii")

    digest = cache.digest_of(name, *_code(layer_tar), *recipe.parts)
    return cache.entry(name, digest, make, fresh=fresh)


def _code(*modules: types.ModuleType) -> list[Path]:
    return [Path(inspect.getfile(module)) for module in modules]


def _interpreter_of_base() -> bytecode.Interpreter:
    return bytecode.Interpreter.of_root(_entry("base") / "root")


def _config() -> dict[str, t.Any]:
    return {
        "User": f"{base.USER_ID}:{base.USER_ID}",
        "Entrypoint": ["granary"],
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"],
        "WorkingDir": "/",
        "Labels": {
            "org.opencontainers.image.title": "granary.postgres",
            "org.opencontainers.image.version": collection.version(),
            "org.opencontainers.image.licenses": "GPL-3.0-or-later AND BSD-2-Clause",
        },
    }
