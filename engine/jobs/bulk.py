"""One step of a bulk operation: the same statements as for one job, on the jobs with these keys."""

from __future__ import annotations

from typing import Any

from engine import wakeup
from engine.jobs import steering, trash
from models import Job

# The states in which a job can be what the verb says.
ALLOWED: dict[str, tuple[str, ...]] = {
    "retry": steering.RETRYABLE,
    "cancel": steering.CANCELLABLE,
    "delete": trash.DELETABLE,
    "priority": steering.WAITING,
    "undelete": ("deleted",),
    "unretry": ("pending",),
}


def act(
    verb: str,
    pks: list[int],
    states: tuple[str, ...],
    operation: int,
    argument: Any = None,
    running: list[str] | None = None,
) -> int:
    """Do it to those of the jobs that are in one of `states`, inside the caller's transaction; the number of jobs changed.

    argument: the priority, for that verb. running: a cancel ends the commands of the jobs with these ids only; None: of all.
    """
    where = Job.pk.in_(pks)
    wakeup.nudge()
    match verb:
        case "retry":
            return steering.retry_where(where, states, operation)
        case "cancel":
            if running is None:
                return steering.cancel_where(where, states, operation)
            waiting = steering.cancel_where(where, steering.WAITING, operation)
            return waiting + steering.cancel_where(where & Job.id.in_(running), ("processing",), operation)
        case "delete":
            return trash.delete_where(where, states, operation)
        case "priority":
            return steering.set_priority_where(where, states, argument, operation)
        case "undelete":
            return trash.undelete_many(pks)
        case "unretry":
            return steering.unretry_where(where)
    raise ValueError(verb)
