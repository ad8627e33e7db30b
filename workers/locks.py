"""Kernel locks on files of the run folder: the one test of who is alive on this host.

A lock is an flock on an open file; it goes when the last copy of its descriptor is closed, so with the process
that held it, however that died. No pid, clock or heartbeat is asked.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import suppress

from engine import ownership
from engine.locks import is_held as is_held
from engine.locks import lock
from engine.locks import of_supervisor as of_supervisor
from engine.locks import of_worker as of_worker

OF_WORKERS = re.compile(r"w(\d+)\.(lock|jobs\.lock|hand)")  # names of files, with the worker's number
ASKING_S = 1.0  # far longer than anyone asks


def take(path: str) -> int | None:
    """Lock the file and return its descriptor, which no program inherits; None when someone holds it."""
    while (fd := _take(path)) is not None and not _is_at(path, fd):
        os.close(fd)  # it was removed meanwhile: others lock the file that is there now
    return fd


def _take(path: str) -> int | None:
    fd = ownership.make(path)
    give_up_at = time.monotonic() + ASKING_S
    while not lock(fd, fcntl.LOCK_EX):
        # Whoever asks `is_held` shares the lock for an instant; only a holder keeps us from sharing it too.
        if not lock(fd, fcntl.LOCK_SH) or time.monotonic() > give_up_at:
            os.close(fd)
            return None
        fcntl.flock(fd, fcntl.LOCK_UN)
        time.sleep(0.001)
    return fd


def _is_at(path: str, fd: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(fd))
    return False


def forget(*paths: str) -> None:
    """Remove lock files that nobody needs any more."""
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)


def of_jobs(folder: str, pk: int) -> str:
    """Held by the worker and by every process its jobs start: free means none of them lives."""
    return os.path.join(folder, f"w{pk}.jobs.lock")


def of_hand(folder: str, pk: int) -> str:
    """No lock: what the worker says of the jobs it holds (hand.py)."""
    return os.path.join(folder, f"w{pk}.hand")


def all_of(folder: str, pk: int) -> tuple[str, ...]:
    """Every file that a worker has in the run folder."""
    return of_worker(folder, pk), of_jobs(folder, pk), of_hand(folder, pk)
