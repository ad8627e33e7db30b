"""What a supervisor stands on: the database at its path and the lock in the run folder, as they were when it began.

Someone may delete or replace either of them. SQLite and the kernel go on with the old file; nobody else sees it. Or a newer
version may have changed the schema, where the locks did not keep it from that.
"""

from __future__ import annotations

import os

from models import db
from workers import locks


class Ground:
    """The files of one supervisor, recognized by device and inode."""

    def __init__(self, database: str, folder: str, lock: int):
        self.database = database
        self.folder = folder
        self.lock = _name(os.fstat(lock))
        self.file = _name(os.stat(database))

    def loss(self) -> str | None:
        """What was taken away, in words; None while all is as it was."""
        try:
            if _name(os.stat(self.database)) != self.file:
                return f"The database {self.database} was replaced."
        except FileNotFoundError:
            return f"The database {self.database} was deleted or moved away."
        try:
            if _name(os.stat(locks.of_supervisor(self.folder))) == self.lock:
                return db.newer_schema()
        except FileNotFoundError:
            pass
        return f"The folder {self.folder} was deleted or replaced."


def _name(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
