"""The first schema. A frozen copy of the models of its day: never import the application's models here."""

import uuid

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    Check,
    CompositeKey,
    ForeignKeyField,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
)

STATES = Check("state IN ('pending', 'processing', 'completed', 'failed', 'dead', 'cancelled')")
OUTCOMES = Check("outcome IN ('running', 'success', 'failed', 'timeout', 'cancelled', 'released', 'lost')")

# A fence is a pk and a run: the pk of a deleted job must not come back as another job's.
NEVER_REUSED = SQL("AUTOINCREMENT")

INDEXES = (
    # The only index a claim touches. Its states are literals, in the query too: a bound value would not use it.
    "CREATE INDEX job_claim ON job (queue, priority DESC, next_run_at, pk) WHERE state IN ('pending', 'failed')",
    "CREATE INDEX job_state ON job (state, pk)",
    "CREATE INDEX job_dead ON job (finished_at, pk) WHERE state = 'dead'",
    "CREATE INDEX job_failures ON job (updated_at, pk) WHERE state IN ('failed', 'dead')",
    "CREATE INDEX worker_alive ON worker (pk) WHERE stopped_at IS NULL",
)

COUNTERS = (
    """CREATE TRIGGER job_counted_insert AFTER INSERT ON job BEGIN
         INSERT INTO counter (queue, state, shard, n) VALUES (NEW.queue, NEW.state, 0, 1)
           ON CONFLICT (queue, state, shard) DO UPDATE SET n = n + 1;
       END""",
    """CREATE TRIGGER job_counted_delete AFTER DELETE ON job BEGIN
         UPDATE counter SET n = n - 1 WHERE queue = OLD.queue AND state = OLD.state AND shard = 0;
       END""",
    """CREATE TRIGGER job_counted_update AFTER UPDATE OF state, queue ON job
       WHEN OLD.state <> NEW.state OR OLD.queue <> NEW.queue BEGIN
         UPDATE counter SET n = n - 1 WHERE queue = OLD.queue AND state = OLD.state AND shard = 0;
         INSERT INTO counter (queue, state, shard, n) VALUES (NEW.queue, NEW.state, 0, 1)
           ON CONFLICT (queue, state, shard) DO UPDATE SET n = n + 1;
       END""",
)


def up(migrator, db):
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False
            strict_tables = True

    class Job(Table):
        pk = BigAutoField(constraints=[NEVER_REUSED])
        id = TextField(unique=True)
        queue = TextField()
        state = TextField(constraints=[STATES])
        priority = SmallIntegerField()
        next_run_at = BigIntegerField()
        run = IntegerField()
        attempts = IntegerField()
        crashes = IntegerField()
        max_retries = IntegerField()
        timeout_ms = BigIntegerField(null=True)
        cancel_requested = BooleanField()
        locked_by = TextField(null=True)
        locked_at = BigIntegerField(null=True)
        created_at = BigIntegerField()
        updated_at = BigIntegerField()
        finished_at = BigIntegerField(null=True)
        return_code = IntegerField(null=True)
        duration_ms = BigIntegerField(null=True)
        last_error = TextField(null=True)
        tags = TextField(null=True)
        cwd = TextField(null=True)
        env = TextField(null=True)
        command = TextField()

    class Attempt(Table):
        job = ForeignKeyField(Job, column_name="job_pk", on_delete="CASCADE", index=False)
        run = IntegerField()
        worker = TextField()
        host = TextField()
        started_at = BigIntegerField()
        finished_at = BigIntegerField(null=True)
        duration_ms = BigIntegerField(null=True)
        outcome = TextField(constraints=[OUTCOMES])
        return_code = IntegerField(null=True)
        error = TextField(null=True)
        user_ms = IntegerField(null=True)
        system_ms = IntegerField(null=True)
        max_rss_kb = BigIntegerField(null=True)
        stdout_bytes = BigIntegerField(constraints=[SQL("DEFAULT 0")])
        stdout_cut = BigIntegerField(null=True)
        stderr_bytes = BigIntegerField(constraints=[SQL("DEFAULT 0")])
        stderr_cut = BigIntegerField(null=True)
        stdout = BlobField(null=True)
        stderr = BlobField(null=True)

        class Meta:
            primary_key = CompositeKey("job", "run")
            without_rowid = True

    class Worker(Table):
        pk = BigAutoField()
        host = TextField()
        pid = IntegerField(null=True)
        desired = TextField()
        status = TextField()
        early_deaths = IntegerField()
        start_after = BigIntegerField()
        created_at = BigIntegerField()
        started_at = BigIntegerField(null=True)
        stopped_at = BigIntegerField(null=True)
        reason = TextField(null=True)

    class Supervisor(Table):
        pk = BigAutoField()
        host = TextField()
        pid = IntegerField()
        started_at = BigIntegerField()
        beat_at = BigIntegerField()
        beat_seq = BigIntegerField()
        stopped_at = BigIntegerField(null=True)
        managed = BooleanField()
        note = TextField(null=True)

    class Config(Table):
        key = TextField(primary_key=True)
        value = TextField()
        updated_at = BigIntegerField()

    class Counter(Table):
        queue = TextField()
        state = TextField()
        shard = SmallIntegerField()
        n = BigIntegerField()

        class Meta:
            primary_key = CompositeKey("queue", "state", "shard")
            without_rowid = True

    class Meta(Table):
        key = TextField(primary_key=True)
        value = TextField()

    db.create_tables((Job, Attempt, Worker, Supervisor, Config, Counter, Meta), safe=False)
    for statement in INDEXES + COUNTERS:
        db.execute_sql(statement)
    Meta.insert(key="instance", value=uuid.uuid4().hex[:12]).execute()
