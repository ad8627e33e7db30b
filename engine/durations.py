"""Lengths of time as people write them: 90s, 10m, 1.5h, 1h30m, 2d, 1w. The one table of units."""

from __future__ import annotations

import math
import re
from typing import Any

_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_PART = r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|min|m|h|d|w)"
_WHOLE = rf"{_PART}(?: ?{_PART})*"

EXAMPLES = '"90s", "10m", "2h", "1h30m", "1d", "1w"'


def seconds(text: str) -> float | None:
    """The seconds that `text` says by its units; None when it is no such length. A number alone has no unit."""
    if len(text) > 100 or not re.fullmatch(_WHOLE, text, re.ASCII):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in re.findall(_PART, text, re.ASCII))


def number(value: Any, unit_s: float | None) -> float | None:
    """The finite number that `value` says, None when it says none. Plain digits only: no 1_000, no 0x10.

    unit_s: the seconds of the unit in which "1h" is counted; None when it is no length of time.
    """
    said_s = seconds(value.strip()) if isinstance(value, str) and unit_s else None
    if said_s is not None and unit_s:
        return said_s / unit_s
    odd = isinstance(value, str) and ("_" in value or not value.isascii())
    if odd or isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
