"""A database as it is after a long time: millions of finished jobs, and many that wait. Made once, by SQL, and kept.

Of the waiting half is due and half is delayed by a day or more; they stand in ten queues and five priorities. Of the
finished three tenths ended 40 days ago, the others during the last 20 days; two in a hundred are dead, two cancelled. Each
has one attempt with a few lines of output. Nothing is deleted by itself: the settings keep everything.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import models
from benchmarks import place
from engine import config, health

DAY_MS = 24 * 3600 * 1000
OLD_DAYS = 30  # three tenths of the finished jobs ended earlier than this
QUEUES = 10
PRIORITIES = 5
_BATCH = 500_000  # rows in one transaction

_NUMBERS = "WITH RECURSIVE number (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM number WHERE i < :last)"

_FINISHED = f"""{_NUMBERS}
INSERT INTO job (id, queue, state, priority, next_run_at, run, attempts, crashes, max_retries, cancel_requested,
                 created_at, updated_at, finished_at, return_code, duration_ms, command)
SELECT printf('0%013d', i), 'queue-' || (i % :queues), CASE i % 50 WHEN 0 THEN 'dead' WHEN 1 THEN 'cancelled' ELSE 'completed' END,
       i / :queues % :priorities, ended - 1000, 1, i % 50 = 0, 0, 3, 0, ended - 2000, ended, ended, i % 50 = 0, 25,
       printf('/usr/bin/convert --size 640 incoming/%08d.png thumbnails/%08d.png', i, i)
  FROM (SELECT i, CASE WHEN i < :old THEN :now - 40 * :day + i / 10 ELSE :now - 20 * :day * (:finished - i) / :finished END AS ended
          FROM number)
"""

_ATTEMPTS = """
INSERT INTO attempt (job_pk, run, worker, host, started_at, finished_at, duration_ms, outcome, return_code,
                     user_ms, system_ms, max_rss_kb, stdout_bytes, stderr_bytes, stdout)
SELECT pk, 1, 'w1', 'host', finished_at - 25, finished_at, 25,
       CASE state WHEN 'dead' THEN 'failed' WHEN 'cancelled' THEN 'cancelled' ELSE 'success' END, return_code,
       10, 5, 4096, 42, 0, CAST(printf('thumbnail %08d written in 25 ms, 6,144 bytes', pk) AS BLOB)
  FROM job WHERE pk BETWEEN :first AND :last
"""

_WAITING = f"""{_NUMBERS}
INSERT INTO job (id, queue, state, priority, next_run_at, run, attempts, crashes, max_retries, cancel_requested,
                 created_at, updated_at, command)
SELECT printf('0%013d', i), 'queue-' || (i % :queues), 'pending', i / :queues % :priorities,
       CASE i / :queues / :priorities % 2 WHEN 0 THEN :now - 60000 ELSE :now + :day + i END, 0, 0, 0, 3, 0, :now, :now, ':'
  FROM number
"""


@contextmanager
def filled(finished: int, waiting: int) -> Iterator[Path]:
    """A copy to work on of the database with so many finished and waiting jobs; it is gone afterwards."""
    kept = _kept(finished, waiting)
    with place.scratch() as folder:
        copy = folder / "queue.db"
        shutil.copyfile(kept, copy)
        with copy.open("rb+") as file:  # else the first checkpoints wait until all of it is on the disk
            os.fsync(file.fileno())
        yield copy


def _kept(finished: int, waiting: int) -> Path:
    path = place.BUILD / f"filled-v{models.SCHEMA_VERSION}-{finished}-{waiting}.db"
    if not path.exists():
        with place.scratch() as folder:
            unfinished = folder / "queue.db"
            _make(unfinished, finished, waiting)
            os.replace(unfinished, path)
    return path


def _make(path: Path, finished: int, waiting: int) -> None:
    models.connect(str(path))
    for state in ("completed", "cancelled", "dead"):
        config.set(f"retention_{state}_days", 0)
    now = models.now_ms()
    models.disconnect()
    database = sqlite3.connect(path, isolation_level=None)
    # Should the machine stop meanwhile, this file is worth nothing; so it need not be safe.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
        database.execute(f"PRAGMA {pragma}")
    given = {"queues": QUEUES, "priorities": PRIORITIES, "now": now, "day": DAY_MS}
    given |= {"finished": finished, "old": finished * 3 // 10}
    for first, last in _batches(0, finished):
        database.execute("BEGIN")
        database.execute(_FINISHED, given | {"first": first, "last": last})
        database.execute(_ATTEMPTS, {"first": first + 1, "last": last + 1})  # keys count from 1
        database.execute("COMMIT")
    for first, last in _batches(finished, finished + waiting):
        database.execute("BEGIN")
        database.execute(_WAITING, given | {"first": first, "last": last})
        database.execute("COMMIT")
    database.close()
    models.connect(str(path))
    health.mend()  # counts what was not stored as the queue stores it, and goes back to WAL
    models.disconnect()


def _batches(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The first and the last number of each batch."""
    for first in range(start, end, _BATCH):
        yield first, min(first + _BATCH, end) - 1
