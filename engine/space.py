"""Disk space: how much is left, and giving back what the database no longer uses."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from typing import NamedTuple

from engine import interruption
from engine.errors import Unavailable
from models import db

_STEP_PAGES = 256  # given back in one transaction, about 10 ms
_PAUSE_S = 0.002  # between two, for those who wait for the lock
MARGIN = 16 * 1024 * 1024  # for what others write meanwhile
_LOG = 10 * 1024 * 1024  # what a vacuum in steps writes to the log until that is emptied


class Change(NamedTuple):
    """The size of the database with its write-ahead log, in bytes."""

    before: int
    after: int


def free(folder: str) -> int:
    """Bytes that can still be written to the disk of this folder."""
    return shutil.disk_usage(folder or ".").free


def need(folder: str, size: int, purpose: str) -> None:
    """Raises Unavailable unless `size` bytes are free on the disk of this folder."""
    left = free(folder)
    if left < size:
        raise Unavailable(
            f"{purpose} needs {size:,} free bytes in {folder}, and {left:,} are free; make room and try again."
        )


def size(path: str) -> int:
    """Bytes of the database at `path`, with its write-ahead log; 0 when there is none."""
    total = 0
    for name in (path, f"{path}-wal"):
        with suppress(FileNotFoundError):
            total += os.stat(name).st_size
    return total


def give_back() -> Change:
    """Shorten the file by the pages that nothing uses, in small steps beside running workers. Raises Unavailable."""
    before = size(db.database)
    _shortened()
    need(os.path.dirname(db.database), _LOG, "A vacuum")
    while left := _pragma("freelist_count"):
        with db.transaction():
            for _ in range(min(left, _STEP_PAGES)):
                db.execute_sql(
                    "PRAGMA incremental_vacuum(1)"
                )  # Python's driver does one page a call, whatever is asked
        interruption.told()  # a job is as it was
        if _pragma("freelist_count") >= left:
            break  # not made with incremental vacuum; only a whole rewrite helps
        time.sleep(_PAUSE_S)
    return Change(before, _shortened())


def rewrite() -> Change:
    """Write the whole database anew, as small as can be; workers wait meanwhile. Raises Unavailable."""
    before = size(db.database)
    used = (_pragma("page_count") - _pragma("freelist_count")) * _pragma("page_size")
    folder, temporary = os.path.dirname(db.database), _temporary_folder()
    if os.stat(folder).st_dev == os.stat(temporary).st_dev:
        need(folder, 2 * used + MARGIN, "A full vacuum")
    else:
        need(folder, used + MARGIN, "A full vacuum")
        need(temporary, used + MARGIN, "A full vacuum")
    db.execute_sql("PRAGMA temp_store = FILE")  # the copy is as large as the database
    db.execute_sql("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute_sql("VACUUM")
    return Change(before, _shortened())


def _shortened() -> int:
    """The size once the write-ahead log is moved into the database."""
    db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return size(db.database)


def _pragma(name: str) -> int:
    return db.execute_sql(f"PRAGMA {name}").fetchone()[0]


def _temporary_folder() -> str:
    """Where SQLite writes what it needs for a while."""
    named = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")
    usable = (folder for folder in named if folder and os.path.isdir(folder) and os.access(folder, os.W_OK))
    return next(usable, os.curdir)
