# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The HTTP sessions below Google's and Azure's libraries, which keep to themselves what we need:
bodies that are whole before anybody uses them, and the headers (the store's time, its checksums).
"""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import hashlib
import threading
import typing as t

from .._core.errors import StorageUnavailable

if t.TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping

    import requests

    from .calls import Call


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: its headers, whose names are found in any case."""

    headers: Mapping[str, str]

    @property
    def time(self) -> datetime.datetime | None:
        """When it said so, by its own clock, in whole seconds; None if it does not tell."""
        try:
            return email.utils.parsedate_to_datetime(self.headers.get("Date", ""))
        except ValueError:
            return None


class Answers:
    """The last answer to each thread of a session."""

    def __init__(self) -> None:
        self._heard = threading.local()

    def attach(self, session: requests.Session, *, connections: int, ca_bundle: str | None) -> None:
        """Listen to ``session``, bound its connections, and let it neither retry nor follow
        redirects.
        """
        from requests.adapters import HTTPAdapter

        adapter = HTTPAdapter(pool_maxsize=connections, pool_block=True, max_retries=0)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session.max_redirects = 0
        session.verify = ca_bundle or True
        session.hooks["response"].append(self._hear)

    @property
    def last(self) -> Answer:
        """The last answer to this thread."""
        return t.cast("Answer", self._heard.answer)

    def _hear(self, response: requests.Response, *args: object, **dummy: object) -> None:
        # Read to its end here: a body that breaks off is then this request's own failure, and not
        # one that a library makes good by requests of which we know nothing.
        dummy_body = response.content
        self._heard.answer = Answer(response.headers)


def md5_of(data: bytes) -> str:
    """Return the MD5 as the stores write it (base64), for their comparison, not for safety."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode("ascii")


def check_md5(call: Call, data: bytes, stated: str | None) -> bytes:
    """Return ``data``; raises ``StorageUnavailable`` if the store stated another checksum."""
    if stated and stated != md5_of(data):
        raise StorageUnavailable(
            call.sentence("what came has another checksum than the store states", "look after it")
        )
    return data
