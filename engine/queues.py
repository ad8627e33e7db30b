"""The queues: what waits in each and since when, and what an operator decided: paused, or so many at once."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from peewee import fn

import models
from engine import dialect, spec, wakeup
from engine.errors import InvalidInput
from models import STATES, Counter, Queue, db

_MOST = 1000  # queues listed, and the highest limit
_COUNTED = 100  # jobs of one priority that are counted one by one


class Standing(NamedTuple):
    """One queue. counts: its jobs by state. due_since: since when the first of its jobs is due, None when none is.

    due, delayed: of those that wait, how many might run now and how many later. is_exact: False when there are so many
    of both that nobody counted further; then they are at least so many.
    limit: how many of its jobs may run at once, None for any number. actor and changed_at: the last decision.
    """

    name: str
    counts: dict[str, int]
    due_since: int | None
    due: int
    delayed: int
    is_exact: bool
    paused: bool
    limit: int | None
    actor: str | None
    changed_at: int | None

    @property
    def running(self) -> int:
        return self.counts["processing"]

    @property
    def waiting(self) -> int:
        return self.counts["pending"] + self.counts["failed"]

    def as_json(self) -> dict[str, Any]:
        """As scripts see it; `oldest_due_sec` is the age of the job that is due the longest."""
        oldest = None if self.due_since is None else max(0, models.now_ms() - self.due_since) // 1000
        return {
            "name": self.name,
            "paused": self.paused,
            "limit": self.limit,
            "running": self.running,
            "waiting": self.waiting,
            "due": self.due,
            "delayed": self.delayed,
            "exact": self.is_exact,
            "dead": self.counts["dead"],
            "oldest_due_sec": oldest,
            "jobs": self.counts,
        }


def standings() -> list[Standing]:
    """The queues that hold jobs or for which something was decided, by name."""
    counts = _counts()
    decided = {row.name: row for row in Queue.select().order_by(Queue.name).limit(_MOST)}
    names = sorted({*counts, *decided})[:_MOST]
    depths = _depths(names)
    return [_standing(name, counts.get(name, {}), depths.get(name), decided.get(name)) for name in names]


def standing(name: str) -> Standing:
    """One queue, empty and without a decision when nobody ever named it."""
    decided = Queue.get_or_none(Queue.name == name)
    return _standing(name, _counts(name).get(name, {}), _depths([name]).get(name), decided)


def pause(name: str, *, actor: str) -> Standing:
    """Let no job of the queue begin until `resume`; those that run go on. Raises InvalidInput for what is no name."""
    return _decide(name, actor, paused=True)


def resume(name: str, *, actor: str) -> Standing:
    """Let the jobs of the queue begin again. Raises InvalidInput."""
    return _decide(name, actor, paused=False)


def limit(name: str, most: Any, *, actor: str) -> Standing:
    """Let at most so many jobs of the queue run at once (1 to 1000); None for any number. Raises InvalidInput."""
    if most is not None and not (isinstance(most, int) and not isinstance(most, bool) and 1 <= most <= _MOST):
        raise InvalidInput(f"A limit is a whole number from 1 to {_MOST}, or none; to run nothing, pause it.", "limit")
    return _decide(name, actor, max_running=most)


def _decide(name: str, actor: str, **decision: Any) -> Standing:
    """Store it; a queue without any limit left has no row, for every claim looks at these rows."""
    try:
        spec.FIELDS["queue"].read(name)
    except InvalidInput as error:
        raise InvalidInput(f"queue: {error}", "queue") from None
    with db.transaction():
        row = Queue.get_or_none(Queue.name == name)
        new = {"paused": row.paused, "max_running": row.max_running} if row else {"paused": False, "max_running": None}
        new |= decision
        if new["paused"] or new["max_running"] is not None:
            stored = {"name": name, "actor": actor, "updated_at": models.now_ms()}
            Queue.insert(**new, **stored).on_conflict_replace().execute()
        else:
            Queue.delete().where(Queue.name == name).execute()
        wakeup.nudge()
    return standing(name)


def _counts(name: str | None = None) -> dict[str, dict[str, int]]:
    """The jobs of each queue by state, without the zeros and the trash."""
    counted: Any = Counter.select(Counter.queue, Counter.state, fn.SUM(Counter.n)).where(Counter.state.in_(STATES))
    if name is not None:
        counted = counted.where(Counter.queue == name)
    found: dict[str, dict[str, int]] = {}
    for queue, state, number in counted.group_by(Counter.queue, Counter.state).tuples():
        if number:
            found.setdefault(queue, {})[state] = int(number)
    return found


class _Depth(NamedTuple):
    """What the jobs of a queue that wait look like. due, delayed: as far as they were counted."""

    due_since: int | None
    due: int
    delayed: int
    all_due: bool  # whether every due job was counted
    all_delayed: bool


_EMPTY = _Depth(None, 0, 0, True, True)


def _depths(names: list[str]) -> dict[str, _Depth]:
    now = models.now_ms()
    asked = {"queues": json.dumps(names), "now": now, "most": _COUNTED}
    return {
        name: _Depth(first if first <= now else None, due, delayed, most_due < _COUNTED, most_delayed < _COUNTED)
        for name, first, due, delayed, most_due, most_delayed in db.execute_sql(dialect.DEPTHS_OF_QUEUES, asked)
    }


def _standing(name: str, found: dict[str, int], depth: _Depth | None, decided: Queue | None) -> Standing:
    counts = {state: found.get(state, 0) for state in STATES}
    depth = depth or _EMPTY
    due, delayed, waiting = depth.due, depth.delayed, counts["pending"] + counts["failed"]
    # How many wait in all is known: whichever of the two was counted to its end tells the other.
    if depth.all_delayed:
        due = max(0, waiting - delayed)
    elif depth.all_due:
        delayed = max(0, waiting - due)
    return Standing(
        name,
        counts,
        depth.due_since,
        due,
        delayed,
        depth.all_due or depth.all_delayed,
        bool(decided and decided.paused),
        decided.max_running if decided else None,
        decided.actor if decided else None,
        decided.updated_at if decided else None,
    )
