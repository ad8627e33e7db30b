"""What a finished job takes of the disk, and what is written for it until it is finished.

Room: pages in use after a checkpoint, less those of the empty database, divided by the jobs. Written: what the kernel
counts as sent to the disk by supervisor and workers while they drain, and by the process that enqueues (in one
transaction): write-ahead log and checkpoints. A page written twice counts twice.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import models
from benchmarks import place, processes
from benchmarks.figures import Figure


class Sizes(NamedTuple):
    jobs: int = 5_000
    workers: int = 2


QUICK = Sizes(jobs=300)

KINDS: dict[str, dict[str, Any]] = {
    "no-op": {},
    "typical": {  # a command of 90 bytes that prints three lines, 150 bytes; with a queue, a tag, a folder and a variable
        "command": 'for step in resize sharpen upload; do echo "$step of photo-4711.jpg took some milliseconds"; done',
        "queue": "thumbnails",
        "tags": ["customer-42"],
        "cwd": "/tmp",
        "env": {"IMAGE_QUALITY": "85"},
    },
}


def run(sizes: Sizes) -> list[Figure]:
    return [figure for kind in KINDS for figure in _of(kind, sizes)]


def _of(kind: str, sizes: Sizes) -> list[Figure]:
    with place.queue() as queue:
        empty = _used_bytes()
        written = processes.written_bytes(os.getpid())
        queue.fill(sizes.jobs, **KINDS[kind])
        enqueued = processes.written_bytes(os.getpid()) - written
        queue.start_workers(sizes.workers)
        queue.wait_completed(sizes.jobs)
        drained = sum(map(processes.written_bytes, processes.family(queue.supervisor_pid())))
        queue.stop_workers()
        used = _used_bytes() - empty
    return [
        Figure(f"{kind}: a finished job takes", [used / sizes.jobs], "bytes"),
        Figure(f"{kind}: written to enqueue it", [enqueued / sizes.jobs], "bytes"),
        Figure(f"{kind}: written to run it", [drained / sizes.jobs], "bytes"),
    ]


def _used_bytes() -> int:
    models.db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    size, pages, unused = (_pragma(name) for name in ("page_size", "page_count", "freelist_count"))
    return size * (pages - unused)


def _pragma(name: str) -> int:
    return models.db.execute_sql(f"PRAGMA {name}").fetchone()[0]
