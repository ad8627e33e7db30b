"""What a supervisor says of itself in its lock file: for those who find it leaving, or dead."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from typing import NamedTuple

from engine import locks


class Note(NamedTuple):
    """managed: a process runner or service began it, and decides whether another begins. folder: where jobs run."""

    pid: int
    host: str
    managed: bool
    leaving: bool
    folder: str


def write(lock: int, managed: bool, folder: str, *, leaving: bool) -> None:
    """Say it in the file with this descriptor. On a full disk nothing is said."""
    said = json.dumps(Note(os.getpid(), socket.gethostname(), managed, leaving, folder)).encode()
    with suppress(OSError):  # never shorter than it was, so that others read it whole
        os.pwrite(lock, said.ljust(os.fstat(lock).st_size), 0)


def read(folder: str) -> Note | None:
    """What the present supervisor says, or the last one; None when that is not known."""
    try:
        with open(locks.of_supervisor(folder), "rb") as file:
            return Note(*json.loads(file.read()))
    except (OSError, ValueError, TypeError):
        return None
