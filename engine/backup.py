"""A copy of the database while everything runs, and the way back from one.

The files are copied by SQLite alone: to open and close them by other means would drop its locks.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

import models
from engine import files, jobs, opening, space
from engine.database import unavailable
from engine.errors import InvalidInput, Refused, Unavailable
from models import Job, Meta, Supervisor, Worker, db

_REASON = "the database was restored from a backup"
_TABLES = {"job", "attempt", "worker", "config", "counter", "meta", "schema_migration"}
_PATIENCE_S = 10.0  # for a lock on the database that is restored
_BROKEN = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class Restored(NamedTuple):
    """Where the database that was there is kept (None: there was none), and how many running jobs were given back."""

    kept: str | None
    given_back: int


def write(path: str) -> int:
    """Write the open database, as it is at one instant, to the new file `path`; its size in bytes.

    Nobody waits for it. The copy is checked before it has its name. Raises Refused when the file exists, Unavailable.
    """
    folder = os.path.dirname(os.path.abspath(path))
    with files.new_file(path) as part:
        space.need(folder, space.size(db.database) + space.MARGIN, "The backup")
        with _sentences(path):
            db.connection().execute("VACUUM INTO ?", (part,))
        with closing(_open(part)):
            return os.stat(part).st_size


def restore(source: str, path: str) -> Restored:
    """Put the backup `source` in the place of the database at `path`, which is kept beside it, and open it.

    The caller has made sure that nobody works. Jobs that ran when the backup was made are given back, uncounted.
    Raises InvalidInput when there is no such file, Refused when it is no sound backup, Unavailable.
    """
    if not os.path.isfile(source):
        raise InvalidInput(f"There is no file {source}.")
    if os.path.exists(path) and os.path.samefile(source, path):
        raise InvalidInput(f"{source} is the database itself; name a backup.")
    with closing(_open(source)) as copy:
        wanted = 2 * (space.size(path) + space.size(source)) + space.MARGIN
        space.need(os.path.dirname(path), wanted, "The restore")
        kept = _keep(path, copy)
        with _sentences(path):
            _copy(copy, path)
    models.connect(path)
    return Restored(kept, _begin_anew())


def _open(path: str) -> sqlite3.Connection:
    """A copy of ours, checked from end to end, to be read. Raises Refused."""
    opened = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True, isolation_level=None)
    try:
        tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        version = opened.execute("PRAGMA user_version").fetchone()[0]
        if not tables >= _TABLES:
            raise Refused(f"{path} is not a QueueCTL database; name a file made by 'queuectl backup'.")
        if version > models.SCHEMA_VERSION:
            raise Refused(
                f"{path} has schema {version}, newer than this program knows ({models.SCHEMA_VERSION}); upgrade QueueCTL."
            )
        fault = opened.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if fault != "ok":
            raise Refused(f"{path} is damaged ({' '.join(fault.split())}); take another backup.")
    except sqlite3.DatabaseError as error:
        opened.close()
        raise Refused(f"{path} is not a sound QueueCTL database ({error}); take another backup.") from error
    except Refused:
        opened.close()
        raise
    return opened


def _keep(path: str, copy: sqlite3.Connection) -> str | None:
    """Leave what is at `path` under a dated name; where it is then."""
    if not os.path.exists(path):
        return None
    kept = f"{path}.{datetime.fromtimestamp(models.now_ms() // 1000, UTC):%Y%m%dT%H%M%SZ}"
    if _can_be_replaced(path, copy):
        with files.new_file(kept) as part, _sentences(path), closing(sqlite3.connect(path)) as old:
            _copy(old, part)
    else:
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.rename(path + end, kept + end)
    return kept


def _can_be_replaced(path: str, copy: sqlite3.Connection) -> bool:
    """Whether SQLite can write `copy` over the database: not when that is broken at its root or of another page size."""
    pages = "PRAGMA page_size"
    with closing(sqlite3.connect(path)) as old:
        try:
            old.execute("SELECT 1 FROM sqlite_schema").fetchone()
            return old.execute(pages).fetchone() == copy.execute(pages).fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in _BROKEN:
                return False
            raise unavailable(str(error), path) from error


def _copy(source: sqlite3.Connection, path: str) -> None:
    """All pages at once, in one transaction; others see the old database or the new one."""
    opening.create_private(path)
    give_up_at = time.monotonic() + _PATIENCE_S

    def watch(status: int, *_: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > give_up_at:
            raise Unavailable(f"The database {path} is locked by another process; stop the panel too and try again.")

    with closing(sqlite3.connect(path)) as target:
        source.backup(target, progress=watch, sleep=0.05)


def _begin_anew() -> int:
    """Nothing of the time before lives on: no worker, no run, nor the name that tells one run from another."""
    now = models.now_ms()
    db.execute_sql("PRAGMA journal_mode = WAL")
    with db.transaction():
        running = list(Job.select().where(Job.state == "processing").order_by(Job.pk))
        for job in running:
            jobs.give_back(job.pk, _REASON)
        ended = {"status": "lost", "stopped_at": now, "reason": _REASON}
        Worker.update(**ended).where(Worker.stopped_at.is_null()).execute()
        Supervisor.update(stopped_at=now).where(Supervisor.stopped_at.is_null()).execute()
        Meta.update(value=uuid.uuid4().hex[:12]).where(Meta.key == "instance").execute()
    return len(running)


@contextmanager
def _sentences(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise unavailable(str(error), path) from error
