"""What people do with jobs: retry, cancel, delete; and the removal of the old."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import models
from engine import wakeup
from engine.errors import NotFound, Refused
from models import Job, db

RETRYABLE = ("failed", "dead", "cancelled")
FINAL = ("completed", "dead", "cancelled")
_BATCH = 500  # rows a bulk change holds the write lock for


def retry(job_id: str, states: tuple[str, ...] = RETRYABLE) -> None:
    """Put a job in one of `states` back to pending with no attempts. Raises NotFound, Refused."""
    with db.transaction():
        if not _retry(Job.id == job_id, states):
            raise _refusal(job_id, "retried", states)
        wakeup.nudge()


def run_now(job_id: str) -> None:
    """Let a job that waits for its time, or for its next try, wait no longer; its attempts stay counted.

    Raises NotFound, Refused.
    """
    now = models.now_ms()
    with db.transaction():
        early = Job.update(next_run_at=now, updated_at=now)
        if not early.where(Job.id == job_id, Job.state.in_(("pending", "failed")), Job.next_run_at > now).execute():
            if _state(job_id) in ("pending", "failed"):
                raise Refused(f"Job {job_id} is due already; a free worker takes it in its turn.")
            raise _refusal(job_id, "run now", ("pending", "failed"))
        wakeup.nudge()


def retry_dead(job_ids: Iterable[str] | None = None) -> int:
    """Put the dead jobs with these ids (None: all that are dead now) back to pending; how many it were.

    In batches, so that no worker waits long; what is no longer dead is left alone.
    """
    if job_ids is None:
        newest = Job.select(Job.pk).where(Job.state == "dead").order_by(Job.pk.desc()).limit(1).scalar() or 0
        found = _dead_batches(newest)
    else:
        chosen = list(job_ids)
        found = (Job.id.in_(chosen[start : start + _BATCH]) for start in range(0, len(chosen), _BATCH))
    retried = 0
    for where in found:
        with db.transaction():
            retried += _retry(where, ("dead",))
            wakeup.nudge()
    return retried


def _dead_batches(newest: int) -> Iterator[Any]:
    while True:
        dead: Any = Job.select(Job.pk).where(Job.state == "dead", Job.pk <= newest).order_by(Job.pk).limit(_BATCH)
        pks = [pk for (pk,) in dead.tuples()]
        if not pks:
            return
        yield Job.pk.in_(pks)


def _retry(where: Any, states: tuple[str, ...]) -> int:
    now = models.now_ms()
    fresh = {
        "state": "pending",
        "attempts": 0,
        "crashes": 0,
        "next_run_at": now,
        "updated_at": now,
        "finished_at": None,
    }
    return Job.update(**fresh).where(where, Job.state.in_(states)).execute()


def cancel(job_id: str) -> str:
    """Cancel a job that has not ended. Returns its state: cancelled, or processing while its command is stopped.

    Raises NotFound, Refused.
    """
    now = models.now_ms()
    with db.transaction():
        waiting = Job.update(state="cancelled", finished_at=now, updated_at=now)
        if waiting.where(Job.id == job_id, Job.state.in_(("pending", "failed"))).execute():
            return "cancelled"
        running = Job.update(cancel_requested=True, updated_at=now)
        if running.where(Job.id == job_id, Job.state == "processing").execute():
            wakeup.nudge()
            return "processing"
        raise _refusal(job_id, "cancelled", ("pending", "failed", "processing"))


def delete(job_id: str) -> None:
    """Remove a job that is not running, with its attempts. Raises NotFound, Refused."""
    with db.transaction():
        deleted = Job.delete().where(Job.id == job_id, Job.state != "processing").execute()
        if not deleted and _state(job_id):
            raise Refused(f"Job {job_id} is running; cancel it first, then delete it.")


def prune(pks: list[int], before: int) -> int:
    """Remove those of the jobs that ended before the instant `before`, with their attempts; how many it were."""
    with db.transaction():
        return Job.delete().where(Job.pk.in_(pks), Job.state.in_(FINAL), Job.finished_at < before).execute()


def _state(job_id: str) -> str:
    state = Job.select(Job.state).where(Job.id == job_id).scalar()
    if state is None:
        raise NotFound(f"There is no job {job_id[:128]!r}.")
    return state


def _refusal(job_id: str, done: str, states: tuple[str, ...]) -> Refused:
    allowed = " and ".join(filter(None, (", ".join(states[:-1]), states[-1])))
    return Refused(f"Job {job_id} is {_state(job_id)}; only {allowed} jobs can be {done}.")
