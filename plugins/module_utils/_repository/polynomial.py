# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""Irreducible polynomials over GF(2), as bits of a number.

restic's own chunker is keyed by one of degree 53 in the config and refuses a repository whose
polynomial is reducible or of another degree. We do not cut with it; our chunker takes its seed from
it.
"""

from __future__ import annotations

import secrets

DEGREE = 53  # prime: what divides x^(2^53) - x has degree 1 or 53


def _remainder(value: int, modulus: int) -> int:
    length = modulus.bit_length()
    while value.bit_length() >= length:
        value ^= modulus << (value.bit_length() - length)
    return value


def _square(value: int) -> int:
    # Over GF(2) mixed terms vanish: the square has a zero between each two bits.
    return int("0".join(f"{value:b}"), 2)


def is_irreducible(polynomial: int) -> bool:
    """Tell whether a polynomial of degree 53 has no factors; False for any other degree."""
    if polynomial.bit_length() != DEGREE + 1:
        return False
    if not polynomial & 1 or polynomial.bit_count() % 2 == 0:
        return False  # divisible by x, or by x + 1
    power = 2  # x
    for dummy in range(DEGREE):
        power = _remainder(_square(power), polynomial)
    return power == 2  # noqa: PLR2004 - x again


def random_polynomial() -> int:
    """Return a random irreducible polynomial of degree 53; one odd candidate in 26 is one."""
    while True:
        candidate = secrets.randbits(DEGREE) | 1 << DEGREE | 1
        if is_irreducible(candidate):
            return candidate
