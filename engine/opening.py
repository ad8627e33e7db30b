"""Opening a database file: where it is, who may read it, and which schema it has. Knows no table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

from engine import folding, ownership, presence
from engine.database import Sqlite
from engine.driver import MEMORY, Connection
from engine.errors import InvalidInput, Unavailable


def path_of(url: str) -> str:
    """The file that `url` names. Raises Unavailable when it cannot be one, InvalidInput when it is empty."""
    if url.startswith(("postgresql://", "postgres://")):
        raise Unavailable("This version of QueueCTL keeps its jobs in SQLite; give --db or QUEUECTL_DB a file's path.")
    if "\0" in url:
        raise Unavailable("No file's path holds a NUL byte; correct --db or QUEUECTL_DB.")
    if not url.removeprefix("sqlite:///").strip():
        raise InvalidInput("The name of the database is empty; correct --db or QUEUECTL_DB, or leave it out.", "db")
    path = os.path.realpath(url.removeprefix("sqlite:///"))
    if os.path.isdir(path):
        raise Unavailable(f"{path} is a folder; name a file in it, for example {os.path.join(path, 'queue.db')}.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise Unavailable(f"{path} is not a file; name one that holds the jobs, or none yet.")
    return path


def run_folder(path: str) -> str:
    """The folder beside the database with what this host needs to run it: locks, socket, log. Made if missing.

    Raises Unavailable when it is another user's or others may write it.
    """
    return ownership.run_folder(path)


def create_private(path: str) -> None:
    """Commands and their output may hold secrets: a new database is its owner's alone. Raises Unavailable."""
    try:
        ownership.create(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise Unavailable(f"Cannot create the database {path}: {error.strerror}; choose another place.") from error


def sqlite(path: str, *, durable: bool) -> Sqlite:
    """The database at `path`, not yet connected. durable: a commit returns only when it is on the disk."""
    found = Sqlite(
        path,
        lock_type="IMMEDIATE",
        timeout=0,
        factory=Connection,
        pragmas={
            "foreign_keys": 1,
            "synchronous": "FULL" if durable else "NORMAL",
            "temp_store": "MEMORY",
            "cache_size": -16_000,
            # Workers leave it to their supervisor; theirs is for when it is gone.
            "wal_autocheckpoint": 4_000 if durable else 32_000,
            "journal_size_limit": 64 * 1024 * 1024,
        },
    )
    found.register_function(folding.holds, "holds", 2, deterministic=True)
    found.register_function(folding.is_same, "is_same", 2, deterministic=True)
    return found


def bring_up_to_date(opened: Sqlite, migrations: str, newest: int) -> None:
    """Connect to the database and bring it to the schema `newest` by the numbered files in the folder `migrations`.

    Each file in one transaction, while no other process has the database open; from then on this process shares it, and
    no connection is opened when the schema is newer. Raises Unavailable when the database is another program's, newer
    than this one, or older and in use.
    """
    ownership.check_database(opened.database)
    try:
        opened.connect()
    finally:
        opened.newest_schema = newest
    _refuse_foreign(opened)
    _share(opened)
    while opened.schema_version() < newest:
        leave(opened)
        folder = run_folder(opened.database)
        with presence.in_turn(folder), _nobody_else(opened, folder, newest):
            if opened.schema_version() < newest:  # else another process was quicker
                _migrate(opened, migrations, newest)
        _share(opened)
    opened.refuse_newer()


def empty(migrations: str, newest: int) -> Sqlite:
    """A new database in memory, connected and of the schema `newest`: no file is made."""
    opened = sqlite(MEMORY, durable=False)
    opened.connect()
    _migrate(opened, migrations, newest)
    return opened


@contextmanager
def _nobody_else(opened: Sqlite, folder: str, newest: int) -> Iterator[None]:
    """No process of an older version lives while the block runs. Raises Unavailable when one does.

    A new file is of no version: what others may have open is one that was deleted.
    """
    version = opened.schema_version()
    if version == 0 or version >= newest:
        yield
        return
    why = f"{opened.database} has schema {version}, not {newest} yet"
    with presence.alone(folder, why):
        presence.refuse_workers(folder, why)
        yield


def leave(opened: Sqlite | None) -> None:
    """Be no longer one of those that have this database open, if there is one."""
    if opened is not None and opened.presence is not None:
        os.close(opened.presence)
        opened.presence = None


def _share(opened: Sqlite) -> None:
    with suppress(OSError):  # a user who may not write there; nobody who may not changes the schema either
        opened.presence = presence.share(run_folder(opened.database))


def _refuse_foreign(opened: Sqlite) -> None:
    version = opened.schema_version()
    tables = opened.get_tables()
    if (version or tables) and "schema_migration" not in tables:
        raise Unavailable(
            f"{opened.database} holds the tables of another program; name another file with --db or QUEUECTL_DB."
        )


def _migrate(opened: Sqlite, migrations: str, newest: int) -> None:
    from playhouse.migrations import Runner

    class Numbered(Runner):
        """Notes each migration's number in its own transaction: killed between two, the file is of the version before."""

        def _run(self, name: str, module: Any, direction: str, fake: bool = False) -> None:
            def up(migrator: Any, database: Sqlite) -> None:
                module.up(migrator, database)
                database.execute_sql(f"PRAGMA user_version = {int(name[:4])}")

            super()._run(name, SimpleNamespace(up=up), direction, fake)

    # Small pages: a commit writes whole pages to the log, and a job changes a few bytes on each of about six.
    opened.execute_sql("PRAGMA page_size = 2048")
    opened.execute_sql("PRAGMA auto_vacuum = INCREMENTAL")
    opened.execute_sql("PRAGMA journal_mode = WAL")
    runner = Numbered(opened, directory=migrations)
    if len(runner.migrations()) < newest:
        raise Unavailable(f"The folder {migrations} is incomplete; install QueueCTL again.")
    runner.up()
    opened.execute_sql(f"PRAGMA user_version = {newest}")  # when all were done before, and only the number was not
