"""An index of what waits by priority alone: unless a queue is paused or limited, it says whose turn it is."""


def up(migrator, db):
    db.execute_sql("CREATE INDEX job_due ON job (priority DESC, next_run_at, pk) WHERE state IN ('pending', 'failed')")
