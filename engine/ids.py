"""Ids for jobs that bring none: short, unique, in the order of time."""

from __future__ import annotations

import os
from collections.abc import Iterator

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


_PAIRS = [one + other for one in _DIGITS for other in _DIGITS]


def new_ids(now: int) -> Iterator[str]:
    """Ids of 14 characters for the instant `now` (ms): the second, then 35 random bits that count up."""
    second = _base32(now // 1000)
    number = int.from_bytes(os.urandom(5), "big")
    while True:
        yield second + _base32(number)
        number += 1


def _base32(number: int) -> str:
    """The last 35 bits of the number in seven digits."""
    first = _DIGITS[number >> 30 & 31]
    return first + _PAIRS[number >> 20 & 1023] + _PAIRS[number >> 10 & 1023] + _PAIRS[number & 1023]
