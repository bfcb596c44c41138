# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image as one file that every runtime reads.

It is an OCI layout (containerd, podman, skopeo) and a docker-archive (docker load) at once, as
`docker save` writes it since version 25. Layers are not compressed: who pushes them compresses.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.granary.postgres.operator.image.layer_tar import EPOCH

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer: what it holds, its tar and that tar's SHA-256 in hex."""

    name: str
    tar: Path
    digest: str


def write_archive(
    into: Path, name: str, layers: t.Sequence[Layer], config: t.Mapping[str, t.Any]
) -> None:
    """Write the image of these layers, the lowest first; `config` is how it is run.

    The same name, layers and config give the same bytes.
    """
    config_json = _json(_image_config(layers, config))
    manifest_json = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _described(_CONFIG, config_json),
            "layers": [
                {
                    "mediaType": _LAYER,
                    "digest": f"sha256:{layer.digest}",
                    "size": layer.tar.stat().st_size,
                }
                for layer in layers
            ],
        }
    )
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", _json(_index(name, manifest_json)))
        _add(archive, "manifest.json", _json(_docker_manifest(name, config_json, layers)))
        for blob in (config_json, manifest_json):
            _add(archive, _blob(hashlib.sha256(blob).hexdigest()), blob)
        for digest, tar in {layer.digest: layer.tar for layer in layers}.items():
            member = _member(_blob(digest), tar.stat().st_size)
            with tar.open("rb") as file:
                archive.addfile(member, file)


def _image_config(layers: t.Sequence[Layer], config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]},
        "history": [{"created": created, "created_by": layer.name} for layer in layers],
    }


def _index(name: str, manifest: bytes) -> dict[str, t.Any]:
    tag = name.rpartition(":")[2]
    named = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}
    return {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [{**_described(_MANIFEST, manifest), "annotations": named}],
    }


def _docker_manifest(name: str, config: bytes, layers: t.Sequence[Layer]) -> list[dict[str, t.Any]]:
    digest = hashlib.sha256(config).hexdigest()
    return [
        {
            "Config": _blob(digest),
            "RepoTags": [name],
            "Layers": [_blob(layer.digest) for layer in layers],
        }
    ]


def _described(media_type: str, blob: bytes) -> dict[str, t.Any]:
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(blob)}


def _json(value: t.Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size_bytes, EPOCH, 0o644
    return member


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(_member(name, len(data)), io.BytesIO(data))
