"""A local time and its zone are an instant, also where the clocks are changed."""

from __future__ import annotations

import pytest

from engine import spec
from engine.errors import InvalidInput


def run_at(text: str) -> int:
    return spec.parse({"command": "true", "run_at": text}, 0)["next_run_at"]


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        ("2026-01-31T08:00 UTC", "2026-01-31T08:00:00Z"),
        ("2026-01-31T08:00 Europe/Berlin", "2026-01-31T07:00:00Z"),
        ("2026-07-31T08:00 Europe/Berlin", "2026-07-31T06:00:00Z"),
        ("2026-01-31T08:00 America/New_York", "2026-01-31T13:00:00Z"),
        ("2026-01-31T08:00 Asia/Kolkata", "2026-01-31T02:30:00Z"),
        ("2026-10-25T02:30 Europe/Berlin", "2026-10-25T00:30:00Z"),  # shown twice; the first
        ("2026-03-29T03:00 Europe/Berlin", "2026-03-29T01:00:00Z"),
    ],
)
def test_a_local_time_is_an_instant(local, instant):
    assert run_at(local) == run_at(instant)


@pytest.mark.parametrize(
    ("local", "sentence"),
    [
        ("2026-03-29T02:30 Europe/Berlin", "does not exist in Europe/Berlin"),
        ("2026-01-31T08:00 Europe/Nowhere", "'Europe/Nowhere' is no time zone"),
        ("2026-01-31T08:00 Europe", "'Europe' is no time zone"),
        ("2026-01-31T08:00 a/../../etc/passwd", "is no time zone"),
        ("2026-01-31T08:00 leapseconds", "is no time zone"),
        ("2026-01-31T08:00Z Europe/Berlin", "give one of the two"),
        ("tomorrow Europe/Berlin", "has no time"),
        ("0001-01-01T00:00 Asia/Tokyo", "must lie between the years"),
        ("9999-12-31T23:00 America/New_York", "must lie between the years"),
    ],
)
def test_what_no_clock_shows_is_refused(local, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        run_at(local)
