"""Kernel locks that say which processes live: whether one is held, and by whom. Taking them is the workers' own."""

from __future__ import annotations

import fcntl
import os

from engine import ownership


def is_held(path: str) -> bool:
    """Whether a living process holds the lock of this file."""
    try:
        fd = ownership.reopen(path)
    except FileNotFoundError:
        return False
    try:
        return not lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def lock(fd: int, kind: int) -> bool:
    """Lock this open file as flock(2) does, without waiting; False when another process keeps us from it."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def of_supervisor(folder: str) -> str:
    """Held by the one supervisor of this host and database."""
    return os.path.join(folder, "supervisor.lock")


def of_worker(folder: str, pk: int) -> str:
    """Held by the worker alone, from before it is born to its death."""
    return os.path.join(folder, f"w{pk}.lock")
