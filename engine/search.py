"""Looking for jobs along an index: page by page, and never longer than a person waits for a page.

What no index knows (a text, a tag, what was printed) is looked for job by job. Such a look ends after so many jobs or so
much time, says how far it came, and the next one goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from peewee import SQL, Tuple

from engine import dialect, filters
from engine.errors import InvalidInput
from models import Job

MOST = 20_000  # jobs that one look looks at
LOOK_S, LOOK_HEAVY_S = 0.02, 0.3  # and how long; heavy: with all that the runs of each job printed
_FIRST, _FIRST_HEAVY = 2000, 16  # jobs that are looked at whatever the time
_STEP, _STEP_HEAVY = 5000, 256  # and at most between two looks at the clock
_LAST_KEY = 10**18 - 1


class Page(NamedTuple):
    """Some jobs, newest first, and the cursors of the pages beside it (None where there is none).

    looked: how many jobs were looked at when the look ended early; None when it saw all there is.
    """

    jobs: list[Job]
    newer: str | None
    older: str | None
    looked: int | None = None


class Way(NamedTuple):
    """An order of jobs that an index has: by these columns (the last is the key), of the jobs that are `of`."""

    columns: tuple[Any, ...]
    of: Any
    source: Any = Job

    def jobs(self, edge: tuple[int, ...] | None, rising: bool, last: tuple[int, ...] | None = None) -> Any:
        """The query for the jobs beyond the edge, as far as `last`."""
        keys = self.columns[0] if len(self.columns) == 1 else Tuple(*self.columns)
        query = Job.select().from_(self.source).where(self.of)
        if edge is not None:
            query = query.where(keys > _key(edge) if rising else keys < _key(edge))
        if last is not None:
            query = query.where(keys <= _key(last) if rising else keys >= _key(last))
        return query.order_by(*(column.asc() if rising else column.desc() for column in self.columns))

    def nth(self, edge: tuple[int, ...] | None, rising: bool, n: int) -> tuple[int, ...] | None:
        """The place of the n-th job beyond the edge; None when there are fewer."""
        found = self.jobs(edge, rising).select(*self.columns).offset(n - 1).limit(1).tuples()
        return next(iter(found), None)

    def newest(self) -> str:
        """The cursor of the newest job."""
        return _address(self.nth(None, False, 1)) or "-".join("0" for _ in self.columns)

    def place(self, job: Job) -> tuple[int, ...]:
        return tuple(getattr(job, column.name) for column in self.columns)

    def read(self, cursor: str) -> tuple[int, ...]:
        """The place that a cursor names. Raises InvalidInput."""
        words = cursor.split("-")
        if len(words) != len(self.columns) or not all(word.isascii() and word.isdigit() for word in words):
            raise InvalidInput("This page's address is broken; go back to the first page.", "cursor")
        if any(len(word) > 18 for word in words):
            raise InvalidInput("This page's address is broken; go back to the first page.", "cursor")
        return tuple(map(int, words))


class Look(NamedTuple):
    """What a look found; where it ended and how many jobs it saw when it did not see all."""

    jobs: list[Job]
    edge: tuple[int, ...] | None = None
    seen: int | None = None


def by_age(state: str | None) -> Way:
    """The jobs of a state, or all but the trash, as they were enqueued. Raises InvalidInput."""
    return Way((Job.pk,), filters.of_state(state))


def by_death() -> Way:
    """The dead, as they died."""
    return Way((Job.finished_at, Job.pk), SQL("state = 'dead'"), SQL(dialect.BY_DEATH))


def page(
    way: Way,
    wanted: Sequence[Any],
    *,
    before: str | None = None,
    after: str | None = None,
    limit: int,
    known: int | None = None,
    is_heavy: bool = False,
) -> Page:
    """A page of the jobs along the way that fulfil all of `wanted`. known: that there are no more than so many.

    Raises InvalidInput for a broken cursor.
    """
    if after is not None:
        edge = way.read(after)
        found = look(way, wanted, edge, True, limit + 1, is_heavy)
        rows = found.jobs[:limit][::-1]
        newer = _address(way.place(rows[0])) if len(found.jobs) > limit else _address(found.edge)
        older = way.place(rows[-1]) if rows else (*edge[:-1], min(edge[-1] + 1, _LAST_KEY))
        return Page(rows, newer, _address(older), found.seen)
    edge_ = None if before is None else way.read(before)
    sought = limit + 1 if known is None or before is not None else min(limit + 1, known)
    found = look(way, wanted, edge_, False, sought, is_heavy)
    rows = found.jobs[:limit]
    older_ = _address(way.place(rows[-1])) if len(found.jobs) > limit else _address(found.edge)
    if edge_ is None:
        return Page(rows, None, older_, found.seen)
    newer_ = way.place(rows[0]) if rows else (*edge_[:-1], max(edge_[-1] - 1, 0))
    return Page(rows, _address(newer_), older_, found.seen)


def look(
    way: Way, wanted: Sequence[Any], edge: tuple[int, ...] | None, rising: bool, limit: int, is_heavy: bool = False
) -> Look:
    """The next jobs beyond the edge that are wanted, at most `limit`."""
    if not wanted:
        return Look(list(way.jobs(edge, rising).limit(limit)))
    found: list[Job] = []
    seen, step, longest = 0, *_steps(is_heavy)
    give_up_at = time.monotonic() + (LOOK_HEAVY_S if is_heavy else LOOK_S)
    while len(found) < limit:
        last = way.nth(edge, rising, step)
        found.extend(way.jobs(edge, rising, last).where(*wanted).limit(limit - len(found)))
        if last is None or len(found) >= limit:
            break
        edge, seen = last, seen + step
        if seen >= MOST or time.monotonic() >= give_up_at:
            return Look(found, edge, seen)
        step = min(2 * step, longest, MOST - seen)
    return Look(found)


def count(way: Way, wanted: Sequence[Any], most: int, for_s: float, is_heavy: bool = False) -> int | None:
    """How many jobs are wanted; None when they are more than `most`, or the time is over before all were seen."""
    found, edge, give_up_at = 0, None, time.monotonic() + for_s
    step, longest = _steps(is_heavy)
    while True:
        last = way.nth(edge, False, step)
        found += way.jobs(edge, False, last).where(*wanted).order_by().count()
        if found > most:
            return None
        if last is None:
            return found
        if time.monotonic() >= give_up_at:
            return None
        edge, step = last, min(2 * step, longest)


def _steps(is_heavy: bool) -> tuple[int, int]:
    """How many jobs are looked at first, and at most, before the clock is looked at."""
    return (_FIRST_HEAVY, _STEP_HEAVY) if is_heavy else (_FIRST, _STEP)


def _key(place: tuple[int, ...]) -> Any:
    return place[0] if len(place) == 1 else Tuple(*place)


def _address(place: tuple[int, ...] | None) -> str | None:
    return None if place is None else "-".join(map(str, place))
