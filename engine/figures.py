"""How many runs ended, how, and how long they took, over an hour, a day or a week. Reads what engine/tally.py counts."""

from __future__ import annotations

import math
from collections import Counter as Tally
from typing import Any, NamedTuple

from peewee import fn

from engine import buckets, dialect
from engine.errors import InvalidInput
from engine.queries import iso
from engine.tally import HOUR_MS, MINUTE_MS
from models import FAILED_RUNS, Stat, db

_MEASURED = ("success", "failed", "timeout")  # a run that was lost or cancelled says little about its command
_BESIDE = 12  # five-minute parts of the last hour, for each queue
_DEATHS = 10_000  # counted at most


class Window(NamedTuple):
    """A span of time up to now, divided into bars of equal length; the last one is not over yet."""

    name: str
    bars: int
    bar_ms: int

    def begins(self, now: int) -> int:
        return now - now % self.bar_ms - (self.bars - 1) * self.bar_ms


WINDOWS = {
    window.name: window
    for window in (Window("1h", 60, MINUTE_MS), Window("24h", 24, HOUR_MS), Window("7d", 28, 6 * HOUR_MS))
}


class Sums(NamedTuple):
    """Runs that ended: how many went well and how many did not; the middle and the slow end of what they took.

    p50_ms, p95_ms: half of the runs, 95 of a hundred, took no longer; off by a quarter at most from 2 ms on. None: no run.
    """

    completed: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None


class Bar(NamedTuple):
    at: int
    sums: Sums


class Ended(NamedTuple):
    completed: int
    failed: int


class Figures(NamedTuple):
    """A window, bar by bar and in all. before: a time as long as this window is by now, just before it.

    died: jobs that died in the window.
    """

    window: Window
    bars: list[Bar]
    total: Sums
    before: Ended
    died: int


class _Found:
    """Runs by how they ended, and by how long they took."""

    def __init__(self) -> None:
        self.outcomes: Tally[str] = Tally()
        self.durations: Tally[int] = Tally()

    def add(self, outcome: str, bucket: int, n: int) -> None:
        self.outcomes[outcome] += n
        if outcome in _MEASURED:
            self.durations[bucket] += n

    def sums(self) -> Sums:
        failed = sum(self.outcomes[name] for name in FAILED_RUNS)
        return Sums(self.outcomes["success"], failed, percentile(self.durations, 0.5), percentile(self.durations, 0.95))


def window(name: str | None) -> Window:
    """The window of this name, an hour when none is named. Raises InvalidInput."""
    try:
        return WINDOWS[name or "1h"]
    except KeyError:
        raise InvalidInput(
            f"There is no window {str(name)[:32]!r}; there are {', '.join(WINDOWS)}.", "window"
        ) from None


def of(window: Window, now: int) -> Figures:
    """What ended in this window, and in the one before it."""
    begins, length = window.begins(now), window.bars * window.bar_ms
    asked = {"now": now, "begins": begins, "length": length, "bar_ms": window.bar_ms}
    asked["unit"] = min(HOUR_MS, window.bar_ms)
    bars, total = [_Found() for _ in range(window.bars)], _Found()
    for place, *run in db.execute_sql(dialect.ENDED, asked):
        total.add(*run)
        bars[place].add(*run)
    before = Ended(*db.execute_sql(dialect.ENDED_BEFORE, asked).fetchone())
    lines = [Bar(begins + place * window.bar_ms, found.sums()) for place, found in enumerate(bars)]
    return Figures(window, lines, total.sums(), before, deaths(begins))


def last_hour(now: int) -> dict[str, list[int]]:
    """For each queue the runs that ended in each five minutes of the last hour, the oldest first."""
    part = HOUR_MS // _BESIDE
    begins = now - now % part - (_BESIDE - 1) * part
    found: dict[str, list[int]] = {}
    counted: Any = Stat.select(Stat.queue, Stat.at, fn.SUM(Stat.n)).where(Stat.span == 1, Stat.at >= begins)
    for queue, at, n in counted.group_by(Stat.at, Stat.queue).tuples():
        parts = found.setdefault(queue, [0] * _BESIDE)
        parts[min(_BESIDE - 1, (at - begins) // part)] += n
    return found


def ended(since: int) -> dict[int, Tally[str]]:
    """The runs that ended in each minute from this instant on, by outcome."""
    found: dict[int, Tally[str]] = {}
    counted: Any = Stat.select(Stat.at, Stat.outcome, fn.SUM(Stat.n)).where(Stat.span == 1, Stat.at >= since)
    for at, outcome, n in counted.group_by(Stat.at, Stat.outcome).tuples():
        found.setdefault(at, Tally())[outcome] += n
    return found


def deaths(since: int) -> int:
    """The jobs in the dead letter queue that died since then; counted up to 10,000."""
    return db.execute_sql(dialect.DEATHS, (since, _DEATHS)).fetchone()[0]


def percentile(durations: dict[int, int], share: float) -> float | None:
    """How long the runs took that this share of all did not exceed, out of their buckets. None: there is none."""
    rank = math.ceil(share * sum(durations.values()))
    if not rank:
        return None
    for bucket in sorted(durations):
        rank -= durations[bucket]
        if rank <= 0:
            break
    return buckets.middle_ms(bucket)


def as_json(figures: Figures) -> dict[str, Any]:
    """As scripts see them."""
    return {
        "window": figures.window.name,
        **figures.total._asdict(),
        "died": figures.died,
        "before": figures.before._asdict(),
        "bars": [{"at": iso(bar.at), **bar.sums._asdict()} for bar in figures.bars],
    }
