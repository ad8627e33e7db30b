"""What the workers of a supervisor and the commands they run use of memory and processor, for people to see."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

import models
from models import Worker, db
from workers import tree
from workers.child import Child

EVERY_S = 5.0
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Memory that lies in RAM (kB; what is shared counts in full) and processor time since the start (ms)."""

    rss_kb: int = 0
    cpu_ms: int = 0


class Gauge:
    """Looks at the workers and notes what has changed."""

    def __init__(self, children: Collection[Child]):
        self.children = children
        self.noted: dict[int, tuple[Usage | None, Usage | None]] = {}
        self.resting: set[int] = set()  # idle when last looked at, and measured since

    def step(self) -> float:
        """Note what each uses now. Returns in how many seconds to call again."""
        idle = {child.pk for child in self.children if child.mood == "idle"}
        now = {}
        for child in self.children:
            if child.pk in idle & self.resting & self.noted.keys():
                now[child.pk] = self.noted[child.pk]  # whoever does nothing uses nothing more
            else:
                now[child.pk] = of(child.pid), None if child.pk in idle else of_job(child.pid)
        self.resting = idle
        changed = {pk: used for pk, used in now.items() if used != self.noted.get(pk)}
        if changed:
            with db.transaction():
                for pk, (own, job) in changed.items():
                    Worker.update(**_columns(own, job)).where(Worker.pk == pk).execute()
        self.noted = now
        return EVERY_S


def of(pid: int) -> Usage | None:
    """What one process uses; None when it is gone, or the system does not tell."""
    try:
        pages = int(_read(f"/proc/{pid}/statm").split()[1])
        times = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except (OSError, IndexError):
        return None
    return Usage(pages * _PAGE_KB, int((int(times[11]) + int(times[12])) * _TICK_MS))


def _read(path: str) -> bytes:
    """A file of the kernel, all of it: two calls of the system instead of the nine of `open`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def of_job(worker_pid: int) -> Usage | None:
    """What all processes below a worker use together; None when it runs none."""
    found = [used for pid in tree.descendants(worker_pid) if (used := of(pid))]
    if not found:
        return None
    return Usage(sum(used.rss_kb for used in found), sum(used.cpu_ms for used in found))


def _columns(own: Usage | None, job: Usage | None) -> dict[str, int | None]:
    return {
        "rss_kb": own and own.rss_kb,
        "cpu_ms": own and own.cpu_ms,
        "job_rss_kb": job and job.rss_kb,
        "job_cpu_ms": job and job.cpu_ms,
        "sampled_at": models.now_ms(),
    }
