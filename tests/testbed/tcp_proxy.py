# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TCP proxy that cuts, stalls and slows connections; it knows nothing of what they carry."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

from .ports import HOST

_CHUNK_BYTES = 64 * 1024
_POLL_S = 0.05


class TcpProxy:
    """Listens on a free port of 127.0.0.1 and passes bytes to `target_port` and back.

    All faults may be set and taken back at any time, and hold for open and new connections.
    A context manager.
    """

    def __init__(self, target_port: int) -> None:
        """Start to listen."""
        self.target_port = target_port
        self.bytes_to_target = 0
        self.bytes_from_target = 0
        self.connections = 0
        self._refusing = False
        self._rate_bytes_per_s: float | None = None
        self._cut_after_bytes: int | None = None
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> TcpProxy:
        """It listens already."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop listening, cut what is open."""
        self.close()

    def close(self) -> None:
        """Stop listening, cut what is open."""
        self._closed = True
        self._flowing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset all open connections now; new ones are served."""
        with self._lock:
            for one in self._open:
                _reset(one)
            self._open.clear()

    def cut_after(self, more_bytes: int) -> None:
        """Reset all open connections once so many more bytes have passed (both ways), once."""
        self._cut_after_bytes = self.bytes_to_target + self.bytes_from_target + more_bytes

    def refuse(self, yes: bool = True) -> None:
        """Reset new connections at once; open ones live on."""
        self._refusing = yes

    def stall(self) -> None:
        """Hold every byte, in both directions, with the connections open."""
        self._flowing.clear()

    def resume(self) -> None:
        """End `stall` and `slow`."""
        self._rate_bytes_per_s = None
        self._flowing.set()

    def slow(self, bytes_per_s: float) -> None:
        """Limit each direction of each connection."""
        self._rate_bytes_per_s = bytes_per_s

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, dummy = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self._refusing:
                _reset(near)
                continue
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection((HOST, self.target_port), 10)
        except OSError:
            _reset(near)
            return
        far.settimeout(None)
        with self._lock:
            self._open |= {near, far}
        back = threading.Thread(target=self._pump, args=(far, near, False), daemon=True)
        back.start()
        self._pump(near, far, True)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _pump(self, source: socket.socket, sink: socket.socket, to_target: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._flowing.wait()
                if self._rate_bytes_per_s is not None:
                    data = self._trickle(data, sink, to_target)
                sink.sendall(data)
                self._count(len(data), to_target)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _trickle(self, data: bytes, sink: socket.socket, to_target: bool) -> bytes:
        """Send at the set rate; return what is left once that is lifted."""
        while data and self._rate_bytes_per_s is not None and not self._closed:
            size = max(1, int(self._rate_bytes_per_s * _POLL_S))
            sink.sendall(data[:size])
            self._count(len(data[:size]), to_target)
            data = data[size:]
            time.sleep(_POLL_S)
        return data

    def _count(self, size: int, to_target: bool) -> None:
        with self._lock:
            if to_target:
                self.bytes_to_target += size
            else:
                self.bytes_from_target += size
            passed = self.bytes_to_target + self.bytes_from_target
            due = self._cut_after_bytes is not None and passed >= self._cut_after_bytes
            if due:
                self._cut_after_bytes = None
        if due:
            self.cut()


def _reset(one: socket.socket) -> None:
    """Close with RST, as a broken network path or a dead peer shows itself."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RD)
    # A thread may be blocked in recv on it: shutdown wakes that up, close sends the RST.
    with contextlib.suppress(OSError):
        one.close()
