"""Who stores jobs, or ends many that succeeded, counts them in one go; triggers count every other change one by one."""


def up(migrator, db):
    db.execute_sql("DROP TRIGGER job_counted_insert")
    db.execute_sql("DROP TRIGGER job_counted_update")
    db.execute_sql(
        """CREATE TRIGGER job_counted_update AFTER UPDATE OF state, queue ON job
             WHEN (OLD.state <> NEW.state OR OLD.queue <> NEW.queue)
              AND NOT (OLD.state = 'processing' AND NEW.state = 'completed') BEGIN
             UPDATE counter SET n = n - 1 WHERE queue = OLD.queue AND state = OLD.state AND shard = 0;
             INSERT INTO counter (queue, state, shard, n) VALUES (NEW.queue, NEW.state, 0, 1)
               ON CONFLICT (queue, state, shard) DO UPDATE SET n = n + 1;
           END"""
    )
