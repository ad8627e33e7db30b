"""Instants as people write them, and lengths of time."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from engine import config, durations, moments, spec

NOW = int(datetime(2026, 11, 28, 10, 0, tzinfo=UTC).timestamp() * 1000)


def iso(moment: moments.Moment | None) -> str:
    assert moment is not None
    return f"{datetime.fromtimestamp(moment.at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def host_in_berlin(monkeypatch):
    """This host's clocks are those of Berlin, an hour before UTC in November."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # in words that need no list of zones
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "next_one", "last_one"),
    [
        ("09:00", "2026-11-29T08:00:00Z", "2026-11-28T08:00:00Z"),
        ("9:00", "2026-11-29T08:00:00Z", "2026-11-28T08:00:00Z"),
        ("23:30:15", "2026-11-28T22:30:15Z", "2026-11-27T22:30:15Z"),
        ("11:00", "2026-11-28T10:00:00Z", "2026-11-28T10:00:00Z"),
        ("09:00 UTC", "2026-11-29T09:00:00Z", "2026-11-28T09:00:00Z"),
        ("09:00z", "2026-11-29T09:00:00Z", "2026-11-28T09:00:00Z"),
        ("09:00 Asia/Tokyo", "2026-11-29T00:00:00Z", "2026-11-28T00:00:00Z"),
        ("tomorrow 9:00", "2026-11-29T08:00:00Z", "2026-11-29T08:00:00Z"),
        ("Today 18:00", "2026-11-28T17:00:00Z", "2026-11-28T17:00:00Z"),
        ("yesterday", "2026-11-26T23:00:00Z", "2026-11-26T23:00:00Z"),
        ("tomorrow 02:00 Asia/Tokyo", "2026-11-28T17:00:00Z", "2026-11-28T17:00:00Z"),
        ("2026-11-29 09:00 Europe/Berlin", "2026-11-29T08:00:00Z", "2026-11-29T08:00:00Z"),
        ("2026-11-29t09:00z", "2026-11-29T09:00:00Z", "2026-11-29T09:00:00Z"),
        ("20261129T090000Z", "2026-11-29T09:00:00Z", "2026-11-29T09:00:00Z"),
    ],
)
def test_an_instant_is_read_as_people_write_it(host_in_berlin, text, next_one, last_one):
    assert iso(moments.read(text, NOW, step=1)) == next_one
    assert iso(moments.read(text, NOW, step=-1)) == last_one


@pytest.mark.parametrize("text", ["2027-10-31 02:30", "2027-10-31T02:30:00"])
def test_an_hour_that_comes_twice_is_the_first_and_is_known_as_such(text):
    found = moments.read(f"{text} Europe/Berlin", NOW, step=1)
    assert (iso(found), found.is_twice) == ("2027-10-31T00:30:00Z", True)
    assert not moments.read(f"{text}+02:00", NOW, step=1).is_twice


def test_a_date_without_a_zone_says_so(host_in_berlin):
    found = moments.read("2026-11-29 09:00", NOW, step=1)
    assert (iso(found), found.has_zone) == ("2026-11-29T09:00:00Z", False)


@pytest.mark.parametrize(
    "text", ["", "soon", "9", "9 o'clock", "2026", "noon tomorrow", "12:0", "\u0660\u0669:00", "a" * 5000]
)
def test_other_text_is_no_instant(text):
    assert moments.read(text, NOW, step=1) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90s", 90), ("10m", 600), ("10min", 600), ("1.5h", 5400), ("1h30m", 5400), ("1h 30m", 5400)),
        *(("2d", 172_800), ("1w", 604_800), ("250ms", 0.25), ("0s", 0)),
    ],
)
def test_a_length_of_time_is_read_by_its_units(text, seconds):
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "h", "-1h", "1y", "1e3s", "1h-30m", "٣h", "1" * 10 + "s", "1s" * 100])
def test_what_has_no_unit_is_no_length_of_time(text):
    assert durations.seconds(text) is None


def test_settings_take_lengths_of_time_in_their_own_unit(queue):
    assert config.set("job_timeout_sec", "1h") == 3600
    assert config.set("retention_completed_days", "2w") == 14
    assert config.set("trash_minutes", "1.5h") == 90
    with pytest.raises(spec.InvalidInput, match="must be a whole number"):
        config.set("max_retries_default", "1h")
