# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ceph's object gateway as the second S3 server: one monitor, one store in memory, one gateway.

The programs need the C library and the paths of their own Debian suite, so each runs in a chroot
inside a mount namespace of its own, which goes when the process goes. This needs root.
"""

from __future__ import annotations

import base64
import os
import uuid
from pathlib import Path

from .components import ensure
from .errors import TestBedError
from .ports import HOST, answers, free_port
from .process import ServerProcess, run
from .s3 import S3Server

_INSIDE = "/tmp"  # where the server's folder is seen inside the chroot
_ENTER = """root=$1 folder=$2; shift 2
mount --rbind /dev "$root/dev" && mount --rbind /proc "$root/proc" &&
mount --bind "$folder" "$root/tmp" && exec chroot "$root" "$@"
"""
_STORE_BYTES = 4 << 30
# `secure`, the gateway's default to monitors, does not go together with no authentication.
_CONFIGURATION = """[global]
fsid = {fsid}
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr1 = false
ms mon client mode = crc
mon host = v2:{host}:{monitor_port}
public addr = {host}
cluster addr = {host}
run dir = {inside}/run
admin socket = {inside}/run/$name.asok
log file = {inside}/$name.log
mon data = {inside}/mon
mon data avail crit = 1
mon allow pool size one = true
osd data = {inside}/osd
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
[osd]
osd objectstore = memstore
memstore device bytes = {store_bytes}
osd class update on start = false
[client.rgw]
rgw data = {inside}/rgw
rgw frontends = beast endpoint={host}:{port}
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = testkey={key}
"""


class CephS3Server(S3Server):
    """A gateway with all that stands behind it; `stop` and `kill` mean the gateway alone.

    The data are in memory: at most 4 GiB, gone with `close`.
    """

    def __init__(self) -> None:
        """Nothing is started yet."""
        super().__init__()
        self._behind: list[ServerProcess] = []
        for name in ("run", "mon", "osd", "rgw"):
            (self.folder / name).mkdir()

    def start(self) -> None:
        """Start all of it (12 s the first time), or the gateway anew."""
        if os.geteuid() != 0:
            raise TestBedError("Ceph's chroot needs root")
        first = not self._behind
        if first:
            self._start_store()
        self._process = self._serve("radosgw", "-n", "client.rgw", "-f")
        if first:
            self._call(
                *("radosgw-admin", "user", "create", "--uid=granary", "--display-name=granary"),
                *(f"--access-key={self.access_key}", f"--secret-key={self.secret_key}"),
            )
        self._process.wait_until(lambda: answers(self.port), timeout_s=120)

    def close(self) -> None:
        """Stop all of it and remove its files."""
        self.kill()
        for server in reversed(self._behind):
            server.kill()
        super().close()

    def drop_bucket(self, name: str) -> None:
        """Remove a bucket with all that is in it, object by object."""
        bucket = self.bucket(name)
        client = bucket.client()
        for key in bucket.list_keys():
            client.delete_object(Bucket=name, Key=key)
        client.delete_bucket(Bucket=name)

    def _start_store(self) -> None:
        """The monitor first; the store says who it is before the monitor is told of it."""
        self.port, monitor_port, fsid = free_port(), free_port(), str(uuid.uuid4())
        text = _CONFIGURATION.format(
            fsid=fsid,
            host=HOST,
            monitor_port=monitor_port,
            port=self.port,
            inside=_INSIDE,
            store_bytes=_STORE_BYTES,
            key=base64.b64encode(bytes(32)).decode(),
        )
        (self.folder / "ceph.conf").write_text(text, encoding="utf-8")
        monitor_map = f"{_INSIDE}/monitor-map"
        self._call(
            *("monmaptool", "--create", "--enable-all-features", "--fsid", fsid),
            *("--set-min-mon-release", "tentacle"),
            *("--addv", "a", f"[v2:{HOST}:{monitor_port}]", monitor_map),
        )
        self._call("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitor_map)
        monitor = self._serve("ceph-mon", "-i", "a", "-f")
        self._behind.append(monitor)
        monitor.wait_until(lambda: answers(monitor_port))
        self._call("ceph-osd", "-i", "0", "--mkfs")
        store_id = (self.folder / "osd" / "fsid").read_text(encoding="utf-8").strip()
        self._call("ceph", "osd", "new", store_id, "0")
        self._behind.append(self._serve("ceph-osd", "-i", "0", "-f"))

    def _inside(self, *command: str) -> list[str | Path]:
        root = ensure("ceph") / "root"
        return ["unshare", "--mount", "sh", "-c", _ENTER, "sh", root, self.folder, *command]

    def _serve(self, *command: str) -> ServerProcess:
        log = self.folder / f"{command[0]}.out"
        return ServerProcess(self._inside(*command), log, env=_environment())

    def _call(self, *command: str) -> str:
        doing = " ".join(command[:3])
        return run(self._inside(*command), doing=doing, env=_environment(), timeout_s=120)


def _environment() -> dict[str, str]:
    return {"CEPH_CONF": f"{_INSIDE}/ceph.conf", "LC_ALL": "C"}  # the tree has no other locale
