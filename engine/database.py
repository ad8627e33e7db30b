"""SQLite as this program uses it: WAL mode, patient with locks, its errors turned into sentences."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import peewee
from peewee import DatabaseError, IntegrityError, OperationalError, SqliteDatabase

from engine.errors import InvalidInput, Unavailable


class Sqlite(SqliteDatabase):
    """SQLite in WAL mode. Waits for a lock in short random steps; its errors are sentences (Unavailable)."""

    patience_s = 10.0

    def connect(self, reuse_if_open: bool = False) -> Any:
        """Open this thread's connection; its first statements may meet a lock as any may."""
        return self.patiently(super().connect, reuse_if_open)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run one statement. A worker runs a handful for every job, so what goes well goes straight to the driver."""
        try:
            return self.connection().execute(sql, params or ())
        except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            return self.patiently(super().execute_sql, sql, params, met=error)

    def begin(self, lock_type: str | None = None) -> None:
        try:
            self.connection().execute(f"BEGIN {lock_type or self._lock_type}")  # type: ignore[attr-defined]
        except sqlite3.Error as error:
            self.patiently(super().begin, lock_type, met=error)

    def snapshot(self) -> Any:
        """A transaction whose every question is answered as of one instant; it keeps nobody from writing."""
        return self.transaction("DEFERRED")

    def commit(self) -> None:
        try:
            self.connection().execute("COMMIT")
        except sqlite3.Error as error:
            self.patiently(super().commit, met=error)

    def rollback(self) -> None:
        """Undo the transaction. A full or failing disk has undone it already; to undo it again would be an error."""
        if self.connection().in_transaction:
            super().rollback()

    def patiently(self, act: Any, *args: Any, met: Exception | None = None) -> Any:
        """Do it, waiting for a lock. `met`: how it has failed once already.

        Only a lock is a reason to try again: a full disk has ended the transaction, and what was a part of it would
        be stored alone.
        """
        give_up_at = None
        while True:
            try:
                with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                    if met is not None:
                        try:
                            raise met
                        finally:
                            met = None  # it holds the frames of all callers, and they would hold it
                    return act(*args)
            except IntegrityError:
                raise
            except UnicodeEncodeError as error:  # half a surrogate: a byte of an argument that is no UTF-8, mostly
                raise InvalidInput(
                    "What was given is not text in UTF-8; correct the characters it cannot hold."
                ) from error
            except OverflowError as error:
                raise InvalidInput("A number that was given is too large; give one of at most 18 digits.") from error
            except DatabaseError as error:
                sentence = str(error)
                if "locked" not in sentence and "busy" not in sentence:
                    raise unavailable(sentence, self.database) from error
                now = time.monotonic()
                give_up_at = give_up_at or now + self.patience_s
                if now > give_up_at:
                    raise unavailable(sentence, self.database) from error
            # Random steps of about a millisecond: SQLite's own back-off sleeps up to 100 ms.
            time.sleep(0.0002 + time.perf_counter_ns() % 1000 / 1_000_000)


_TROUBLE = (
    ("locked", "The database {path} is locked by another process; try again, or find who holds it open."),
    ("is full", "The disk that holds {path} is full; free some space and try again."),
    ("readonly", "The database {path} is read-only for this user; correct the permissions of the file and its folder."),
    ("disk I/O", "The disk that holds {path} reports an error or a full quota; free some space and check it."),
    ("malformed", "The database {path} is damaged; stop the workers and restore a backup."),
    ("not a database", "{path} is not a QueueCTL database; name another file with --db or QUEUECTL_DB."),
    ("unable to open", "Cannot open the database {path}; check that its folder exists and may be written to."),
    ("no such table", "The database {path} was deleted or replaced; restart QueueCTL to use the new one."),
)


def unavailable(sentence: str, path: str) -> Exception:
    """The error that says for people what SQLite's `sentence` means; OperationalError when no one can help it."""
    for word, says in _TROUBLE:
        if word in sentence:
            return Unavailable(says.format(path=path))
    return OperationalError(sentence)
