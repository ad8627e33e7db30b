"""The trash: a deleted job is hidden, its id free for another, until it is brought back or its time is over.

A job in the trash has the state `deleted` and the id `~` and its key, which nobody can enqueue.
"""

from __future__ import annotations

from typing import Any

from peewee import SQL, IntegrityError

import models
from engine import dialect, wakeup
from engine.errors import NotFound, Refused
from engine.jobs.steering import state_of
from models import STATES, Job, db

DELETABLE = tuple(state for state in STATES if state != "processing")

# The keys of a batch are a JSON array, so that the statement is the same for any number.
_BACK = """
UPDATE job SET id = deleted_id, state = deleted_from, deleted_id = NULL, deleted_from = NULL, deleted_at = NULL,
               operation = NULL
 WHERE pk IN (SELECT value FROM json_each(:pks)) AND state = 'deleted'
"""
_UNLESS_TAKEN = "AND NOT EXISTS (SELECT 1 FROM job AS other WHERE other.id = job.deleted_id)"


def delete(job_id: str) -> str:
    """Put a job that is not running into the trash; the token that brings it back. Raises NotFound, Refused."""
    with db.transaction():
        pk = Job.select(Job.pk).where(Job.id == job_id, Job.state.in_(DELETABLE)).scalar()
        if pk is None:
            state_of(job_id)
            raise Refused(f"Job {job_id} is running; cancel it first, then delete it.")
        delete_where(Job.pk == pk, DELETABLE)
    return f"~{pk}"


def undelete(token: str) -> str:
    """Bring a job back as it was, by its token or, the last deleted first, by the id it had; returns that id.

    Raises NotFound when it is not in the trash (any more), Refused when its id was taken meanwhile.
    """
    with db.transaction():
        job = _lying(token)
        try:
            db.execute_sql(_BACK, {"pks": f"[{job.pk}]"})
        except IntegrityError:
            raise Refused(
                f"There is another job {job.deleted_id} now; delete that first to bring this one back."
            ) from None
        wakeup.nudge()
    return str(job.deleted_id)


def remove(token: str) -> str:
    """Remove a job in the trash for good, by its token or the id it had; returns that id. Raises NotFound."""
    with db.transaction():
        job = _lying(token)
        Job.delete().where(Job.pk == job.pk, Job.state == "deleted").execute()
    return str(job.deleted_id)


def _lying(token: str) -> Job:
    if token.startswith("~"):
        job = Job.get_or_none(Job.id == token)
    else:
        job = next(iter(Job.raw(dialect.TRASH_OF_ID, token)), None)
    if job is None:
        raise NotFound(f"There is no job {token[:128]!r} in the trash.")
    return job


def delete_where(where: Any, states: tuple[str, ...], operation: int | None = None) -> int:
    """Put the jobs into the trash; how many it were."""
    hidden = {
        "deleted_id": Job.id,
        "deleted_from": Job.state,
        "deleted_at": models.now_ms(),
        "id": SQL("'~' || pk"),
        "state": "deleted",
        "operation": operation,
    }
    return Job.update(**hidden).where(where, Job.state.in_(states)).execute()


def undelete_many(pks: list[int]) -> int:
    """Bring the jobs with these keys back, all but those whose id was taken; how many it were."""
    return db.execute_sql(f"{_BACK} {_UNLESS_TAKEN}", {"pks": str(pks)}).rowcount


def purge(pks: list[int], before: int) -> int:
    """Remove those of the jobs for good that were deleted before the instant `before`; how many it were."""
    with db.transaction():
        return Job.delete().where(Job.pk.in_(pks), Job.state == "deleted", Job.deleted_at < before).execute()
