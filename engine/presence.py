"""Which processes have a database open: each shares the lock of one file in the run folder for as long as it lives.

Whoever changes the schema holds that lock alone, so no process meets tables that changed under it. A forked process shares
what its parent does. A process of a version without this lock is known by the lock of a supervisor or a worker.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from engine import ownership
from engine.errors import Unavailable

PATIENCE_S = 5.0  # for commands, which end by themselves
_OPEN, _MIGRATE = "open.lock", "migrate.lock"


def share(folder: str) -> int:
    """Be one of those that have the database open, until the descriptor is closed. Waits while one process has it alone.

    Raises OSError where this user may not write.
    """
    fd = _opened(folder, _OPEN)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


@contextmanager
def in_turn(folder: str) -> Iterator[None]:
    """While the block runs no other process changes the schema; it waits for that."""
    lock = _opened(folder, _MIGRATE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def alone(folder: str, why: str) -> Iterator[None]:
    """While the block runs no other process has the database open; the caller does not share meanwhile.

    why: how the sentence begins that refuses it, as in "queue.db has schema 4, not 5 yet". Raises Unavailable, which names
    the processes to stop.
    """
    from engine import locks  # only who migrates pays for it

    fd = _opened(folder, _OPEN)
    try:
        give_up_at = time.monotonic() + PATIENCE_S
        while not locks.lock(fd, fcntl.LOCK_EX):
            if time.monotonic() > give_up_at:
                _refuse(folder, why, [_OPEN])
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def refuse_workers(folder: str, why: str) -> None:
    """Raises Unavailable, as `alone`, when a supervisor or a worker lives, of whatever version."""
    from engine import locks

    names = [name for name in sorted(os.listdir(folder)) if re.fullmatch(r"(supervisor|w\d+)\.lock", name)]
    if held := [name for name in names if locks.is_held(os.path.join(folder, name))]:
        _refuse(folder, why, held)


def _opened(folder: str, name: str) -> int:
    return ownership.make(os.path.join(folder, name))


def _refuse(folder: str, why: str, names: list[str]) -> NoReturn:
    pids = sorted({pid for name in names for pid in _holders(os.path.join(folder, name))})
    who = f" ({', '.join(map(str, pids))})" if pids else ""
    raise Unavailable(
        f"{why}, but other processes have it open{who}; stop the workers and the panel: end 'make run' or the service, "
        "or 'kill' the others (a supervisor finishes its running jobs first), then try again."
    )


def _holders(path: str) -> list[int]:
    """The processes that locked this file, as far as the system says."""
    found = []
    with suppress(OSError), open("/proc/locks") as held:
        at = os.stat(path)
        name = f"{os.major(at.st_dev):02x}:{os.minor(at.st_dev):02x}:{at.st_ino}"
        for line in held:
            _, kind, *rest = line.split()
            if kind == "FLOCK" and len(rest) > 3 and rest[3] == name:
                found.append(int(rest[2]))
    return found
