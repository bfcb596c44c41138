# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import RestoreFailed
from ansible_collections.granary.postgres.plugins.module_utils._postgres.plain_stream import (
    PlainKind,
    check_rows_end,
    check_trailer,
    without_own_password,
)

HEAD = b"--\n-- PostgreSQL database dump\n--\n\n"
CLUSTER_HEAD = b"--\n-- PostgreSQL database cluster dump\n--\n\n"
TRAILER = b"--\n-- PostgreSQL database dump complete\n--\n\n"
CLUSTER_TRAILER = b"--\n-- PostgreSQL database cluster dump complete\n--\n\n"
ROWS = b"COPY t FROM stdin;\n1\t-- PostgreSQL database dump complete\n\\.\n\n"
UNRESTRICT = b"\\unrestrict KEY\n\n"


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (HEAD + ROWS + TRAILER, PlainKind.DATABASE),
        (HEAD + b"\\restrict KEY\n\n" + ROWS + TRAILER + UNRESTRICT, PlainKind.DATABASE),
        (CLUSTER_HEAD + ROWS + TRAILER + CLUSTER_TRAILER, PlainKind.CLUSTER),
        (CLUSTER_HEAD + ROWS + TRAILER + UNRESTRICT + CLUSTER_TRAILER, PlainKind.CLUSTER),
        (CLUSTER_HEAD + b"CREATE ROLE a;\n" + UNRESTRICT + CLUSTER_TRAILER, PlainKind.CLUSTER),
    ],
)
def test_whole_streams(stream: bytes, kind: PlainKind) -> None:
    assert check_trailer(stream, stream) is kind


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        HEAD,
        HEAD + ROWS,
        HEAD + ROWS + TRAILER[:-5],
        HEAD + ROWS + TRAILER + b"INSERT INTO t VALUES (1);\n",
        HEAD + ROWS + CLUSTER_TRAILER,
        CLUSTER_HEAD + ROWS + TRAILER,
        CLUSTER_HEAD + ROWS + TRAILER + UNRESTRICT,
        CLUSTER_HEAD + ROWS + TRAILER + CLUSTER_HEAD,
        HEAD + b"COPY t FROM stdin;\nx -- PostgreSQL database dump complete\n--\n",
        HEAD + b"\\restrict KEY\n\n" + ROWS + TRAILER,
        HEAD + b"\\restrict KEY\n\n" + ROWS + TRAILER + b"\\unrestrict OTHER\n\n",
        b"-- MySQL dump 10.13\n" + TRAILER,
        b"PGDMP" + TRAILER,
    ],
)
def test_streams_that_are_not_whole_or_no_dumps(stream: bytes) -> None:
    with pytest.raises(RestoreFailed, match="nothing was restored"):
        check_trailer(stream, stream)


def from_end(stream: bytes, size: int) -> list[bytes]:
    """A stream in blocks of a size, the last one first."""
    return [stream[at : at + size] for at in range(0, len(stream), size)][::-1]


@pytest.mark.parametrize("size", [1, 7, 20, 1000])
def test_rows_that_hold_the_lines_of_a_dump(size: int) -> None:
    lines = HEAD + b"COPY x (a) FROM stdin;\n\\\\.\n" + TRAILER
    cut = HEAD + b"COPY t (line) FROM stdin;\n" + lines
    assert check_trailer(cut, cut) is PlainKind.DATABASE
    with pytest.raises(RestoreFailed, match="cut inside the rows of a table"):
        check_rows_end(from_end(cut, size))
    check_rows_end(from_end(cut + b"\\.\n\n\n" + TRAILER, size))
    check_rows_end(from_end(HEAD + b"COPY t (line) FROM stdin;\n\\.\n" + TRAILER, size))
    check_rows_end(from_end(HEAD + b"CREATE TABLE t ();\n\n" + TRAILER, size))


GLOBALS = b"""--
-- PostgreSQL database cluster dump
--

SET client_encoding = 'UTF8';
CREATE ROLE "me";
ALTER ROLE "me" WITH SUPERUSER PASSWORD 'theirs';
CREATE ROLE you;
ALTER ROLE you WITH PASSWORD 'yours';
COMMENT ON ROLE you IS 'x;
ALTER ROLE "me" WITH PASSWORD ''comment'';';
"""
OWN = b"""\nALTER ROLE "me" WITH SUPERUSER PASSWORD 'theirs';"""
DATABASES = b"""
\\connect template1

COPY t FROM stdin;
ALTER ROLE "me" WITH PASSWORD 'row';
\\.
ALTER ROLE "me" WITH PASSWORD 'not ours to judge';
"""


@given(st.lists(st.integers(0, 600), max_size=8))
def test_only_the_roles_own_password_goes_however_the_stream_is_cut(cuts: list[int]) -> None:
    stream = GLOBALS + DATABASES
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    blocks = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert b"".join(without_own_password(blocks, "me")) == stream.replace(OWN, b"", 1)


def test_a_stream_without_databases_passes() -> None:
    assert b"".join(without_own_password([GLOBALS], "me")) == GLOBALS.replace(OWN, b"", 1)
    assert b"".join(without_own_password([GLOBALS], "somebody")) == GLOBALS
