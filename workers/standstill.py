"""Nobody works: for what cannot be done to a database in use."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import models
from engine import backup
from engine.backup import Restored
from engine.errors import Refused
from workers import control, locks

_PATIENCE_S = 2.0  # a supervisor leaves a moment after its last worker


@contextmanager
def standstill(path: str) -> Iterator[None]:
    """While the block runs, no worker of the database at `path` lives on this host and none can begin.

    Raises Refused when a supervisor or a worker lives.
    """
    folder = models.run_folder(path)
    lock = _take(locks.of_supervisor(folder))
    if lock is None:
        raise Refused(
            f"A supervisor works on {path}; stop it first ('queuectl worker stop', or end 'make run' or the service)."
        )
    try:
        for name in sorted(os.listdir(folder)):
            if name.startswith("w") and name.endswith(".lock") and locks.is_held(os.path.join(folder, name)):
                raise Refused(f"Worker {name.split('.')[0]} still runs a job; wait until it has ended.")
        yield
    finally:
        os.close(lock)


def restore(source: str, path: str) -> Restored:
    """Put the backup `source` in the place of the database at `path`, see engine/backup.py, while nobody works.

    Raises Refused besides when a supervisor or a worker lives.
    """
    with standstill(path):
        restored = backup.restore(source, path)
        folder = models.run_folder(path)
        left = filter(locks.OF_WORKERS.fullmatch, os.listdir(folder))
        locks.forget(*(os.path.join(folder, name) for name in left))  # their numbers are given again
    if control.is_anyone_wanted():  # asked for meanwhile: whoever did took this process for a supervisor
        control.ensure_supervisor()
    return restored


def _take(path: str) -> int | None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while (lock := locks.take(path)) is None and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return lock
