"""What people do with jobs that are here: retry and withdraw that, run now, cancel, another priority; and `prune`.

Each is one guarded statement about any jobs (`…_where`), used for one job here and for many in `bulk`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from peewee import fn

import models
from engine import spec, wakeup
from engine.errors import InvalidInput, NotFound, Refused
from models import Job, db

RETRYABLE = ("failed", "dead", "cancelled")
CANCELLABLE = ("pending", "failed", "processing")
WAITING = ("pending", "failed")
FINAL = ("completed", "dead", "cancelled")
_BATCH = 500  # rows a bulk change holds the write lock for
_BEFORE = ("state", "attempts", "crashes", "next_run_at", "finished_at")  # what a retry changes


def retry(job_id: str, states: tuple[str, ...] = RETRYABLE) -> None:
    """Put a job in one of `states` back to pending with no attempts. Raises NotFound, Refused."""
    with db.transaction():
        if not retry_where(Job.id == job_id, states):
            raise refusal(job_id, "retried", states)
        wakeup.nudge()


def unretry(job_id: str) -> str:
    """Withdraw the retry of a job that no worker has taken since; the state it is in again. Raises NotFound, Refused."""
    with db.transaction():
        if not unretry_where(Job.id == job_id):
            state = state_of(job_id)
            if state == "pending":
                raise Refused(f"Job {job_id} was not retried, or has run since; there is nothing to withdraw.")
            raise Refused(f"Job {job_id} is {state}; a retry can be withdrawn until a worker takes the job.")
        wakeup.nudge()
        return state_of(job_id)


def run_now(job_id: str) -> None:
    """Let a job that waits for its time, or for its next try, wait no longer; its attempts stay counted.

    Raises NotFound, Refused.
    """
    now = models.now_ms()
    with db.transaction():
        early = Job.update(next_run_at=now, updated_at=now)
        if not early.where(Job.id == job_id, Job.state.in_(WAITING), Job.next_run_at > now).execute():
            if state_of(job_id) in WAITING:
                raise Refused(f"Job {job_id} is due already; a free worker takes it in its turn.")
            raise refusal(job_id, "run now", WAITING)
        wakeup.nudge()


def cancel(job_id: str) -> str:
    """Cancel a job that has not ended. Returns its state: cancelled, or processing while its command is stopped.

    Raises NotFound, Refused.
    """
    with db.transaction():
        if not cancel_where(Job.id == job_id, CANCELLABLE):
            raise refusal(job_id, "cancelled", CANCELLABLE)
        wakeup.nudge()
        return state_of(job_id)


def cancel_unless_running(job_id: str) -> bool:
    """Cancel a job that waits. Returns False, with nothing done, when it runs. Raises NotFound, Refused."""
    with db.transaction():
        if cancel_where(Job.id == job_id, WAITING):
            wakeup.nudge()
            return True
        if state_of(job_id) == "processing":
            return False
        raise refusal(job_id, "cancelled", CANCELLABLE)


def set_priority(job_id: str, priority: Any) -> int:
    """Give a waiting job another priority (-100 to 100) and return it. Raises InvalidInput, NotFound, Refused."""
    chosen = read_priority(priority)
    with db.transaction():
        if not set_priority_where(Job.id == job_id, WAITING, chosen):
            raise refusal(job_id, "given another priority", WAITING)
        wakeup.nudge()
    return chosen


def read_priority(value: Any) -> int:
    """The priority that `value` says, a whole number. Raises InvalidInput."""
    try:
        return spec.FIELDS["priority"].read(value)[1]
    except InvalidInput as error:
        raise InvalidInput(f"priority: {error}", "priority") from None


def retry_dead(after_batch: Callable[[int], Any] = lambda retried: None) -> int:
    """Put the jobs that are dead now back to pending, in batches, so that no worker waits long. Returns their number.

    after_batch: called with the number until then.
    """
    newest = Job.select(Job.pk).where(Job.state == "dead").order_by(Job.pk.desc()).limit(1).scalar() or 0
    retried = 0
    for where in _dead_batches(newest):
        db.give_way()
        with db.transaction():
            retried += retry_where(where, ("dead",))
            wakeup.nudge()
        after_batch(retried)
    return retried


def _dead_batches(newest: int) -> Iterator[Any]:
    while True:
        dead: Any = Job.select(Job.pk).where(Job.state == "dead", Job.pk <= newest).order_by(Job.pk).limit(_BATCH)
        pks = [pk for (pk,) in dead.tuples()]
        if not pks:
            return
        yield Job.pk.in_(pks)


def prune(pks: list[int], before: int) -> int:
    """Remove those of the jobs that ended before the instant `before`, with their attempts; how many it were."""
    with db.transaction():
        return Job.delete().where(Job.pk.in_(pks), Job.state.in_(FINAL), Job.finished_at < before).execute()


# --- the statements; each returns how many jobs it changed. `operation`: the bulk operation it is a part of.


def retry_where(where: Any, states: tuple[str, ...], operation: int | None = None) -> int:
    """Put the jobs back to pending; where each stood is remembered, so that it can be withdrawn."""
    now = models.now_ms()
    stood = [part for name in (*_BEFORE, "run") for part in (name, Job._meta.fields[name])]
    fresh = {
        "retried_from": fn.json_object(*stood),
        "state": "pending",
        "attempts": 0,
        "crashes": 0,
        "next_run_at": now,
        "updated_at": now,
        "finished_at": None,
        "operation": operation,
    }
    return Job.update(**fresh).where(where, Job.state.in_(states)).execute()


def unretry_where(where: Any) -> int:
    """Put the jobs back to where they stood before their retry, unless they have been claimed since."""
    stood = {name: fn.json_extract(Job.retried_from, f"$.{name}") for name in (*_BEFORE, "run")}
    is_unrun = (Job.state == "pending") & (Job.run == stood.pop("run"))
    back = Job.update(**stood, retried_from=None, operation=None, updated_at=models.now_ms())
    return back.where(where, Job.retried_from.is_null(False), is_unrun).execute()


def cancel_where(where: Any, states: tuple[str, ...], operation: int | None = None) -> int:
    """Cancel those of the jobs that wait, and ask those that run to end."""
    now = models.now_ms()
    still = [state for state in states if state in WAITING]
    waiting = Job.update(state="cancelled", finished_at=now, updated_at=now, operation=operation)
    running = Job.update(cancel_requested=True, updated_at=now, operation=operation)
    changed = waiting.where(where, Job.state.in_(still)).execute()
    if "processing" in states:
        changed += running.where(where, Job.state == "processing").execute()
    return changed


def set_priority_where(where: Any, states: tuple[str, ...], priority: int, operation: int | None = None) -> int:
    """Give the jobs another priority."""
    other = Job.update(priority=priority, updated_at=models.now_ms(), operation=operation)
    return other.where(where, Job.state.in_(states)).execute()


# --- refusals


def state_of(job_id: str) -> str:
    """The state of the job. Raises NotFound, also for one in the trash."""
    state = Job.select(Job.state).where(Job.id == job_id, Job.state != "deleted").scalar()
    if state is None:
        raise NotFound(f"There is no job {job_id[:128]!r}.")
    return state


def refusal(job_id: str, done: str, states: tuple[str, ...]) -> Refused:
    """The error that says in which states it could be done. Raises NotFound when there is no such job."""
    allowed = " and ".join(filter(None, (", ".join(states[:-1]), states[-1])))
    return Refused(f"Job {job_id} is {state_of(job_id)}; only {allowed} jobs can be {done}.")
