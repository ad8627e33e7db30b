"""Who lives on this host, by the locks: a row says what a process was when it was last written."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection

import models
from engine import lockfile, locks
from engine.lockfile import Note
from models import Worker, db

REST_MS = 3000  # until another supervisor is begun in the place of one that died after so short a time
_MOST = 1000  # workers looked at


def supervisor_lives() -> bool:
    """Whether this host has a supervisor for this database."""
    return locks.is_held(locks.of_supervisor(_folder()))


def missed_supervisor() -> Note | None:
    """What the last supervisor said of itself, if it died, is missed, and this process may begin another in its place.

    That is so when workers are wanted and a command or the panel started it on this host: a service restarts its own. Only the owner of the database begins one, none of its jobs does, and not at every look.
    """
    if "QUEUECTL_RUN" in os.environ or supervisor_lives():
        return None
    note = lockfile.read(_folder())
    if note is None or note.managed or note.leaving or not note.folder or note.host != socket.gethostname():
        return None
    try:
        begun_at, owner = os.stat(locks.of_supervisor(_folder())).st_mtime * 1000, os.stat(db.database).st_uid
    except FileNotFoundError:
        return None
    if owner != os.geteuid() or 0 <= models.now_ms() - begun_at < REST_MS:
        return None
    is_missed = Worker.select().where(Worker.stopped_at.is_null()).exists() and not supervisor_lives()
    return note if is_missed else None


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
