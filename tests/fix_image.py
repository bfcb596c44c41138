# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator's image as fixtures: its archive, its files, and its name in the test cluster."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import typing as t
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.operator.image.build import build_image, default_name
from tests.testbed import folders

USER = 65535
# What a kubelet gives a container: its files read only, /stash-tmp apart, the kernel's own files.
_ENTER = """
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" && cd "$root" || exit 125
mount --rbind /dev dev && mount --rbind /proc proc && mount -t tmpfs -o mode=1777 none stash-tmp \
    || exit 125
exec chroot --userspec="$user:$user" "$root" "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An image's archive, read as containerd reads it."""

    path: Path

    def json_of(self, name: str) -> t.Any:
        """A JSON file in it."""
        with tarfile.open(self.path) as archive:
            member = archive.extractfile(name)
            assert member is not None
            return json.load(member)

    @property
    def manifest(self) -> dict[str, t.Any]:
        """The manifest of its one image."""
        (described,) = self.json_of("index.json")["manifests"]
        found: dict[str, t.Any] = self.json_of(blob(described["digest"]))
        return found

    @property
    def config(self) -> dict[str, t.Any]:
        """How the image is run."""
        found: dict[str, t.Any] = self.json_of(blob(self.manifest["config"]["digest"]))
        return found

    def layers(self) -> Iterator[tarfile.TarFile]:
        """Its layers, the lowest first."""
        with tarfile.open(self.path) as archive:
            for described in self.manifest["layers"]:
                with tarfile.open(fileobj=archive.extractfile(blob(described["digest"]))) as layer:
                    yield layer

    def unpack(self, into: Path) -> None:
        """Lay its layers over each other in a folder, with owners and rights as they are."""
        with tarfile.open(self.path) as archive:
            for described in self.manifest["layers"]:
                layer = archive.extractfile(blob(described["digest"]))
                assert layer is not None
                words = ("tar", "--extract", "--numeric-owner", "--same-permissions")
                subprocess.run([*words, f"--directory={into}"], input=layer.read(), check=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRoot:
    """The image's files in a folder, and its programs run as in a container."""

    folder: Path
    environment: Mapping[str, str]

    def command(
        self, *words: str, user: int = USER, environment: Mapping[str, str] | None = None
    ) -> list[str]:
        """The command line that runs `words` in there, in mount points of its own.

        `environment` is added to the image's own.
        """
        here = {"TMPDIR": "/stash-tmp", "HOME": "/stash-tmp"}
        variables = {**self.environment, **here, **(environment or {})}
        given = [f"{name}={value}" for name, value in variables.items()]
        return [
            *("setpriv", "--no-new-privs", "--pdeathsig=KILL", "--"),
            *("unshare", "--mount", "env", f"root={self.folder}", f"user={user}"),
            *("sh", "-c", _ENTER, "enter", "/usr/bin/env", "-i", *given, *words),
        ]

    def run(
        self,
        *words: str,
        stdin: str = "",
        user: int = USER,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, whatever that is."""
        return subprocess.run(
            self.command(*words, user=user, environment=environment),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def blob(digest: str) -> str:
    """The place of a blob in an archive."""
    return f"blobs/{digest.replace(':', '/')}"


@pytest.fixture(scope="session")
def image_archive() -> Archive:
    """The image of this tree, from the cache but for what changed."""
    return Archive(path=build_image())


@pytest.fixture(scope="session")
def image_root(image_archive: Archive) -> Iterator[ImageRoot]:
    """Its files, unpacked."""
    assert os.geteuid() == 0, "the image's root file system is unpacked as root"
    scratch = folders.make_scratch()
    try:
        image_archive.unpack(scratch)
        environment = dict(line.split("=", 1) for line in image_archive.config["config"]["Env"])
        yield ImageRoot(folder=scratch, environment=environment)
    finally:
        folders.remove(scratch)


@pytest.fixture(scope="session")
def granary_image(image_archive: Archive, kube_cluster: t.Any) -> str:
    """The name of the image, which every node of the test cluster has."""
    kube_cluster.import_image(image_archive.path)
    return default_name()
