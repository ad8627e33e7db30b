"""Whether the backlog shrinks or grows, and when it will be empty, by the last five minutes. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple

from engine import dialect, figures
from engine.tally import MINUTE_MS
from models import Job, db

_LOOKED_AT = 5 * MINUTE_MS
_LATELY = MINUTE_MS
_PROBES = 64  # of the jobs that came, to tell how many of them might run at once
_NOTHING = 0.5  # jobs a minute: less is neither growth nor shrinkage


class Pace(NamedTuple):
    """By how many jobs the backlog grows in a minute (negative: it shrinks), and in how many ms it will be empty.

    empty_in_ms: None while it does not shrink.
    """

    per_minute: float
    empty_in_ms: int | None


def forecast(backlog: int, due_since: int | None, paused: Collection[str], now: int) -> Pace | None:
    """What becomes of a backlog of so many due jobs, the first of them due since then, none in a paused queue.

    None while nobody can know: it is empty, younger than a minute, nothing ended lately, or it stays as it is.
    """
    if not backlog or due_since is None or now - due_since < _LATELY:
        return None
    left = _left_a_minute(now)
    if not left:
        return None
    grows = _came_a_minute(paused, now) - left
    if abs(grows) < _NOTHING:
        return None
    return Pace(grows, int(backlog / -grows * MINUTE_MS) if grows < 0 else None)


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
    for span in (_LOOKED_AT, _LATELY):
        first = _first_since(now - span, newest)
        share = _share_that_may_run(first, newest, paused, now) if first <= newest else 0
        rates.append((newest - first + 1) * share / (span / MINUTE_MS))
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
    """When the job of this key, or the first after it that is still there, was enqueued."""
    found: Any = Job.select(Job.created_at).where(Job.pk >= pk).order_by(Job.pk).limit(1)
    return found.scalar() or 0


def _share_that_may_run(first: int, last: int, paused: Collection[str], now: int) -> float:
    """How many of the jobs between these keys wait neither for later nor in a paused queue; by a sample of them."""
    keys = range(first, last + 1, max(1, (last - first + 1) // _PROBES))
    asked = {"keys": json.dumps([*keys]), "paused": json.dumps([*paused]), "now": now}
    return db.execute_sql(dialect.MAY_RUN, asked).fetchone()[0] / len(keys)
