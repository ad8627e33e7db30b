"""Ids for jobs that bring none: short, unique, in the order of time."""

from __future__ import annotations

import os
from collections.abc import Iterator

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_ids(now: int) -> Iterator[str]:
    """Ids of 14 characters for the instant `now` (ms): the second, then 35 random bits that count up."""
    second = _base32(now // 1000, 7)
    number = int.from_bytes(os.urandom(5), "big")
    while True:
        yield second + _base32(number % 2**35, 7)
        number += 1


def _base32(number: int, width: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(width)))
