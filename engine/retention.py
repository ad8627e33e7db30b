"""What is deleted because it is old: jobs that ended, by the settings or by hand, what they printed, rows of past workers.

A walk along the keys in small transactions, so that no claim waits longer than for another job's end. It reads without
a lock and deletes with one; what is no longer as it was read is left alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from peewee import Case, fn

import models
from engine import config, dialect, durations, jobs, tally
from engine.errors import InvalidInput
from models import Attempt, Job, Operation, Supervisor, Worker, db

BATCH = 500  # rows read, and the most that are deleted at once
_FIRST = 32  # jobs in the first deletion; their outputs may be long
_HOLD_S = 0.01  # how long a deletion should hold the write lock
_REST_OF_WORK = 10  # while others write, the machine is theirs for so many times as long
_LONGEST_REST_S = 0.5
_QUIET_S = 0.5  # since others wrote: a worker with short jobs stores many at once, and is silent meanwhile
_SLICE_S = 0.03  # of a supervisor's time in one go
_GO_ON_S = 0.5  # until its next go while something is left
_OPERATIONS_DAYS = 30  # bulk operations are remembered
_REST_S = 60.0  # until it looks again
_DAY_MS = 24 * 3600 * 1000
_Step = TypeVar("_Step")


class Limit(NamedTuple):
    """Jobs in this state that ended before this instant go."""

    state: str
    before: int


class Retention:
    """The supervisor's part: keeps the settings' promise in slices of its time."""

    def __init__(self) -> None:
        self.walk = self._everything_old()

    def step(self) -> float:
        """Go on deleting for a moment. Returns in how many seconds to call again."""
        pause_at = time.monotonic() + _SLICE_S
        for _ in self.walk:
            if time.monotonic() >= pause_at:
                return _GO_ON_S
        self.walk = self._everything_old()
        return _REST_S

    def _everything_old(self) -> Iterator[Any]:
        yield from sweep(by_settings())
        yield from empty_trash(models.now_ms() - int(config.get("trash_minutes") * 60_000))
        output_days = config.get("retention_output_days")
        if output_days:
            yield from drop_outputs(models.now_ms() - int(output_days * _DAY_MS))
        yield from _forget_operations(models.now_ms() - _OPERATIONS_DAYS * _DAY_MS)
        yield from tally.roll_up(models.now_ms())
        days = config.get("retention_workers_days")
        if days:
            before = models.now_ms() - int(days * _DAY_MS)
            for table in (Worker, Supervisor):
                yield from _forget(table, before)


def by_settings() -> list[Limit]:
    """What the settings say now; a state that is kept for ever has no limit."""
    settings = config.get_all()
    return [limit for state in jobs.FINAL if (limit := _limit(state, settings))]


def of(state: str | None, older_than: str | None) -> list[Limit]:
    """What a person asks to delete: `older_than` as in "7d" (None: as the settings say), in one state.

    state None: every state that the settings do not keep for ever. Raises InvalidInput.
    """
    settings = config.get_all()
    chosen = [state] if state else [limit.state for limit in by_settings()]
    if older_than is not None:
        before = models.now_ms() - _age_ms(older_than)
        return [Limit(name, before) for name in chosen]
    limits = [limit for name in chosen if (limit := _limit(name, settings))]
    if state and not limits:
        raise InvalidInput(
            f"Jobs that are {state} are kept for ever (retention_{state}_days is 0); say how old with --older-than 30d."
        )
    return limits


def sweep(limits: Iterable[Limit]) -> Iterator[tuple[str, int]]:
    """Delete the jobs beyond these limits; after each batch the state and how many went, 0 when it only looked."""
    for limit in limits:
        for number in _in_steps(_walk(limit), partial(jobs.prune, before=limit.before)):
            yield limit.state, number


def gently(steps: Iterable[_Step]) -> Iterator[_Step]:
    """Take these steps, with a rest after each while others write: for a process that does nothing else."""
    version, began = db.version(), time.monotonic()
    written_at = -math.inf
    for step in steps:
        yield step
        now, ended = db.version(), time.monotonic()
        if now != version:
            written_at = ended
        if ended < written_at + _QUIET_S:
            time.sleep(min((ended - began) * _REST_OF_WORK, _LONGEST_REST_S))
        version, began = now, time.monotonic()


def drop_outputs(before: int) -> Iterator[int]:
    """Delete what jobs that ended before this instant printed; they and their history stay. Yields as `sweep` counts."""
    yield from _in_steps(_with_output(before), partial(_drop_outputs, before=before))


def empty_trash(before: int) -> Iterator[int]:
    """Delete the jobs that were put into the trash before this instant. Yields as `sweep` counts."""
    yield from _in_steps(_trash(before), partial(jobs.purge, before=before))


def count(limit: Limit) -> int:
    """How many jobs a sweep would delete."""
    return Job.select().where(Job.state == limit.state, Job.finished_at < limit.before).count()


def _limit(state: str, settings: dict[str, Any]) -> Limit | None:
    days = settings[f"retention_{state}_days"]
    return Limit(state, models.now_ms() - int(days * _DAY_MS)) if days else None


def _age_ms(text: str) -> int:
    age_s = durations.seconds(text.strip())
    if age_s is None:
        raise InvalidInput(f'{text[:32]!r} is not an age; write a number and s, m, h, d or w, for example "7d".')
    return round(age_s * 1000)


def _in_steps(pages: Iterable[list[int]], act: Callable[[list[int]], int]) -> Iterator[int]:
    """Do it to these keys, a few at a time; after each step how many rows it were, 0 when it only looked."""
    size = _FIRST
    for pks in pages:
        while pks:
            db.give_way()
            began = time.monotonic()
            number = act(pks[:size])
            pks = pks[size:]
            took_s = time.monotonic() - began
            size = _next_size(size, took_s)
            yield number
        yield 0


def _next_size(size: int, took_s: float) -> int:
    """Half as many when the lock was held for too long, else up to twice as many."""
    return max(1, size // 2) if took_s > _HOLD_S else min(BATCH, size * 2)


def _walk(limit: Limit) -> Iterator[list[int]]:
    """The keys of the jobs to delete, oldest first. Ends where the jobs were created after the limit."""
    after = 0
    while True:
        ended: Any = Job.select(Job.pk, Job.created_at, Job.finished_at).where(Job.state == limit.state, Job.pk > after)
        rows = list(ended.order_by(Job.pk).limit(BATCH).tuples())
        yield [pk for pk, _, finished_at in rows if finished_at and finished_at < limit.before]
        if len(rows) < BATCH or rows[-1][1] >= limit.before:
            return
        after = rows[-1][0]


_HAS_OUTPUT = Attempt.stdout.is_null(False) | Attempt.stderr.is_null(False)


def _with_output(before: int) -> Iterator[list[int]]:
    """The keys of the jobs with a run that ended before and whose output is kept still, the oldest run first."""
    last = (0, 0, 0)
    while True:
        rows = db.execute_sql(dialect.OLD_OUTPUT, (*last, before, BATCH)).fetchall()
        yield list(dict.fromkeys(pk for _, pk, _ in rows))
        if len(rows) < BATCH:
            return
        last = rows[-1]


def _trash(before: int) -> Iterator[list[int]]:
    """The keys of the jobs that were deleted before, the oldest deletion first."""
    last = (0, 0)
    while True:
        rows = [(job.deleted_at, job.pk) for job in Job.raw(dialect.OLD_TRASH, *last, before, BATCH)]
        yield [pk for _, pk in rows]
        if len(rows) < BATCH:
            return
        last = rows[-1]


def _drop_outputs(pks: list[int], before: int) -> int:
    """How much it was stays known, and where it is shown it counts as left out."""
    gone: dict[str, Any] = {"stdout": None, "stderr": None}
    for stream in ("stdout", "stderr"):
        gone[f"{stream}_cut_lines"] = None
        gone[f"{stream}_cut"] = Case(None, [(getattr(Attempt, f"{stream}_bytes") > 0, 0)])
    ended: Any = Job.select(Job.pk).where(Job.pk.in_(pks), Job.state.in_(jobs.FINAL), Job.finished_at < before)
    return Attempt.update(**gone).where(Attempt.job.in_(ended), _HAS_OUTPUT).execute()


def _forget_operations(before: int) -> Iterator[int]:
    """Delete the records of bulk operations that ended before. What they did stays done."""
    ended = (Operation.state != "running") & (Operation.updated_at < before)
    yield Operation.delete().where(ended).execute()


def _forget(table: Any, before: int) -> Iterator[int]:
    """Delete the rows of processes that ended before; never the newest, whose number must not be given again."""
    while True:
        newest: Any = table.select(fn.MAX(table.pk))
        ended: Any = table.select(table.pk).where(table.stopped_at < before, table.pk < newest)
        pks = [pk for (pk,) in ended.order_by(table.pk).limit(BATCH).tuples()]
        if not pks:
            return
        yield table.delete().where(table.pk.in_(pks)).execute()
