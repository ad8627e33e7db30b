"""A copy of the database while everything runs, and the way back from one.

The files are copied by SQLite alone: to open and close them by other means would drop its locks.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

import models
from engine import files, interruption, jobs, ownership, presence, space
from engine.driver import unavailable
from engine.errors import InvalidInput, Refused, Unavailable
from models import Job, Meta, Supervisor, Worker, db

_REASON = "the database was restored from a backup"
_TABLES = {"job", "attempt", "worker", "config", "counter", "meta", "schema_migration"}
_PATIENCE_S = 10.0  # for a lock on the database that is restored
_STEP = 8  # pages copied at once: fewer than any database has
_LOGS = ("-wal", "-shm", "-journal")
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
    with files.new_file(path, like=db.database) as part:
        space.need(folder, space.size(db.database) + space.MARGIN, "The backup")
        with _sentences(path):
            db.connection().execute("VACUUM INTO ?", (part,))
        with closing(_open(part)):
            return os.stat(part).st_size


def restore(source: str, path: str) -> Restored:
    """Put the backup `source` in the place of the database at `path`, which is kept beside it, and open it.

    The caller has made sure that nobody works. Jobs that ran when the backup was made are given back, uncounted. Killed at
    any instant, the old database is there or the new one. What others store meanwhile is kept or restored, or it is refused.
    Raises InvalidInput when there is no such file, Refused when it is no sound backup, Unavailable.
    """
    if not os.path.isfile(source):
        raise InvalidInput(f"There is no file {source}.")
    if os.path.exists(path) and os.path.samefile(source, path):
        raise InvalidInput(f"{source} is the database itself; name a backup.")
    with closing(_open(source)) as copy:
        wanted = space.size(path) + 3 * space.size(source) + space.MARGIN
        space.need(os.path.dirname(path), wanted, "The restore")
        with _staged(copy, path) as (staged, given_back), _sentences(path):
            interruption.change_begins()
            kept = _put_in_place(staged, path)
    models.connect(path)
    return Restored(kept, given_back)


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


@contextmanager
def _staged(copy: sqlite3.Connection, path: str) -> Iterator[tuple[str, int]]:
    """The backup as it is to be at `path`, in a file of its own, and how many running jobs were given back in it."""
    folder = os.path.join(models.run_folder(path), "restore")
    shutil.rmtree(folder, ignore_errors=True)  # of a restore that was killed
    ownership.make_folder(folder, like=os.path.dirname(folder))
    try:
        staged = os.path.join(folder, "queue.db")
        with _sentences(path):
            _copy(copy, staged)
        models.connect(staged)
        given_back = _begin_anew()
        models.disconnect()
        yield staged, given_back
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(staged: str, path: str) -> str | None:
    """Make `staged` the database at `path`; where the one that was there is kept (None: there was none)."""
    if not os.path.exists(path):
        _remove_logs(path)  # of a database that was deleted: SQLite would put them into the new one
        os.link(staged, path)  # never over a database that someone made meanwhile
        files.sync(os.path.dirname(path))
        return None
    kept = f"{path}.{datetime.fromtimestamp(models.now_ms() // 1000, UTC):%Y%m%dT%H%M%SZ}"
    with _nobody_of_another_version(path):
        if _has_pages_of(path, staged):
            _write_over(staged, path, kept)
        else:
            _replace_file(staged, path, kept)
    return kept


@contextmanager
def _nobody_of_another_version(path: str) -> Iterator[None]:
    """No process lives that knows other tables than the restored ones. Raises Unavailable when one does."""
    version = models.SCHEMA_VERSION
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as old:
        version = old.execute("PRAGMA user_version").fetchone()[0] or version
    if version == models.SCHEMA_VERSION:
        yield
        return
    folder = models.run_folder(path)
    why = f"{path} has schema {version}, not {models.SCHEMA_VERSION} as the new one"
    with presence.in_turn(folder), presence.alone(folder, why):
        yield


def _has_pages_of(path: str, staged: str) -> bool:
    """Whether SQLite can write `staged` over the database: not when that is broken at its root or of another page size."""
    pages = "PRAGMA page_size"
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(staged)) as new:
        try:
            old.execute("PRAGMA journal_mode = WAL").fetchone()  # in which it can be read while it is written
            old.execute("SELECT 1 FROM sqlite_schema").fetchone()
            return old.execute(pages).fetchone() == new.execute(pages).fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in _BROKEN:
                return False
            raise


def _write_over(staged: str, path: str, kept: str) -> None:
    """Write all pages in one transaction, and copy what is there to `kept` inside it: others can write before or after."""
    is_kept = False

    def keep(status: int) -> None:
        nonlocal is_kept
        if status == sqlite3.SQLITE_OK and not is_kept:  # some pages are written, so the lock is held
            part = os.path.join(os.path.dirname(staged), "kept.db")  # what a kill leaves there the next restore removes
            with closing(sqlite3.connect(path)) as old:
                _copy(old, part)
            files.sync(part)
            os.link(part, kept)
            files.sync(os.path.dirname(path))
            is_kept = True

    with closing(sqlite3.connect(staged, isolation_level=None)) as new:
        new.execute("BEGIN")
        _copy(new, path, keep)


def _replace_file(staged: str, path: str, kept: str) -> None:
    """Give the file that is there a second name, then the new one its name: a broken file cannot be written to."""
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode = DELETE")  # all of a sound one is in one file then
    for end in ("", *_LOGS):
        with suppress(FileNotFoundError):
            os.link(path + end, kept + end)
    _remove_logs(path)
    os.replace(staged, path)
    files.sync(os.path.dirname(path))


def _remove_logs(path: str) -> None:
    for end in _LOGS:
        with suppress(FileNotFoundError):
            os.unlink(path + end)


def _copy(source: sqlite3.Connection, path: str, begun: Callable[[int], None] = lambda status: None) -> None:
    """All pages in one transaction; others see the old database or the new one. begun: called after each few pages."""
    with suppress(FileExistsError):
        ownership.create(path, like=os.path.dirname(path))
    give_up_at = time.monotonic() + _PATIENCE_S

    def watch(status: int, *_: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > give_up_at:
            raise Unavailable(f"The database {path} is locked by another process; stop the panel too and try again.")
        begun(status)

    with closing(sqlite3.connect(path)) as target:
        source.backup(target, pages=_STEP, progress=watch, sleep=0.05)


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
        raise unavailable(error, path) from error
