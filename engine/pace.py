"""Whether the backlog shrinks or grows, and when it will be empty, by the last five minutes. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import NamedTuple

from engine import dialect, figures
from engine.queues import Standing
from engine.tally import MINUTE_MS
from engine.wording import span
from models import Job, db

_LOOKED_AT = 5 * MINUTE_MS
_LATELY = MINUTE_MS
_PROBES = 64  # of the jobs that came, to tell how many of them might run at once
_NOTHING = 0.5  # jobs a minute: less is neither growth nor shrinkage


class Backlog(NamedTuple):
    """The jobs that are due: how many, since when the first, and whether all of them were counted."""

    due: int
    since: int | None
    is_exact: bool


class Pace(NamedTuple):
    """By how many jobs the backlog grows in a minute (negative: it shrinks), and in how many ms it will be empty.

    empty_in_ms: None while it does not shrink.
    """

    per_minute: float
    empty_in_ms: int | None

    def sentence(self) -> str:
        """What becomes of the backlog, in round words."""
        if self.empty_in_ms is None:
            return f"The backlog grows by {self.rate:,} a minute."
        about = span(self.empty_in_ms, 1) if self.empty_in_ms >= MINUTE_MS else "a minute"
        return f"At this pace the backlog is empty in about {about}."

    @property
    def rate(self) -> int:
        """By how many whole jobs a minute it changes, in either direction."""
        return max(1, round(abs(self.per_minute)))


def backlog(standings: Iterable[Standing]) -> Backlog:
    """What is due in all of these queues."""
    held = [queue for queue in standings if queue.due]
    since = min((queue.due_since for queue in held if queue.due_since is not None), default=None)
    return Backlog(sum(queue.due for queue in held), since, all(queue.is_exact for queue in held))


def foreseen(standings: Collection[Standing], now: int) -> Pace | None:
    """What becomes of the backlog of the queues that are not paused; None, too, where it is too large to be counted."""
    due = backlog(queue for queue in standings if not queue.paused)
    paused = [queue.name for queue in standings if queue.paused]
    return forecast(due.due, due.since, paused, now) if due.is_exact else None


def forecast(due: int, due_since: int | None, paused: Collection[str], now: int) -> Pace | None:
    """What becomes of so many due jobs, the first of them due since then, none in a paused queue.

    None while nobody can know: it is empty, younger than a minute, nothing ended lately, or it stays as it is.
    """
    if not due or due_since is None or now - due_since < _LATELY:
        return None
    left = _left_a_minute(now)
    if not left:
        return None
    grows = _came_a_minute(paused, now) - left
    if abs(grows) < _NOTHING:
        return None
    return Pace(grows, int(due / -grows * MINUTE_MS) if grows < 0 else None)


def _left_a_minute(now: int) -> float:
    """Jobs that came to their end: succeeded or died. One that waits for its next try has not left."""
    ended = figures.ended(now - now % MINUTE_MS - _LOOKED_AT + MINUTE_MS)
    if not ended:
        return 0.0
    since = min(ended)  # where there was nothing to do before, that is no measure
    succeeded = sum(outcomes["success"] for outcomes in ended.values())
    return (succeeded + figures.deaths(since)) / ((now - since) / MINUTE_MS or 1)


def _came_a_minute(paused: Collection[str], now: int) -> float:
    """New jobs. What came at once, long before the last minute, is no stream: the smaller rate is the lasting one."""
    newest = Job.select(Job.pk).order_by(Job.pk.desc()).limit(1).scalar() or 0
    rates = []
    for back_ms in (_LOOKED_AT, _LATELY):
        first = _first_since(now - back_ms, newest)
        share = _share_that_may_run(first, newest, paused, now) if first <= newest else 0
        rates.append((newest - first + 1) * share / (back_ms / MINUTE_MS))
    return min(rates)


def _first_since(instant: int, newest: int) -> int:
    """The key of the first job that was enqueued at or after this instant; newest + 1 when there is none.

    Keys grow with time, so it is found by looking at a few, beginning with the newest.
    """
    low, high, step = newest + 1, newest + 1, 1
    while low > 1 and _arrival(low := max(1, high - step)) >= instant:
        high, step = low, step * 2
    while low < high:
        middle = (low + high) // 2
        if _arrival(middle) >= instant:
            high = middle
        else:
            low = middle + 1
    return high


def _arrival(pk: int) -> int:
    found = db.execute_sql(dialect.ARRIVAL, (pk,)).fetchone()
    return found[0] if found else 0


def _share_that_may_run(first: int, last: int, paused: Collection[str], now: int) -> float:
    """How many of the jobs between these keys wait neither for later nor in a paused queue; by a sample of them."""
    keys = range(first, last + 1, max(1, (last - first + 1) // _PROBES))
    asked = {"keys": json.dumps([*keys]), "paused": json.dumps([*paused]), "now": now}
    return db.execute_sql(dialect.MAY_RUN, asked).fetchone()[0] / len(keys)
