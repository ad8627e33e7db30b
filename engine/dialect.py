"""The SQL that differs from one database to the other, and the hot statements. Nothing here decides anything.

Parameters are named (`:pk`). The states of waiting jobs are literals: a bound value would not use the index.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from peewee import SQL, NodeList, Value, fn

from engine.folding import fold

WAITING = "state IN ('pending', 'failed')"
_BY = "INDEXED BY job_claim"  # SQLite refuses the statement rather than run it without the index
_BY_DUE = "INDEXED BY job_due"

_RUNNING = "(SELECT sum(n) FROM counter WHERE counter.queue = queue.name AND state = 'processing')"

# Walks the queues, then the priorities of each, by index seeks alone: what waits for later costs nothing.
# Only a queue that somebody paused or limited has a row in the table of queues.
_LEVELS = f"""
WITH RECURSIVE
  closed (name) AS (
    SELECT name FROM queue WHERE paused OR max_running <= coalesce({_RUNNING}, 0)
  ),
  queues (name) AS (
    SELECT (SELECT queue FROM job {_BY} WHERE {WAITING} ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM job {_BY} WHERE {WAITING} AND queue > name ORDER BY queue LIMIT 1) FROM queues WHERE name IS NOT NULL
  ),
  levels (queue, priority) AS (
    SELECT name, (SELECT priority FROM job {_BY} WHERE {WAITING} AND queue = name ORDER BY priority DESC LIMIT 1)
      FROM queues WHERE name IS NOT NULL AND name NOT IN closed
    UNION ALL
    SELECT queue, (SELECT priority FROM job j {_BY} WHERE {WAITING} AND j.queue = levels.queue
                     AND j.priority < levels.priority ORDER BY j.priority DESC LIMIT 1)
      FROM levels WHERE priority IS NOT NULL
  )
"""

# Whether somebody paused or limited a queue: then whose turn it is depends on the queue, else on the priority alone.
DECIDED = "SELECT EXISTS (SELECT 1 FROM queue WHERE paused OR max_running IS NOT NULL)"

# The only statement that hands out work; keep it one statement. It takes up to :reach jobs of the highest priority that
# has one due, in the order in which they were due. :decided: of one queue that is open, and no more than it has room for.
CLAIM = f"""{_LEVELS},
  most_urgent (queue, priority) AS (
    SELECT levels.queue, levels.priority FROM levels JOIN job due ON due.pk = (
        SELECT j.pk FROM job j {_BY} WHERE {WAITING} AND j.queue = levels.queue AND j.priority = levels.priority
           AND j.next_run_at <= :now ORDER BY j.next_run_at, j.pk LIMIT 1)
    ORDER BY levels.priority DESC, due.next_run_at, due.pk LIMIT 1),
  priorities (priority, has_due) AS (
    SELECT priority, next_run_at <= :now FROM job WHERE pk = (
        SELECT pk FROM job {_BY_DUE} WHERE {WAITING} ORDER BY priority DESC, next_run_at LIMIT 1)
    UNION ALL
    SELECT j.priority, j.next_run_at <= :now FROM priorities JOIN job j ON j.pk = (
        SELECT pk FROM job {_BY_DUE} WHERE {WAITING} AND priority < priorities.priority
         ORDER BY priority DESC, next_run_at LIMIT 1)
     WHERE NOT has_due
  )
UPDATE job
   SET state = 'processing', run = run + 1, locked_by = :worker, locked_at = :now, updated_at = :now
 WHERE +{WAITING} AND pk IN (
   SELECT pk FROM (
     SELECT j.pk FROM job j {_BY_DUE} WHERE NOT :decided AND {WAITING}
        AND j.priority = (SELECT priority FROM priorities WHERE has_due) AND j.next_run_at <= :now
      ORDER BY j.next_run_at, j.pk LIMIT :reach)
   UNION ALL
   SELECT pk FROM (
     SELECT j.pk FROM job j {_BY} WHERE :decided AND {WAITING}
        AND (j.queue, j.priority) = (SELECT queue, priority FROM most_urgent) AND j.next_run_at <= :now
      ORDER BY j.next_run_at, j.pk
      LIMIT CASE WHEN :decided THEN min(:reach, coalesce(
        (SELECT max_running - coalesce({_RUNNING}, 0) FROM queue WHERE name = (SELECT queue FROM most_urgent)), :reach))
      ELSE 0 END))
RETURNING pk, id, run, attempts, crashes, max_retries, timeout_ms, cwd, env, command, queue,
          (SELECT json_group_object(key, json(value)) FROM config), next_run_at
"""

# A run that was never begun leaves no trace: its number is the next one's. Fenced like END.
PUT_BACK = """
UPDATE job
   SET state = CASE WHEN cancel_requested THEN 'cancelled' WHEN attempts > 0 THEN 'failed' ELSE 'pending' END,
       run = run - 1, finished_at = CASE WHEN cancel_requested THEN :now END,
       cancel_requested = 0, locked_by = NULL, locked_at = NULL, updated_at = :now
 WHERE pk = :pk AND run = :run AND locked_by = :worker AND state = 'processing'
"""

# The instant the next waiting job is due, NULL when none waits.
NEXT_DUE = f"""{_LEVELS}
SELECT min((SELECT j.next_run_at FROM job j {_BY} WHERE {WAITING} AND j.queue = levels.queue
              AND j.priority = levels.priority ORDER BY j.next_run_at LIMIT 1))
  FROM levels WHERE priority IS NOT NULL
"""

# How many due jobs a claim would take before this one, counted up to :most. Three seeks a level, whatever waits there:
# the plus keeps SQLite from seeking by the bound instead of by the level.
AHEAD = f"""{_LEVELS}
SELECT count(*) FROM (
  SELECT 1 FROM levels CROSS JOIN job j {_BY} ON {WAITING} AND j.queue = levels.queue AND j.priority = levels.priority
   WHERE +levels.priority > :priority AND j.next_run_at <= :now
  UNION ALL
  SELECT 1 FROM levels CROSS JOIN job j {_BY} ON {WAITING} AND j.queue = levels.queue AND j.priority = levels.priority
   WHERE +levels.priority = :priority AND j.next_run_at < :next_run_at
  UNION ALL
  SELECT 1 FROM levels CROSS JOIN job j {_BY} ON {WAITING} AND j.queue = levels.queue AND j.priority = levels.priority
   WHERE +levels.priority = :priority AND j.next_run_at = :next_run_at AND j.pk < :pk
  LIMIT :most)
"""

# The one end of a run, for every outcome. Fenced: the run and its holder must still be the job's own.
END = """
UPDATE job
   SET state = CASE WHEN cancel_requested AND :state <> 'completed' THEN 'cancelled' ELSE :state END,
       attempts = attempts + :failures, crashes = crashes + :crashes, next_run_at = coalesce(:next_run_at, next_run_at),
       finished_at = CASE WHEN cancel_requested OR :state NOT IN ('pending', 'failed') THEN :now END,
       cancel_requested = 0, locked_by = NULL, locked_at = NULL, updated_at = :now,
       return_code = :return_code, duration_ms = :duration_ms, last_error = :error, cause = :cause
 WHERE pk = :pk AND run = :run AND locked_by = :worker AND state = 'processing'
"""

_ATTEMPT = """
INSERT INTO attempt (job_pk, run, worker, host, started_at, finished_at, duration_ms, outcome, return_code, error,
                     user_ms, system_ms, max_rss_kb,
                     stdout_bytes, stdout_cut, stdout_cut_lines, stderr_bytes, stderr_cut, stderr_cut_lines, stdout, stderr)
"""
_OUTPUT = """stdout_bytes = excluded.stdout_bytes, stdout_cut = excluded.stdout_cut, stdout_cut_lines = excluded.stdout_cut_lines,
       stderr_bytes = excluded.stderr_bytes, stderr_cut = excluded.stderr_cut,
       stderr_cut_lines = excluded.stderr_cut_lines,
       stdout = excluded.stdout, stderr = excluded.stderr"""
_ENDING = """outcome = excluded.outcome, finished_at = excluded.finished_at,
       duration_ms = excluded.duration_ms, return_code = excluded.return_code, error = excluded.error,
       user_ms = excluded.user_ms, system_ms = excluded.system_ms, max_rss_kb = excluded.max_rss_kb"""

END_ATTEMPT = f"""{_ATTEMPT}
VALUES (:pk, :run, :worker, :host, :started_at, :now, :duration_ms, :outcome, :return_code, :error,
        :user_ms, :system_ms, :max_rss_kb,
        :stdout_bytes, :stdout_cut, :stdout_cut_lines, :stderr_bytes, :stderr_cut, :stderr_cut_lines, :stdout, :stderr)
ON CONFLICT (job_pk, run) DO UPDATE SET {_ENDING}, {_OUTPUT}
"""

# The clock shows :now where it would have shown :before: what was due stays due, retries wait no longer than they did.
# Only what was written by the clock that ran ahead; an instant that a person chose stays that instant.
# What has followed counts as written now, so that a second look at the same step moves nothing.
FOLLOW_CLOCK = f"""
UPDATE job
   SET next_run_at = CASE WHEN next_run_at <= :before THEN :now ELSE next_run_at - (:before - :now) END,
       updated_at = :now
 WHERE {WAITING} AND updated_at > :now AND next_run_at > :now AND (next_run_at <= :before OR state = 'failed')
"""

# What a lost run printed until then stays as it was shown.
LOSE_ATTEMPT = f"""{_ATTEMPT}
VALUES (:pk, :run, :worker, :host, :started_at, :now, :duration_ms, 'lost', NULL, :error,
        NULL, NULL, NULL, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL)
ON CONFLICT (job_pk, run) DO UPDATE SET {_ENDING}
"""

# Fenced like END: only the run that holds the job may show what it prints.
SHOW_OUTPUT = f"""{_ATTEMPT}
SELECT :pk, :run, :worker, :host, :started_at, NULL, NULL, 'running', NULL, NULL, NULL, NULL, NULL,
       :stdout_bytes, :stdout_cut, :stdout_cut_lines, :stderr_bytes, :stderr_cut, :stderr_cut_lines, :stdout, :stderr
  FROM job WHERE pk = :pk AND run = :run AND locked_by = :worker AND state = 'processing'
ON CONFLICT (job_pk, run) DO UPDATE SET {_OUTPUT}
"""

COUNT_JOBS = """
INSERT INTO counter (queue, state, shard, n) VALUES (?, ?, 0, ?)
ON CONFLICT (queue, state, shard) DO UPDATE SET n = n + excluded.n
"""

COUNT_RUNS = """
INSERT INTO stat (span, at, queue, outcome, bucket, n, total_ms) VALUES (1, ?, ?, ?, ?, ?, ?)
ON CONFLICT (span, at, queue, outcome, bucket) DO UPDATE SET n = n + excluded.n, total_ms = total_ms + excluded.total_ms
"""

ROLL_UP = """
INSERT INTO stat (span, at, queue, outcome, bucket, n, total_ms)
SELECT 60, ?, queue, outcome, bucket, sum(n), sum(total_ms) FROM stat WHERE span = 1 AND at >= ? AND at < ?
 GROUP BY queue, outcome, bucket
ON CONFLICT (span, at, queue, outcome, bucket) DO UPDATE SET n = n + excluded.n, total_ms = total_ms + excluded.total_ms
"""

# The last twenty are enough to know what is usual.
REMEMBER = """
INSERT INTO history (signature, n, durations, success_job, success_run) VALUES (:signature, 1, json_array(:ms), :pk, :run)
ON CONFLICT (signature) DO UPDATE
   SET n = n + 1, success_job = :pk, success_run = :run,
       durations = json_insert(iif(json_array_length(durations) < 20, durations, json_remove(durations, '$[0]')), '$[#]', :ms)
"""

# SQLite would rather read and sort every failed and dead job; only the index has them in this order.
LAST_FAILURES = """
SELECT * FROM job INDEXED BY job_failures WHERE state IN ('failed', 'dead') ORDER BY updated_at DESC, pk DESC LIMIT ?
"""

# The dead by the instant of their death; SQLite would rather sort them. Its name is the one Peewee gives the first table.
BY_DEATH = '"job" AS "t1" INDEXED BY "job_dead"'

# How many died since an instant, counted up to a limit.
DEATHS = """
SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_dead WHERE state = 'dead' AND finished_at >= ? LIMIT ?)
"""

# The trash: the newest first, of one id, and from a deletion (instant, pk) forwards.
_TRASH = "SELECT * FROM job INDEXED BY job_trash WHERE state = 'deleted'"
TRASH = f"{_TRASH} ORDER BY deleted_at DESC, pk DESC LIMIT ?"
TRASH_OF_ID = """
SELECT * FROM job INDEXED BY job_trash_id WHERE state = 'deleted' AND deleted_id = ?
 ORDER BY deleted_at DESC, pk DESC LIMIT 1
"""
OLD_TRASH = f"{_TRASH} AND (deleted_at, pk) > (?, ?) AND deleted_at < ? ORDER BY deleted_at, pk LIMIT ?"

# Runs that hold output still, the oldest first, from a run (end, job, run) forwards. The condition is the index's own.
OLD_OUTPUT = """
SELECT finished_at, job_pk, run FROM attempt INDEXED BY attempt_output
 WHERE finished_at IS NOT NULL AND (length(stdout) > 0 OR length(stderr) > 0)
   AND (finished_at, job_pk, run) > (?, ?, ?) AND finished_at < ?
 ORDER BY finished_at, job_pk, run LIMIT ?
"""

# What waits in each of these queues (a JSON array): since when its first job is due, or will be; how many are due and how
# many are not, counted up to :most in each priority; the most that were counted of either in one priority. Seeks alone;
# MATERIALIZED, else SQLite would count twice, for the sum and for the most.
_OF_LEVEL = f"FROM job j {_BY} WHERE {WAITING} AND j.queue = levels.queue AND j.priority = levels.priority"
DEPTHS_OF_QUEUES = f"""
WITH RECURSIVE levels (queue, priority) AS (
    SELECT value, (SELECT priority FROM job {_BY} WHERE {WAITING} AND queue = value ORDER BY priority DESC LIMIT 1)
      FROM json_each(:queues)
    UNION ALL
    SELECT queue, (SELECT priority FROM job j {_BY} WHERE {WAITING} AND j.queue = levels.queue
                     AND j.priority < levels.priority ORDER BY j.priority DESC LIMIT 1)
      FROM levels WHERE priority IS NOT NULL
), counted AS MATERIALIZED (
    SELECT queue,
           (SELECT j.next_run_at {_OF_LEVEL} ORDER BY j.next_run_at LIMIT 1) AS first,
           (SELECT count(*) FROM (SELECT 1 {_OF_LEVEL} AND j.next_run_at <= :now LIMIT :most)) AS due,
           (SELECT count(*) FROM (SELECT 1 {_OF_LEVEL} AND j.next_run_at > :now LIMIT :most)) AS delayed
      FROM levels WHERE priority IS NOT NULL
)
SELECT queue, min(first), sum(due), sum(delayed), max(due), max(delayed) FROM counted GROUP BY queue
"""


# The runs that ended, by the bar of a chart that they belong to, outcome and duration. Old minutes became hours
# (ROLL_UP): no run is in both.
ENDED = """
SELECT (at - :begins) / :bar_ms AS place, outcome, bucket, sum(n)
  FROM stat WHERE span IN (1, 60) AND at >= :begins AND at < :begins + :length GROUP BY place, outcome, bucket
"""

# How many completed and failed in the time before, up to an instant; without groups, for those SQLite would sort.
ENDED_BEFORE = """
SELECT coalesce(sum(n * (outcome = 'success')), 0), coalesce(sum(n * (outcome IN ('failed', 'timeout', 'lost'))), 0)
  FROM stat WHERE span IN (1, 60) AND at >= :begins - :length AND at < :begins AND at - at % :unit <= :now - :length
"""

# When the job of this key, or the first after it that is still there, was enqueued.
ARRIVAL = "SELECT created_at FROM job WHERE pk >= ? ORDER BY pk LIMIT 1"

# How many of the jobs with these keys (a JSON array) wait neither for later nor in one of these queues (another).
MAY_RUN = f"""
SELECT count(*) FROM job WHERE pk IN (SELECT value FROM json_each(:keys)) AND state <> 'deleted'
   AND NOT ({WAITING} AND (next_run_at > :now OR queue IN (SELECT value FROM json_each(:paused))))
"""


def insert_jobs(also: Iterable[str]) -> str:
    """The statement that stores a new job. also: the columns that it sets beside those that every job has a value for."""
    more = "".join(f", {name}" for name in also)
    return f"""
INSERT INTO job (id, queue, state, priority, next_run_at, run, attempts, crashes, max_retries,
                 cancel_requested, created_at, updated_at, command{more})
VALUES (:id, :queue, 'pending', :priority, :next_run_at, 0, 0, 0, :max_retries,
        0, :now, :now, :command{more.replace(", ", ", :")})
"""


def insert(table: str, columns: Iterable[str]) -> str:
    """The statement that stores a row as it is; its parameters have the names of the columns."""
    names = tuple(columns)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES (:{', :'.join(names)})"


def has_tag(tags: Any, tag: str) -> Any:
    """Whether the JSON array in the column `tags` holds this whole tag, in either case."""
    is_same = fn.is_same(SQL("value"), fold(tag))
    return NodeList((SQL("EXISTS (SELECT 1 FROM json_each("), tags, SQL(") WHERE"), is_same, SQL(")")))


def is_like(column: Any, pattern: str) -> Any:
    """Whether the whole text is like the pattern, in which * is any text."""
    return NodeList((column, SQL("GLOB"), Value(pattern)))


def holds_text(data: Any, text: str) -> Any:
    """Whether the text, or the bytes read as text, hold this one, in either case (see engine/folding.py)."""
    return fn.holds(data, fold(text))
