"""Instants as people write them: ISO 8601, a date and time with a blank, a named zone, "tomorrow 9:00", "09:00"."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from engine import zones
from engine.errors import InvalidInput

_DAYS = {"today": 0, "tomorrow": 1, "yesterday": -1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRITTEN = re.compile(
    r"(?:(?P<word>today|tomorrow|yesterday)|(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d))?(?:(?:^|[T ]\s*)"
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"(?: ?(?P<offset>Z|[+-]\d\d(?::?\d\d)?))?(?: (?P<zone>[A-Z]\S*))?",
    re.IGNORECASE | re.ASCII,
)


class Moment(NamedTuple):
    """An instant in milliseconds since 1970, and what its text says of it.

    has_zone: the text says whose clocks it means. is_twice: those clocks show it twice, and this is the first time.
    """

    at: int
    has_zone: bool = True
    is_twice: bool = False


class _Clock(NamedTuple):
    """What a clock shows, and whose: an offset or zone of the text; None: this host's for a word, UTC for a date."""

    shows: datetime
    place: tzinfo | None
    name: str
    has_zone: bool


def read(text: str, now: int, *, step: int) -> Moment | None:
    """The instant that `text` names; None when it is none. Raises InvalidInput for a date or time that cannot be.

    now: milliseconds. step: the days to go on from a time of day without a day that does not lie that way: 1 for the
    next 09:00, -1 for the last. Words and times of day without a zone are those of this host's clocks.
    """
    text = " ".join(text.split())
    found = _WRITTEN.fullmatch(text)
    if found and (found["word"] or found["year"] or found["hour"]):
        return _of_clock(found, now, step)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return Moment(_ms(instant.replace(tzinfo=instant.tzinfo or UTC)), instant.tzinfo is not None)


def in_zone(text: str, zone: str) -> str:
    """The text with the zone behind it when it is a date or time that names none."""
    found = _WRITTEN.fullmatch(text)
    is_clock = found and (found["word"] or found["year"] or found["hour"]) and not (found["offset"] or found["zone"])
    return f"{text} {zone}" if is_clock else text


def is_day_alone(text: str) -> bool:
    """Whether the text is a word for a day, without a time."""
    return (text.split() or [""])[0].lower() in _DAYS and ":" not in text


def _of_clock(found: re.Match[str], now: int, step: int) -> Moment:
    place, has_zone = _place(found)
    is_dated = found["year"] is not None
    local = UTC if is_dated and not has_zone else place
    today = datetime.fromtimestamp(now / 1000, UTC).astimezone(local).date()
    day = _date(found) if is_dated else today + timedelta(days=_DAYS[(found["word"] or "today").lower()])
    shows = datetime.combine(day, datetime.min.time()) + _time(found)
    name = found["zone"] or "the time zone of this host"
    at, is_twice = zones.instant(shows, local, name)
    if not is_dated and not found["word"] and (_ms(at) - now) * step < 0:
        at, is_twice = zones.instant(shows + timedelta(days=step), local, name)
    return Moment(_ms(at), has_zone or not is_dated, is_twice)


def _place(found: re.Match[str]) -> tuple[tzinfo | None, bool]:
    """Whose clocks are meant, None for this host's; and whether the text says so."""
    if found["offset"] and found["zone"]:
        raise InvalidInput("has an offset and a time zone; give one of the two.")
    if found["offset"]:
        try:
            return datetime.fromisoformat(f"2000-01-01T00:00{found['offset'].upper()}").tzinfo, True
        except ValueError:
            raise InvalidInput(f"{found['offset']} is no offset from UTC; write one such as +01:00.") from None
    return (zones.named(found["zone"]), True) if found["zone"] else (None, False)


def _date(found: re.Match[str]) -> date:
    year, month, day = int(found["year"]), int(found["month"]), int(found["day"])
    text = f"{found['year']}-{found['month']}-{found['day']}"
    if not year:
        raise InvalidInput(f"{text} is no date: there is no year 0.")
    if not 1 <= month <= 12:
        raise InvalidInput(f"{text} is no date: months go from 01 to 12.")
    if not 1 <= day <= (days := monthrange(year, month)[1]):
        raise InvalidInput(f"{text} is no date: that month has {days} days.")
    return date(year, month, day)


def _time(found: re.Match[str]) -> timedelta:
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 59:
        text = ":".join(found[name] for name in ("hour", "minute", "second") if found[name])
        raise InvalidInput(f"{text} is no time of day: hours go from 0 to 23, minutes and seconds to 59.")
    microseconds = int((found["fraction"] or "0").ljust(6, "0")[:6])
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=microseconds)


def _ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)
