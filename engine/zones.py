"""Local time of a named zone, made an instant: 2026-03-29T08:00 Europe/Berlin."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from engine.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}")


def instant(text: str, zone: str) -> datetime:
    """The instant at which the clocks of `zone` show `text` (ISO 8601); when they show it twice, the first.

    Raises InvalidInput, also for a time that the clocks leap over.
    """
    place = _zone(zone)
    try:
        shown = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f'is no date and time; write "2026-01-31T08:00 {zone}".') from None
    if shown.tzinfo is not None:
        raise InvalidInput("has an offset and a time zone; give one of the two.")
    found = shown.replace(tzinfo=place)
    try:
        at = found.astimezone(UTC)
    except OverflowError:
        raise InvalidInput("must lie between the years 1970 and 9999.") from None
    if at.astimezone(place).replace(tzinfo=None) != shown:
        raise InvalidInput(f"does not exist in {zone}: the clocks go forward over it.")
    return at


def _zone(name: str) -> tzinfo:
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC  # also where no zones are installed
    from zoneinfo import ZoneInfo  # costs, and few enqueue by local time

    try:
        if _NAME.fullmatch(name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise InvalidInput(f'{name[:64]!r} is no time zone known here; write "UTC" or one like "Europe/Berlin".')
