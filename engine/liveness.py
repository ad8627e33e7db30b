"""Who lives on this host, by the locks: a row says what a process was when it was last written."""

from __future__ import annotations

import socket
from collections.abc import Collection

from engine import locks
from models import Worker, db

_MOST = 1000  # workers looked at


def supervisor_lives() -> bool:
    """Whether this host has a supervisor for this database."""
    return locks.is_held(locks.of_supervisor(_folder()))


def dead(workers: Collection[Worker]) -> set[int]:
    """The pks of those that have died and are not cleared away yet. Those of other hosts count as alive.

    While a supervisor lives, it knows best who begins and who leaves.
    """
    here, is_led = socket.gethostname(), supervisor_lives()
    known = [worker for worker in workers if worker.stopped_at is None and worker.started_at is not None]
    return {
        worker.pk
        for worker in known
        if worker.host == here
        and (worker.status == "running" or not is_led)
        and not locks.is_held(locks.of_worker(_folder(), worker.pk))
    }


def has_workers() -> bool:
    """Whether any worker lives, or is about to: none is without a supervisor, unless on another host."""
    rows = list(Worker.select().where(Worker.stopped_at.is_null()).limit(_MOST))
    gone = dead(rows)
    here = ("", socket.gethostname())
    left = [row for row in rows if row.pk not in gone]
    return any(row.started_at is not None or row.host not in here for row in left) or (
        bool(left) and supervisor_lives()
    )


def _folder() -> str:
    return f"{db.database}.run"
