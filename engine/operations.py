"""Bulk operations: retry, cancel, delete or another priority for many jobs, in batches, whoever dies in between.

An operation is a row. Whoever asked for it calls `step` until it is finished; what was abandoned half-way a supervisor
goes on with. A batch and how far the operation has come are one transaction, so each job is met once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from peewee import fn

import models
from engine import queries, search
from engine.errors import InvalidInput, NotFound, Refused
from engine.filters import checked, conditions, fixed, is_heavy
from engine.jobs import bulk, read_priority
from models import Job, Operation, db

BATCH = 500  # jobs that one step changes while it holds the write lock
MOST_IDS = 10_000
COUNTED = 10_000  # jobs found by a search are counted up to here
DONE = {"retry": "retried", "cancel": "cancelled", "delete": "deleted", "priority": "given another priority"}
_UNDOES = {"delete": "undelete", "retry": "unretry"}
_WINDOW, _WINDOW_HEAVY = 20_000, 500  # keys looked at in one read; heavy: with all that was printed
_LOOK_S = 0.2  # how long a step may look for jobs that match


class Batch(NamedTuple):
    """The jobs of one step, the ids that are no job's, and where the next step begins."""

    pks: list[int]
    cursor: int
    is_last: bool
    missing: list[str]


# --- what people ask for


def begin(
    verb: str,
    *,
    actor: str,
    ids: Iterable[str] | None = None,
    filters: Mapping[str, str | None] | None = None,
    argument: Any = None,
    newest: int | None = None,
    running: Iterable[str] | None = None,
) -> Operation:
    """Store the wish to do it to the jobs with these ids, or to all that match the filters (engine/filters.py) now.

    argument: the priority, for that verb. newest: the `newest` of the instant at which a person was asked; later jobs are
    not meant. running: a cancel of ids ends the commands of these jobs only; None: of all that run. Nothing is done yet,
    `step` does it. Raises InvalidInput; Refused when the filters name a state that does not allow it.
    """
    if verb not in DONE:
        raise InvalidInput(f"There is no operation {verb[:32]!r}; there are {', '.join(DONE)}.", "verb")
    if verb == "priority":
        argument = read_priority(argument)
    if ids is None:
        given = fixed(checked(filters or {}))
        return _store(verb, {"filter": given}, argument, actor, expect(verb, given), newest)
    chosen = list(dict.fromkeys(ids))
    if len(chosen) > MOST_IDS:
        raise InvalidInput(f"At most {MOST_IDS:,} ids at once; choose the jobs by a filter instead.", "ids")
    scope: dict[str, Any] = {"ids": chosen} if running is None else {"ids": chosen, "running": list(running)}
    return _store(verb, scope, argument, actor, len(chosen), newest)


def newest() -> int:
    """The key of the newest job, 0 when there is none: what a question is about goes up to it."""
    return Job.select(fn.MAX(Job.pk)).scalar() or 0


def expect(verb: str, filters: Mapping[str, str | None]) -> int | None:
    """How many jobs the verb would meet now; None when a search finds more than COUNTED or takes too long.

    Raises as `begin` does.
    """
    given = checked(filters)
    states = _states(verb, given)
    if given.keys() <= {"state", "queue"}:
        counts = queries.counts(given.get("queue"))
        return sum(counts[state] for state in states)
    wanted = [Job.state.in_(states), *conditions(given)]
    return search.count(search.by_age(given.get("state")), wanted, COUNTED, _LOOK_S, is_heavy(given))


def running(*, ids: Iterable[str] = (), filters: Mapping[str, str | None] | None = None) -> list[Job]:
    """The jobs with these ids, or that match the filters, that run now; none where a search reads all that was printed."""
    given = fixed(checked(filters or {}))
    if is_heavy(given):
        return []
    meant = queries.matching(**given) if filters is not None else Job.select().where(Job.id.in_(list(ids)))
    return list(meant.where(Job.state == "processing").order_by(Job.pk).limit(MOST_IDS))


def count(verb: str, filters: Mapping[str, str | None]) -> int:
    """How many jobs the verb would meet now, however long it takes to count them. Raises as `begin` does."""
    given = checked(filters)
    return queries.matching(**given).where(Job.state.in_(_states(verb, given))).count()


def takes(verb: str, state: str | None) -> bool:
    """Whether jobs in this state can be meant; None: in whatever state."""
    return state is None or state in bulk.ALLOWED[verb]


def step(pk: int) -> Operation:
    """Do the next batch and return the operation as it is then; nothing when it has ended. Raises NotFound."""
    operation = find(pk)
    if operation.state != "running":
        return operation
    batch = _next(operation)
    here = (Operation.pk == pk) & (Operation.cursor == operation.cursor) & (Operation.state == "running")
    state = "finished" if batch.is_last else "running"
    db.give_way()
    with db.transaction():
        moved = Operation.update(cursor=batch.cursor, state=state, updated_at=models.now_ms()).where(here).execute()
        if moved:  # else another process was quicker
            _act(operation, batch)
    return find(pk)


def run(pk: int, after_batch: Callable[[], Any] = lambda: None) -> Operation:
    """Do batch after batch until it has ended; the operation as it is then. Raises NotFound."""
    while (operation := step(pk)).state == "running":
        after_batch()
    return operation


def undo(pk: int, *, actor: str) -> Operation:
    """Begin to take back a bulk delete (what lies in the trash still) or a bulk retry (what no worker has taken).

    Nothing more of it is done from here on. Returns the operation that takes it back, for `step`. Raises NotFound,
    Refused.
    """
    with db.transaction():
        undone = find(pk)
        if undone.verb not in _UNDOES:
            raise Refused(f"Operation {pk} is a {undone.verb}; only a delete or a retry can be undone.")
        if undone.state == "undone":
            raise Refused(f"Operation {pk} was undone already.")
        Operation.update(state="undone", updated_at=models.now_ms()).where(Operation.pk == pk).execute()
        return _store(_UNDOES[undone.verb], {"operation": pk}, None, actor, undone.done)


# --- questions


def find(pk: int) -> Operation:
    """The operation with this number. Raises NotFound."""
    operation = Operation.get_or_none(Operation.pk == pk)
    if operation is None:
        raise NotFound(f"There is no operation {pk}; they are remembered for 30 days.")
    return operation


def recent(limit: int = 20) -> list[Operation]:
    """The last operations, the newest first."""
    return list(Operation.select().order_by(Operation.pk.desc()).limit(limit))


def can_be_undone(operation: Operation) -> bool:
    """Whether `undo` would take it."""
    return operation.verb in _UNDOES and operation.state != "undone"


def as_json(operation: Operation) -> dict[str, Any]:
    """An operation as scripts see it."""
    return {
        "id": operation.pk,
        "verb": operation.verb,
        "scope": json.loads(operation.scope),
        "argument": json.loads(operation.argument) if operation.argument else None,
        "actor": operation.actor,
        "created_at": queries.iso(operation.created_at),
        "updated_at": queries.iso(operation.updated_at),
        "state": operation.state,
        "expected": operation.expected,
        "done": operation.done,
        "skipped": operation.skipped,
        "failed": operation.failed,
        "error": operation.error,
    }


# --- one step


def _states(verb: str, given: dict[str, str]) -> tuple[str, ...]:
    """The states a job must be in to be meant."""
    allowed, state = bulk.ALLOWED[verb], given.get("state")
    if state is None:
        return allowed
    if state not in allowed:
        raise Refused(f"Jobs that are {state} cannot be {DONE[verb]}; only {', '.join(allowed)} can.")
    return (state,)


def _store(
    verb: str, scope: dict[str, Any], argument: Any, actor: str, expected: int | None, newest_meant: int | None = None
) -> Operation:
    now = models.now_ms()
    oldest = Job.select(fn.MIN(Job.pk)).scalar()
    row = {
        "verb": verb,
        "scope": json.dumps(scope, ensure_ascii=False),
        "argument": None if argument is None else json.dumps(argument),
        "actor": actor,
        "created_at": now,
        "updated_at": now,
        "newest": newest() if newest_meant is None else min(newest_meant, newest()),
        "cursor": 0 if "ids" in scope else (oldest or 1) - 1,
        "expected": expected,
    }
    return find(Operation.insert(**row).execute())


def _next(operation: Operation) -> Batch:
    """Read without a lock; what is no longer as it was read is skipped."""
    scope = json.loads(operation.scope)
    if "ids" in scope:
        return _next_ids(operation, scope["ids"])
    if "operation" in scope:
        meant = Job.select().where(Job.operation == scope["operation"])
        return _next_keys(operation, meant.where(Job.state.in_(bulk.ALLOWED[operation.verb])))
    given = scope["filter"]
    meant = queries.matching(**given).where(Job.state.in_(_states(operation.verb, given)))
    return _next_keys(operation, meant, _WINDOW_HEAVY if is_heavy(given) else _WINDOW)


def _next_ids(operation: Operation, ids: list[str]) -> Batch:
    chosen = ids[operation.cursor : operation.cursor + BATCH]
    meant: Any = Job.select(Job.id, Job.pk).where(
        Job.id.in_(chosen), Job.state != "deleted", Job.pk <= operation.newest
    )
    found: dict[str, int] = dict(meant.tuples())
    cursor = operation.cursor + len(chosen)
    missing = [job_id for job_id in chosen if job_id not in found]
    return Batch(list(found.values()), cursor, cursor >= len(ids), missing)


def _next_keys(operation: Operation, meant: Any, window: int = _WINDOW) -> Batch:
    """Along the keys in windows, so that a search that finds little is no long read."""
    pks: list[int] = []
    cursor, give_up_at = operation.cursor, time.monotonic() + _LOOK_S
    while cursor < operation.newest and len(pks) < BATCH and time.monotonic() < give_up_at:
        edge = min(cursor + window, operation.newest)
        within = meant.select(Job.pk).where(Job.pk > cursor, Job.pk <= edge).order_by(Job.pk)
        pks += [pk for (pk,) in within.limit(BATCH - len(pks)).tuples()]
        cursor = pks[-1] if len(pks) == BATCH else edge
    return Batch(pks, cursor, cursor >= operation.newest, [])


def _act(operation: Operation, batch: Batch) -> None:
    argument, scope = json.loads(operation.argument or "null"), json.loads(operation.scope)
    states = _states(operation.verb, scope.get("filter", {}))
    done = bulk.act(operation.verb, batch.pks, states, operation.pk, argument, scope.get("running"))
    left, failed, error = len(batch.pks) - done, len(batch.missing), None
    if batch.missing:
        error = f"There is no job {batch.missing[0][:128]!r}."
    if operation.verb == "undelete" and left:
        left, failed, error = 0, left, "The id of a deleted job is another's now."
    counts: dict[str, Any] = {
        "done": Operation.done + done,
        "skipped": Operation.skipped + left,
        "failed": Operation.failed + failed,
        "error": operation.error or error,
    }
    Operation.update(**counts).where(Operation.pk == operation.pk).execute()
