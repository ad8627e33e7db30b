"""What an operator needs: a trash, queues that pause, figures, bulk operations, changes of settings, saved views."""

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Check,
    CompositeKey,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
)

STATES = Check("state IN ('pending', 'processing', 'completed', 'failed', 'dead', 'cancelled', 'deleted')")
NEVER_REUSED = SQL("AUTOINCREMENT")

KEPT = """pk, id, queue, state, priority, next_run_at, run, attempts, crashes, max_retries, timeout_ms,
          cancel_requested, locked_by, locked_at, created_at, updated_at, finished_at, return_code, duration_ms,
          last_error, tags, cwd, env, command"""

# Those of the first schema went with its table.
INDEXES = (
    "CREATE UNIQUE INDEX job_id ON job (id)",
    "CREATE INDEX job_claim ON job (queue, priority DESC, next_run_at, pk) WHERE state IN ('pending', 'failed')",
    "CREATE INDEX job_state ON job (state, pk)",
    "CREATE INDEX job_dead ON job (finished_at, pk) WHERE state = 'dead'",
    "CREATE INDEX job_failures ON job (updated_at, pk) WHERE state IN ('failed', 'dead')",
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

# All partial: a job that is enqueued, run and done without any of this pays for none of them.
NEW_INDEXES = (
    "CREATE INDEX job_trash ON job (deleted_at, pk) WHERE state = 'deleted'",
    "CREATE INDEX job_trash_id ON job (deleted_id) WHERE state = 'deleted'",
    "CREATE INDEX job_operation ON job (operation, pk) WHERE operation IS NOT NULL",
    "CREATE INDEX job_origin ON job (origin, pk) WHERE origin IS NOT NULL",
    """CREATE INDEX attempt_output ON attempt (finished_at, job_pk, run)
         WHERE finished_at IS NOT NULL AND (length(stdout) > 0 OR length(stderr) > 0)""",
    "CREATE INDEX operation_running ON operation (updated_at) WHERE state = 'running'",
    "CREATE INDEX setting_change_key ON setting_change (key, pk)",
    "CREATE INDEX worker_heir ON worker (heir_of) WHERE heir_of IS NOT NULL",
)
WORKER_COLUMNS = ("heir_of", "rss_kb", "cpu_ms", "job_rss_kb", "job_cpu_ms", "sampled_at")


def up(migrator, db):
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False
            strict_tables = True

    class NewJob(Table):
        pk = BigAutoField(constraints=[NEVER_REUSED])
        id = TextField()
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
        operation = BigIntegerField(null=True)
        origin = TextField(null=True)
        retried_from = TextField(null=True)
        deleted_id = TextField(null=True)
        deleted_from = TextField(null=True)
        deleted_at = BigIntegerField(null=True)
        tags = TextField(null=True)
        cwd = TextField(null=True)
        env = TextField(null=True)
        command = TextField()

    class Queue(Table):
        name = TextField(primary_key=True)
        paused = BooleanField()
        max_running = IntegerField(null=True)
        actor = TextField()
        updated_at = BigIntegerField()

    class Stat(Table):
        span = SmallIntegerField()
        at = BigIntegerField()
        queue = TextField()
        outcome = TextField()
        bucket = SmallIntegerField()
        n = BigIntegerField()
        total_ms = BigIntegerField()

        class Meta:
            primary_key = CompositeKey("span", "at", "queue", "outcome", "bucket")
            without_rowid = True

    class History(Table):
        signature = TextField(primary_key=True)
        n = BigIntegerField()
        durations = TextField()
        success_job = BigIntegerField(null=True)
        success_run = IntegerField(null=True)

        class Meta:
            without_rowid = True

    class Operation(Table):
        pk = BigAutoField(constraints=[NEVER_REUSED])
        verb = TextField()
        scope = TextField()
        argument = TextField(null=True)
        actor = TextField()
        created_at = BigIntegerField()
        updated_at = BigIntegerField()
        newest = BigIntegerField()
        cursor = BigIntegerField()
        expected = BigIntegerField(null=True)
        done = BigIntegerField()
        skipped = BigIntegerField()
        failed = BigIntegerField()
        state = TextField()
        error = TextField(null=True)

    class SettingChange(Table):
        pk = BigAutoField(constraints=[NEVER_REUSED])
        key = TextField()
        before = TextField(null=True)
        after = TextField(null=True)
        actor = TextField()
        at = BigIntegerField()

    class View(Table):
        name = TextField(primary_key=True)
        query = TextField()
        actor = TextField()
        created_at = BigIntegerField()

    # A table's CHECK cannot be changed, so the jobs move to a new one. Their runs refer to it by its name; foreign
    # keys are off meanwhile (migration_context), else they would go with the old table.
    db.create_tables((NewJob, Queue, Stat, History, Operation, SettingChange, View), safe=False)
    db.execute_sql(f"INSERT INTO new_job ({KEPT}) SELECT {KEPT} FROM job ORDER BY pk")
    last = db.execute_sql("SELECT seq FROM sqlite_sequence WHERE name = 'job'").fetchone()
    db.execute_sql("DROP TABLE job")
    db.execute_sql("ALTER TABLE new_job RENAME TO job")
    if last:  # the key of a job that was deleted must not come back, also when it was the newest
        db.execute_sql("DELETE FROM sqlite_sequence WHERE name IN ('job', 'new_job')")
        db.execute_sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('job', ?)", last)
    for column in WORKER_COLUMNS:
        db.execute_sql(f"ALTER TABLE worker ADD COLUMN {column} INTEGER")
    for statement in INDEXES + COUNTERS + NEW_INDEXES:
        db.execute_sql(statement)
