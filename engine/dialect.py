"""The SQL that differs from one database to the other, and the hot statements. Nothing here decides anything.

Parameters are named (`:pk`). The states of waiting jobs are literals: a bound value would not use the index.
"""

WAITING = "state IN ('pending', 'failed')"
_BY = "INDEXED BY job_claim"  # SQLite refuses the statement rather than run it without the index

# Walks the queues, then the priorities of each, by index seeks alone: what waits for later costs nothing.
_LEVELS = f"""
WITH RECURSIVE
  queues (name) AS (
    SELECT (SELECT queue FROM job {_BY} WHERE {WAITING} ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM job {_BY} WHERE {WAITING} AND queue > name ORDER BY queue LIMIT 1) FROM queues WHERE name IS NOT NULL
  ),
  levels (queue, priority) AS (
    SELECT name, (SELECT priority FROM job {_BY} WHERE {WAITING} AND queue = name ORDER BY priority DESC LIMIT 1)
      FROM queues WHERE name IS NOT NULL
    UNION ALL
    SELECT queue, (SELECT priority FROM job j {_BY} WHERE {WAITING} AND j.queue = levels.queue
                     AND j.priority < levels.priority ORDER BY j.priority DESC LIMIT 1)
      FROM levels WHERE priority IS NOT NULL
  )
"""

# The only statement that hands out work; keep it one statement.
CLAIM = f"""{_LEVELS}
UPDATE job
   SET state = 'processing', run = run + 1, locked_by = :worker, locked_at = :now, updated_at = :now
 WHERE {WAITING} AND pk = (
   SELECT due.pk FROM levels JOIN job due ON due.pk = (
       SELECT j.pk FROM job j {_BY} WHERE {WAITING} AND j.queue = levels.queue AND j.priority = levels.priority
          AND j.next_run_at <= :now ORDER BY j.next_run_at, j.pk LIMIT 1)
   ORDER BY levels.priority DESC, due.next_run_at, due.pk LIMIT 1)
RETURNING pk, id, run, attempts, crashes, max_retries, timeout_ms, cwd, env, command
"""

# The instant the next waiting job is due, NULL when none waits.
NEXT_DUE = f"""{_LEVELS}
SELECT min((SELECT j.next_run_at FROM job j {_BY} WHERE {WAITING} AND j.queue = levels.queue
              AND j.priority = levels.priority ORDER BY j.next_run_at LIMIT 1))
  FROM levels WHERE priority IS NOT NULL
"""

# The one end of a run, for every outcome. Fenced: the run and its holder must still be the job's own.
END = """
UPDATE job
   SET state = CASE WHEN cancel_requested AND :state <> 'completed' THEN 'cancelled' ELSE :state END,
       attempts = attempts + :failures, crashes = crashes + :crashes, next_run_at = coalesce(:next_run_at, next_run_at),
       finished_at = CASE WHEN cancel_requested OR :state NOT IN ('pending', 'failed') THEN :now END,
       cancel_requested = 0, locked_by = NULL, locked_at = NULL, updated_at = :now,
       return_code = :return_code, duration_ms = :duration_ms, last_error = :error
 WHERE pk = :pk AND run = :run AND locked_by = :worker AND state = 'processing'
"""

BEGIN_ATTEMPT = """
INSERT INTO attempt (job_pk, run, worker, host, started_at, outcome)
VALUES (:pk, :run, :worker, :host, :now, 'running')
"""

END_ATTEMPT = """
UPDATE attempt
   SET outcome = :outcome, finished_at = :now, duration_ms = :duration_ms, return_code = :return_code,
       error = :error, user_ms = :user_ms, system_ms = :system_ms, max_rss_kb = :max_rss_kb,
       stdout = :stdout, stdout_bytes = :stdout_bytes, stdout_cut = :stdout_cut,
       stderr = :stderr, stderr_bytes = :stderr_bytes, stderr_cut = :stderr_cut
 WHERE job_pk = :pk AND run = :run
"""

SHOW_OUTPUT = """
UPDATE attempt
   SET stdout = :stdout, stdout_bytes = :stdout_bytes, stdout_cut = :stdout_cut,
       stderr = :stderr, stderr_bytes = :stderr_bytes, stderr_cut = :stderr_cut
 WHERE job_pk = :pk AND run = :run AND outcome = 'running'
"""

INSERT_JOB = """
INSERT INTO job (id, queue, state, priority, next_run_at, run, attempts, crashes, max_retries, timeout_ms,
                 cancel_requested, created_at, updated_at, tags, cwd, env, command)
VALUES (:id, :queue, 'pending', :priority, :next_run_at, 0, 0, 0, :max_retries, :timeout_ms,
        0, :now, :now, :tags, :cwd, :env, :command)
"""
