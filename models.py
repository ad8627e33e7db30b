"""The tables, and the one way to open them.

`connect()` binds every model to a database, brings its schema up to date under a lock and returns it.
Instants are integers: milliseconds since 1970 in UTC.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import Any

from peewee import (
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    Check,
    CompositeKey,
    DatabaseProxy,
    ForeignKeyField,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
)

from engine.database import Sqlite
from engine.errors import Unavailable

ROOT = os.path.dirname(os.path.abspath(__file__))
SCHEMA_VERSION = 1  # the number of the newest file in migrations/; a test compares them

STATES = ("pending", "processing", "completed", "failed", "dead", "cancelled")
OUTCOMES = ("running", "success", "failed", "timeout", "cancelled", "released", "lost")

db = DatabaseProxy()


class Table(Model):
    class Meta:
        database = db
        legacy_table_names = False
        strict_tables = True


def _one_of(column: str, values: tuple[str, ...]) -> Any:
    return Check(f"{column} IN ({', '.join(repr(value) for value in values)})")


class Job(Table):
    """One shell command and where it stands. Small on purpose: what its runs printed is in Attempt."""

    pk = BigAutoField()
    id = TextField(unique=True)
    queue = TextField(default="default")
    state = TextField(default="pending", constraints=[_one_of("state", STATES)])
    priority = SmallIntegerField(default=0)
    next_run_at = BigIntegerField()
    run = IntegerField(default=0)  # grows at every claim; the fence of every later write
    attempts = IntegerField(default=0)  # counted failures
    crashes = IntegerField(default=0)  # runs lost with their worker; they spend no retry
    max_retries = IntegerField(default=3)
    timeout_ms = BigIntegerField(null=True)  # NULL: what the config says; 0: none
    cancel_requested = BooleanField(default=False)
    locked_by = TextField(null=True)
    locked_at = BigIntegerField(null=True)
    created_at = BigIntegerField()
    updated_at = BigIntegerField()
    finished_at = BigIntegerField(null=True)
    return_code = IntegerField(null=True)
    duration_ms = BigIntegerField(null=True)
    last_error = TextField(null=True)
    tags = TextField(null=True)  # JSON array of strings
    cwd = TextField(null=True)
    env = TextField(null=True)  # JSON object of strings
    command = TextField()  # last, with the other long columns: what is read often lies before it


class Attempt(Table):
    """One run of a job: who ran it, how it ended, what it printed (bytes, the middle left out when long).

    Written when the run ends, or about a second after its start when it prints; a short job pays for one write.
    """

    job = ForeignKeyField(Job, backref="runs", column_name="job_pk", on_delete="CASCADE", index=False)
    run = IntegerField()
    worker = TextField()
    host = TextField()
    started_at = BigIntegerField()
    finished_at = BigIntegerField(null=True)
    duration_ms = BigIntegerField(null=True)
    outcome = TextField(default="running", constraints=[_one_of("outcome", OUTCOMES)])
    return_code = IntegerField(null=True)  # negative: ended by that signal
    error = TextField(null=True)
    user_ms = IntegerField(null=True)
    system_ms = IntegerField(null=True)
    max_rss_kb = BigIntegerField(null=True)
    stdout_bytes = BigIntegerField(default=0)  # all that was printed, also what is not kept
    stdout_cut = BigIntegerField(null=True)  # offset in stdout where the middle was left out
    stderr_bytes = BigIntegerField(default=0)
    stderr_cut = BigIntegerField(null=True)
    stdout = BlobField(null=True)
    stderr = BlobField(null=True)

    class Meta:
        table_name = "attempt"
        primary_key = CompositeKey("job", "run")
        without_rowid = True


class Worker(Table):
    """One worker process: `desired` is the wish (control writes it), `status` the fact (the supervisor does)."""

    pk = BigAutoField()
    host = TextField()
    pid = IntegerField(null=True)
    desired = TextField(default="run")  # run, drain, stop
    status = TextField(default="starting")  # starting, running, draining, stopping, stopped, lost
    early_deaths = IntegerField(default=0)  # in a row, before this one; drives the restart delay
    start_after = BigIntegerField(default=0)
    created_at = BigIntegerField()
    started_at = BigIntegerField(null=True)
    stopped_at = BigIntegerField(null=True)
    reason = TextField(null=True)  # why it ended, in words

    @property
    def id(self) -> str:
        return f"w{self.pk}"


class Supervisor(Table):
    """The one parent of a host's workers for this database. A row a life; the last one is the present one."""

    pk = BigAutoField()
    host = TextField()
    pid = IntegerField()
    started_at = BigIntegerField()
    beat_at = BigIntegerField()
    beat_seq = BigIntegerField(default=0)
    stopped_at = BigIntegerField(null=True)
    managed = BooleanField(default=False)  # kept alive by a process runner, also without workers
    note = TextField(null=True)  # what keeps it from its work, in words


class Config(Table):
    """The keys that were set; a key not here has its default (engine/config.py)."""

    key = TextField(primary_key=True)
    value = TextField()  # JSON
    updated_at = BigIntegerField()


class Counter(Table):
    """How many jobs are in each state, by queue; kept by triggers, so in the same transaction as the job."""

    queue = TextField()
    state = TextField()
    shard = SmallIntegerField(default=0)
    n = BigIntegerField()

    class Meta:
        table_name = "counter"
        primary_key = CompositeKey("queue", "state", "shard")
        without_rowid = True


class Meta(Table):
    """Facts about the database itself: `instance` is its random name, told to every job it runs."""

    key = TextField(primary_key=True)
    value = TextField()


TABLES = (Job, Attempt, Worker, Supervisor, Config, Counter, Meta)


def now_ms() -> int:
    """The present instant: milliseconds since 1970, UTC. The only reader of the wall clock in the engine."""
    return time.time_ns() // 1_000_000


def default_url() -> str:
    """Where the jobs are kept when nobody says otherwise: env QUEUECTL_DB, else queue.db beside the code."""
    return os.environ.get("QUEUECTL_DB") or os.path.join(ROOT, "queue.db")


def instance() -> str:
    """The random name of this database, the same for its whole life."""
    return Meta.get_by_id("instance").value


def run_folder(path: str | None = None) -> str:
    """The folder beside the database with what this host needs to run it: locks, socket, log. Made if missing."""
    folder = f"{path or db.database}.run"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def connect(url: str | None = None, *, durable: bool = True) -> Sqlite:
    """Open the database at `url` (a path; default `default_url()`) and bring its schema up to date.

    durable: a commit returns only when it is on the disk. Workers pass False for their own transitions.
    Raises Unavailable when it cannot be opened or its schema is newer than this code.
    """
    path = path_of(url)
    opened = Sqlite(
        path,
        lock_type="IMMEDIATE",
        timeout=0,
        pragmas={
            "foreign_keys": 1,
            "synchronous": "FULL" if durable else "NORMAL",
            "temp_store": "MEMORY",
            "cache_size": -16_000,
            "wal_autocheckpoint": 4_000,
            "journal_size_limit": 64 * 1024 * 1024,
        },
    )
    create_private(path)
    db.initialize(opened)
    opened.connect()
    version = opened.execute_sql("PRAGMA user_version").fetchone()[0]
    tables = opened.get_tables()
    if (version or tables) and "schema_migration" not in tables:
        raise Unavailable(f"{path} holds the tables of another program; name another file with --db or QUEUECTL_DB.")
    if version > SCHEMA_VERSION:
        raise Unavailable(
            f"The database {path} has schema {version}, newer than this program knows ({SCHEMA_VERSION}); "
            "upgrade QueueCTL to use it."
        )
    if version < SCHEMA_VERSION:
        _migrate(opened)
    return opened


def disconnect() -> None:
    """Close this process's connection, as must be done before a fork. `db.connect()` opens it again."""
    if not db.is_closed():
        db.close()


def path_of(url: str | None = None) -> str:
    """The file that `url` names (default `default_url()`). Raises Unavailable when it cannot be one."""
    url = url or default_url()
    if url.startswith(("postgresql://", "postgres://")):
        raise Unavailable("This version of QueueCTL keeps its jobs in SQLite; give --db or QUEUECTL_DB a file's path.")
    if "\0" in url:
        raise Unavailable("No file's path holds a NUL byte; correct --db or QUEUECTL_DB.")
    path = os.path.realpath(url.removeprefix("sqlite:///"))
    if os.path.isdir(path):
        raise Unavailable(f"{path} is a folder; name a file in it, for example {os.path.join(path, 'queue.db')}.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise Unavailable(f"{path} is not a file; name one that holds the jobs, or none yet.")
    return path


def create_private(path: str) -> None:
    """Commands and their output may hold secrets: a new database is its owner's alone."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise Unavailable(f"Cannot create the database {path}: {error.strerror}; choose another place.") from error


def _migrate(opened: Sqlite) -> None:
    from playhouse.migrations import Runner

    with _migration_lock(opened.database):
        if opened.execute_sql("PRAGMA user_version").fetchone()[0] >= SCHEMA_VERSION:
            return  # another process was quicker
        # Small pages: a commit writes whole pages to the log, and a job changes a few bytes on each of about six.
        opened.execute_sql("PRAGMA page_size = 2048")
        opened.execute_sql("PRAGMA auto_vacuum = INCREMENTAL")
        opened.execute_sql("PRAGMA journal_mode = WAL")
        runner = Runner(opened, directory=os.path.join(ROOT, "migrations"))
        runner.up()
        if len(runner.applied()) < SCHEMA_VERSION:
            raise Unavailable(f"The folder {runner.directory} is incomplete; install QueueCTL again.")
        opened.execute_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def _migration_lock(path: str) -> Any:
    with open(os.path.join(run_folder(path), "migrate.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
