# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image archives of a few files each, written without any tool, for containers of tests."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import typing as t
from collections.abc import Mapping
from pathlib import Path

from tests.testbed.components import ensure

from .node import PAUSE_IMAGE

BUSYBOX_IMAGE = "local.test/busybox:1"
"""A shell, wget, nslookup, nc and so on; /tmp can be written."""

KUBECTL_IMAGE = "local.test/kubectl:1"
"""kubectl beside busybox; 140 MB, so only tests that need it import it."""

_TOOLS = (
    *("sh", "cat", "cp", "date", "echo", "env", "false", "grep", "head", "hostname", "id"),
    *("kill", "ls", "mkdir", "mv", "nc", "nslookup", "ps", "rm", "sed", "sleep", "tail", "tee"),
    *("test", "touch", "true", "wc", "wget"),
)
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def write_pause_image(archive: Path) -> None:
    """The image of each pod's first container."""
    pause = (ensure("kube") / "bin/pause").read_bytes()
    layer = make_layer({"pause": pause})
    write_image(archive, PAUSE_IMAGE, layer, {"Entrypoint": ["/pause"], "User": "65535:65535"})


def write_busybox_image(archive: Path) -> None:
    """BUSYBOX_IMAGE."""
    _write_tools(archive, BUSYBOX_IMAGE, {})


def write_kubectl_image(archive: Path) -> None:
    """KUBECTL_IMAGE."""
    kubectl = (ensure("kube") / "bin/kubectl").read_bytes()
    _write_tools(archive, KUBECTL_IMAGE, {"bin/kubectl": kubectl})


def _write_tools(archive: Path, name: str, more: Mapping[str, bytes]) -> None:
    busybox = (ensure("busybox") / "bin/busybox").read_bytes()
    links = {f"bin/{tool}": "busybox" for tool in _TOOLS}
    layer = make_layer({"bin/busybox": busybox, **more}, links)
    write_image(archive, name, layer, {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})


def make_layer(programs: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A tar with programs and symbolic links by their paths, and a /tmp for everybody."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
        for path, content in programs.items():
            _add(tar, path, content, mode=0o755)
        for path, target in (links or {}).items():
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return buffer.getvalue()


def write_image(archive: Path, name: str, layer: bytes, config: Mapping[str, t.Any]) -> None:
    """An OCI layout of one image in a tar, named as containerd wants it on import."""
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    image_json = json.dumps(image).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, image_json),
        "layers": [_descriptor(_LAYER, layer)],
    }
    manifest_json = json.dumps(manifest).encode()
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                **_descriptor(_MANIFEST, manifest_json),
                "annotations": {"io.containerd.image.name": name},
            }
        ],
    }
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps(index).encode())
        for blob in (image_json, manifest_json, layer):
            _add(tar, f"blobs/sha256/{_digest(blob).partition(':')[2]}", blob)


def _descriptor(media_type: str, blob: bytes) -> dict[str, t.Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _add(tar: tarfile.TarFile, path: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
