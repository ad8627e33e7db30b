"""Find and signal the processes of one database, by /proc alone: the engine is not asked."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import NamedTuple

SUPERVISOR = "queuectl-super"
WORKER = "queuectl-w"


class Process(NamedTuple):
    pid: int
    name: str


def ours(database: str) -> list[Process]:
    """The supervisors and workers of this database that live.

    Those just being born are left out: until it has its own name, a child has that of its parent.
    """
    named = (Process(pid, name_of(pid)) for pid in _pids())
    candidates = [found for found in named if found.name.startswith("queuectl-") and _is_of(found.pid, database)]
    return [found for found in candidates if name_of(_parent(found.pid)) != found.name]


def every(database: str) -> list[Process]:
    """Every other process that was started for this database: also panels, commands and jobs."""
    return [Process(pid, name_of(pid)) for pid in _pids() if pid != os.getpid() and _is_of(pid, database)]


def _is_of(pid: int, database: str) -> bool:
    """Whether its environment or its command line names the database; workers have the command line of their supervisor."""
    return f"QUEUECTL_DB={database}".encode() in environ(pid) or database.encode() in _entries(pid, "cmdline")


def supervisors(found: list[Process]) -> list[Process]:
    return [process for process in found if process.name == SUPERVISOR]


def workers(found: list[Process]) -> list[Process]:
    return [process for process in found if process.name.startswith(WORKER)]


def marked(instance: str) -> list[int]:
    """The processes of jobs of this database."""
    mark = f"QUEUECTL_RUN={instance}-".encode()
    return [pid for pid in _pids() if any(entry.startswith(mark) for entry in environ(pid))]


def holders(folder: str) -> list[int]:
    """The processes that have a file below this folder open, ours excepted."""
    return [pid for pid in _pids() if pid != os.getpid() and any(path.startswith(folder) for path in _open(pid))]


def environ(pid: int) -> list[bytes]:
    return _entries(pid, "environ")


def _entries(pid: int, name: str) -> list[bytes]:
    with suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read().split(b"\0")
    return []


def name_of(pid: int) -> str:
    """What ps calls it; empty when it is gone or dead already."""
    name, state, _ = _stat(pid)
    return "" if state in "ZX" else name


def state_of(pid: int) -> str:
    """As /proc says it: R runs, S sleeps, T is stopped by a signal, Z is dead, X is gone."""
    return _stat(pid)[1]


def send(process: Process, number: int) -> int | None:
    """Signal it if it still is what it was; the instant (ms since 1970) just before, None when it is gone."""
    with suppress(OSError):
        handle = os.pidfd_open(process.pid)
        try:
            if name_of(process.pid) == process.name:
                at = time.time_ns() // 1_000_000
                signal.pidfd_send_signal(handle, number)
                return at
        finally:
            os.close(handle)
    return None


def _parent(pid: int) -> int:
    return int(_stat(pid)[2])


def _stat(pid: int) -> tuple[str, str, str]:
    """Name, state (X for one that is gone) and parent."""
    with suppress(OSError), open(f"/proc/{pid}/stat") as file:
        name, _, rest = file.read().partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        return name, state, parent
    return "", "X", "0"


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _open(pid: int) -> list[str]:
    paths = []
    with suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                paths.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return paths
