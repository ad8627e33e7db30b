"""Python's driver of SQLite as this program uses it: whatever it raises, and whenever, is a sentence for people."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from engine.errors import Unavailable

MEMORY = ":memory:"  # the path of a database that is in no file
MISSING = "The database {path} was deleted or moved away; put it back, or restart QueueCTL to begin with an empty one."
DAMAGED = "The database {path} is damaged; stop the workers and restore a backup."
_TROUBLE = (
    ("locked", "The database {path} is locked by another process; try again, or find who holds it open."),
    ("is full", "The disk that holds {path} is full; free some space and try again."),
    ("readonly", "The database {path} is read-only for this user; correct the permissions of the file and its folder."),
    ("disk I/O", "The disk that holds {path} reports an error or a full quota; free some space and check it."),
    ("interrupted", "This takes more processor time than a page may have; narrow the filter, or ask in a shell."),
    ("malformed", DAMAGED),
    ("decode to UTF-8", DAMAGED),
    ("utf-8", DAMAGED),
    ("not a database", "{path} is not a QueueCTL database; name another file with --db or QUEUECTL_DB."),
    (
        "unable to open",
        "Cannot open the database {path}; check that its folder exists and may be written to, and that this process "
        "may open more files (ulimit -n).",
    ),
    ("no such table", "The database {path} was deleted or replaced; restart QueueCTL to use the new one."),
)


def unavailable(error: Exception, path: str) -> Unavailable:
    """The error that says for people what SQLite's error means."""
    sentence = str(error)
    if "unable to open" in sentence and not os.path.exists(path):
        return Unavailable(MISSING.format(path=path))
    for word, says in _TROUBLE:
        if word in sentence:
            return Unavailable(says.format(path=path))
    return Unavailable(f"The database {path} gave an error ({sentence}); 'queuectl doctor' looks for the cause.")


# Looked up once: a worker sends a handful of statements for every job.
_cursor, _fetchone = sqlite3.Connection.cursor, sqlite3.Cursor.fetchone
# SQLite quotes what it finds, so that the words of an error about a damaged file may be no text.
ERRORS = (sqlite3.Error, UnicodeDecodeError)


class Cursor(sqlite3.Cursor):
    """Rows are read one by one, long after their statement was sent. Raises Unavailable for a damaged page met then."""

    connection: Connection

    def fetchone(self) -> Any:
        try:
            return _fetchone(self)
        except ERRORS as error:
            raise unavailable(error, self.connection.path) from error

    def fetchmany(self, *size: Any) -> list[Any]:
        try:
            return super().fetchmany(*size)
        except ERRORS as error:
            raise unavailable(error, self.connection.path) from error

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except ERRORS as error:
            raise unavailable(error, self.connection.path) from error

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except ERRORS as error:
            raise unavailable(error, self.connection.path) from error


class Connection(sqlite3.Connection):
    """A connection whose cursors say in a sentence what goes wrong while rows are read.

    It opens the file that is there and makes none: an empty database in the place of one that was moved away would look
    like a queue without jobs. Files are made by opening.create_private alone.
    """

    def __init__(self, path: str, *args: Any, **kwargs: Any):
        self.path = path
        name = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        super().__init__(
            "file::memory:" if path == MEMORY else f"file://{name}?mode=rw", *args, **kwargs | {"uri": True}
        )

    def cursor(self, factory: Any = Cursor) -> Any:
        return _cursor(self, factory)

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        return _cursor(self, Cursor).execute(sql, parameters)
