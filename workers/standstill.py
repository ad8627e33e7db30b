"""Nobody works: for what cannot be done to a database in use."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import models
from engine.errors import Refused
from workers import locks

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


def _take(path: str) -> int | None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while (lock := locks.take(path)) is None and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return lock
