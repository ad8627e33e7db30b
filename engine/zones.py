"""Local time of a named zone, made an instant: 2026-03-29 08:00 in Europe/Berlin."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from engine.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}")


def instant(shown: datetime, place: tzinfo | None, name: str) -> tuple[datetime, bool]:
    """The instant at which the clocks of `place` (None: this host's) show this; the first, and whether there are two.

    Raises InvalidInput for a time that the clocks leap over; `name` is what the sentence calls the place.
    """
    try:
        first, second = (shown.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
        found = first.astimezone(place)
    except (OverflowError, ValueError, OSError):  # of the host's own zone: years that the C library does not know
        raise InvalidInput("must lie between the years 1970 and 9999.") from None
    if found.replace(tzinfo=None, fold=0) != shown:
        raise InvalidInput(f"does not exist in {name}: the clocks go forward over it.")
    return first, first != second


def named(name: str) -> tzinfo:
    """The time zone of this name. Raises InvalidInput."""
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC  # also where no zones are installed
    from zoneinfo import ZoneInfo  # costs, and few enqueue by local time

    try:
        if _NAME.fullmatch(name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise InvalidInput(f'{name[:64]!r} is no time zone known here; write "UTC" or one like "Europe/Berlin".')
