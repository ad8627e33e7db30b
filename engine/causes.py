"""Why the dead are dead: their errors, put together by what they have in common."""

from __future__ import annotations

import time
from typing import NamedTuple

from engine import filters, search
from models import Job

_LOOK_S = 0.03
_STEP = 1000


class Cause(NamedTuple):
    """Errors that are alike: the filter `error` that finds them, how many died of it, one of them, the last death."""

    pattern: str
    deaths: int
    example: str
    last_at: int


class Causes(NamedTuple):
    """The most frequent first. looked: at how many of the dead, when not at all."""

    causes: list[Cause]
    looked: int | None


def found(most: int = 20) -> Causes:
    """What the dead died of, as far as a moment's look at the last of them tells."""
    way, edge, seen = search.by_death(), None, 0
    by_pattern: dict[str, Cause] = {}
    give_up_at = time.monotonic() + _LOOK_S
    while True:
        dead = way.jobs(edge, False).select(Job.last_error, Job.finished_at, Job.pk).limit(_STEP).tuples()
        rows = list(dead)
        for error, died_at, _ in rows:
            pattern = filters.alike(error or "")
            known = by_pattern.get(pattern) or Cause(pattern, 0, error or "", died_at)
            by_pattern[pattern] = known._replace(deaths=known.deaths + 1)
        seen += len(rows)
        edge = rows[-1][1:] if len(rows) == _STEP else None
        is_all = edge is None or way.nth(edge, False, 1) is None
        if is_all or time.monotonic() >= give_up_at:
            causes = sorted(by_pattern.values(), key=lambda cause: (-cause.deaths, cause.pattern))
            return Causes(causes[:most], None if is_all else seen)
