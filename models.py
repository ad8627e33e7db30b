"""The tables, and the one way to open them. Instants are integers: milliseconds since 1970 in UTC."""

from __future__ import annotations

import os

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

from engine import clock, opening
from engine.database import Sqlite

ROOT = os.path.dirname(os.path.abspath(__file__))
SCHEMA_VERSION = 7  # the number of the newest file in migrations/; a test compares them

STATES = ("pending", "processing", "completed", "failed", "dead", "cancelled")
STORED_STATES = (*STATES, "deleted")  # deleted: in the trash, hidden from everybody who does not ask for it
OUTCOMES = ("running", "success", "failed", "timeout", "cancelled", "released", "lost")
FAILED_RUNS = ("failed", "timeout", "lost")  # of the outcomes

db = DatabaseProxy()


class Table(Model):
    class Meta:
        database = db
        legacy_table_names = False
        strict_tables = True


class Job(Table):
    """One shell command and where it stands. Small on purpose: what its runs printed is in Attempt."""

    pk = BigAutoField()
    id = TextField(unique=True)
    queue = TextField(default="default")
    state = TextField(default="pending", constraints=[Check(f"state IN {STORED_STATES}")])
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
    operation = BigIntegerField(null=True)  # the bulk operation that touched it last
    origin = TextField(null=True)  # the id of the job that it was made from
    retried_from = TextField(null=True)  # JSON: where it stood before its last retry, to withdraw that
    deleted_id = TextField(null=True)  # in the trash: the id it had, free for another job meanwhile
    deleted_from = TextField(null=True)  # in the trash: the state it had
    deleted_at = BigIntegerField(null=True)
    tags = TextField(null=True)  # JSON array of strings
    cwd = TextField(null=True)
    env = TextField(null=True)  # JSON object of strings
    command = TextField()  # last, with the other long columns: what is read often lies before it
    cause = TextField(null=True)  # of a dead job: what its last error has in common with others (engine/causes.py)


class Attempt(Table):
    """One run of a job. Written when it ends, or about a second after its start when it prints: one write a short job."""

    job = ForeignKeyField(Job, backref="runs", column_name="job_pk", on_delete="CASCADE", index=False)
    run = IntegerField()
    worker = TextField()
    host = TextField()
    started_at = BigIntegerField()
    finished_at = BigIntegerField(null=True)
    duration_ms = BigIntegerField(null=True)
    outcome = TextField(default="running", constraints=[Check(f"outcome IN {OUTCOMES}")])
    return_code = IntegerField(null=True)  # negative: ended by that signal
    error = TextField(null=True)
    user_ms = IntegerField(null=True)
    system_ms = IntegerField(null=True)
    max_rss_kb = BigIntegerField(null=True)
    stdout_bytes = BigIntegerField(default=0)  # all that was printed, also what is not kept
    stdout_cut = BigIntegerField(null=True)  # offset in stdout where the middle was left out
    stderr_bytes = BigIntegerField(default=0)
    stderr_cut = BigIntegerField(null=True)
    stdout = BlobField(null=True)  # what is kept of it
    stderr = BlobField(null=True)
    stdout_cut_lines = BigIntegerField(null=True)  # line ends in the middle that was left out
    stderr_cut_lines = BigIntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("job", "run")
        without_rowid = True


class Worker(Table):
    """One worker process: `desired` is the wish (control writes it), `status` the fact (the supervisor does)."""

    pk = BigAutoField()
    host = TextField()
    pid = IntegerField(null=True)
    desired = TextField(default="run")  # run, drain, stop, kill
    status = TextField(default="starting")  # starting, running, draining, stopping, stopped, lost
    early_deaths = IntegerField(default=0)  # in a row, before this one; drives the restart delay
    start_after = BigIntegerField(default=0)
    created_at = BigIntegerField()
    started_at = BigIntegerField(null=True)
    stopped_at = BigIntegerField(null=True)
    reason = TextField(null=True)  # why it ended, in words
    heir_of = BigIntegerField(null=True)  # the worker that died and whose place it takes
    life = TextField(null=True, default=lambda: os.urandom(8).hex())  # its random name: numbers can be given again
    survivors = TextField(null=True)  # JSON: processes of its runs that cannot be ended (engine/survivors.py)
    rss_kb = BigIntegerField(null=True)  # what the supervisor measured last, of the worker itself
    cpu_ms = BigIntegerField(null=True)
    job_rss_kb = BigIntegerField(null=True)  # and of the processes of its job
    job_cpu_ms = BigIntegerField(null=True)
    sampled_at = BigIntegerField(null=True)

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
    """How many jobs are in each state, by queue; counted in the same transaction as the job changes."""

    queue = TextField()
    state = TextField()
    shard = SmallIntegerField(default=0)
    n = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("queue", "state", "shard")
        without_rowid = True


class Queue(Table):
    """What an operator decided for a queue; one that is not here runs without limits."""

    name = TextField(primary_key=True)
    paused = BooleanField(default=False)
    max_running = IntegerField(null=True)  # how many of its jobs may run at once; NULL: any number
    actor = TextField()
    updated_at = BigIntegerField()


class Stat(Table):
    """How many runs ended in a span of time, by outcome and by how long they took."""

    span = SmallIntegerField()  # minutes that the row stands for: 1 or 60
    at = BigIntegerField()  # where the span begins
    queue = TextField()
    outcome = TextField()
    bucket = SmallIntegerField()  # of durations, logarithmic
    n = BigIntegerField()
    total_ms = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("span", "at", "queue", "outcome", "bucket")
        without_rowid = True


class History(Table):
    """What earlier runs of the same command took, whatever jobs they were of."""

    signature = TextField(primary_key=True)  # a hash of command and cwd
    n = BigIntegerField()
    durations = TextField()  # JSON array: milliseconds of its last successful runs, the newest last
    success_job = BigIntegerField(null=True)  # its last success: the job's pk and the run
    success_run = IntegerField(null=True)

    class Meta:
        without_rowid = True


class Operation(Table):
    """One bulk action on the jobs that matched when it was asked for, and how far it has come."""

    pk = BigAutoField()
    verb = TextField()
    scope = TextField()  # JSON object: ids, a filter, or the operation that is undone
    argument = TextField(null=True)  # JSON
    actor = TextField()
    created_at = BigIntegerField()
    updated_at = BigIntegerField()
    newest = BigIntegerField()  # the pk of the newest job then: later ones are not meant
    cursor = BigIntegerField(default=0)  # how far it is done: a pk, or a place among the ids
    expected = BigIntegerField(null=True)  # NULL: nobody counted
    done = BigIntegerField(default=0)
    skipped = BigIntegerField(default=0)  # their state did not allow it
    failed = BigIntegerField(default=0)
    state = TextField(default="running")  # running, finished, undone
    error = TextField(null=True)  # why the first one failed, in words


class SettingChange(Table):
    """One change of a setting: from what to what (JSON; NULL: the default), by whom and when."""

    pk = BigAutoField()
    key = TextField()
    before = TextField(null=True)
    after = TextField(null=True)
    actor = TextField()
    at = BigIntegerField()


class View(Table):
    """A filter of the list of jobs that was saved under a name."""

    name = TextField(primary_key=True)
    query = TextField()  # as in the address of the list
    actor = TextField()
    created_at = BigIntegerField()


class Meta(Table):
    """Facts about the database itself: `instance` is its random name, told to every job it runs."""

    key = TextField(primary_key=True)
    value = TextField()


TABLES: tuple[type[Table], ...] = (Job, Attempt, Worker, Supervisor, Config, Counter, Meta)
TABLES += (Queue, Stat, History, Operation, SettingChange, View)


def now_ms() -> int:
    """The present instant: milliseconds since 1970, UTC. The one clock of the engine (engine/clock.py)."""
    return clock.now_ms()


def instance() -> str:
    """The random name of this database, the same for its whole life."""
    return Meta.get_by_id("instance").value


def run_folder(path: str | None = None) -> str:
    """The folder beside the database with what this host needs to run it. Made if missing."""
    return opening.run_folder(path or db.database)


def path_of(url: str | None = None) -> str:
    """The file that `url` names; default: env QUEUECTL_DB, else queue.db beside the code. Raises QueueError."""
    return opening.path_of(os.environ.get("QUEUECTL_DB", os.path.join(ROOT, "queue.db")) if url is None else url)


def connect(url: str | None = None, *, durable: bool = True, create: bool = True) -> Sqlite:
    """Bind every table to the database at `url` (see `path_of`), bring its schema up to date and return it.

    durable: a commit returns only when it is on the disk (workers pass False). create: make the file when there is none.
    Raises Unavailable when it cannot be opened, its schema is newer than this code, or older and in use.
    """
    opened = opening.sqlite(path_of(url), durable=durable)
    clock.keep_in(f"{opened.database}.run")
    if create:
        opening.create_private(opened.database)
    opening.leave(db.obj)
    db.initialize(opened)
    opening.bring_up_to_date(opened, os.path.join(ROOT, "migrations"), SCHEMA_VERSION)
    return opened


def disconnect() -> None:
    """Close this process's connection, as before a fork; it opens again by itself. The schema is still kept for it."""
    db.close()
