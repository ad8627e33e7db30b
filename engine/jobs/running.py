"""The runs of a job: claimed by a worker, ended by it or, when it died, by its supervisor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import models
from engine import config, counters, dialect, plan, tally
from engine.errors import StaleClaim
from engine.output import EMPTY, Output
from models import Job, db


class Claim(NamedTuple):
    """A run that a worker holds: what to run, and the fence (pk, run, worker) of every later write."""

    pk: int
    id: str
    run: int
    attempts: int
    crashes: int
    max_retries: int
    timeout_ms: int | None
    cwd: str | None
    env: str | None
    command: str
    worker: str
    host: str
    started_at: int
    queue: str = "default"
    settings: str = "{}"  # those that were set, as JSON; read in the same instant


class Ending(NamedTuple):
    """How a run ended. `return_code` is negative for a signal, None when nothing was started."""

    return_code: int | None = None
    error: str | None = None
    duration_ms: int | None = None
    user_ms: int | None = None
    system_ms: int | None = None
    max_rss_kb: int | None = None
    stdout: Output = EMPTY
    stderr: Output = EMPTY


class Ended(NamedTuple):
    """A run that is over. `outcome`: success, failed, timeout, cancelled or released."""

    held: Claim
    outcome: str
    ending: Ending


def claim(worker: str, host: str) -> Claim | None:
    """Hand the most urgent due job to `worker`: highest priority first, then oldest. None when nothing is due."""
    with db.transaction():
        return next(iter(_claim(worker, host, 1)), None)


def turn(
    worker: str, host: str, ended: Sequence[Ended] = (), unbegun: Sequence[Claim] = (), reach: int = 0
) -> tuple[list[Claim], list[Claim]]:
    """Store how runs ended, give back what was never begun, and claim up to `reach` jobs: one transaction.

    Returns the new claims, most urgent first, and those of the ended runs that had been taken over: their ends are
    dropped. Several at once are of one priority.
    """
    with db.transaction():
        stale = _store_all(ended)
        put_back(unbegun)
        return _claim(worker, host, reach) if reach else [], stale


def put_back(unbegun: Iterable[Claim]) -> None:
    """Give back jobs whose commands were never started, as if nobody had claimed them."""
    now = models.now_ms()
    with db.transaction():
        for held in unbegun:
            db.execute_sql(dialect.PUT_BACK, _fence(held) | {"now": now})


def end(run: Ended) -> None:
    """Store how a run ended. Raises StaleClaim if the job was taken over."""
    held = run.held
    with db.transaction():
        if _store_all([run]):
            raise StaleClaim(f"Job {held.id} is no longer held by run {held.run} of {held.worker}.")


def complete(held: Claim, ending: Ending) -> None:
    """The command succeeded. Raises StaleClaim if the job was taken over."""
    end(Ended(held, "success", ending))


def fail(held: Claim, ending: Ending, outcome: str = "failed") -> None:
    """The command failed (outcome: failed or timeout): retry later, or dead after the last retry.

    Raises StaleClaim if the job was taken over.
    """
    end(Ended(held, outcome, ending))


def cancelled(held: Claim, ending: Ending) -> None:
    """The command was stopped because its job was cancelled. Raises StaleClaim if the job was taken over."""
    end(Ended(held, "cancelled", ending))


def release(held: Claim, ending: Ending) -> None:
    """Give the job back; the run does not count. Raises StaleClaim if it was taken over."""
    end(Ended(held, "released", ending))


def lose(pk: int, run: int, worker: str, host: str, reason: str) -> str | None:
    """The worker, of this host, died: give its job back at once, or bury it after `max_crashes`. A crash spends no retry.

    Returns the state the job is in now, None when that run had ended before. The caller has made sure that
    nothing of the run is alive.
    """
    job = Job.get_or_none(Job.pk == pk, Job.run == run, Job.locked_by == worker)
    if job is None:
        return None
    held = _held(job, host)
    given_up = job.crashes + 1 >= config.get("max_crashes")
    error = f"{reason}; given up after {job.crashes + 1} crashes" if given_up else reason
    ending = Ending(error=error, duration_ms=_since(held))
    with db.transaction():
        if not _end(_row(held, ending, "lost", "dead" if given_up else "pending", crashes=1)):
            return None
        tally.count([(job.queue, "lost", ending.duration_ms or 0)], models.now_ms())
    return Job.get_by_id(pk).state


def held_by(worker: str, host: str) -> list[Claim]:
    """What the worker, of this host, holds, in the order it claimed it."""
    jobs: Any = Job.select().where(Job.state == "processing", Job.locked_by == worker)
    return [_held(job, host) for job in jobs.order_by(Job.locked_at, Job.pk)]


def give_back(pk: int, reason: str) -> None:
    """End the job's run as lost and give it back, uncounted. The caller knows that nothing of the run is alive."""
    held = _held(Job.get_by_id(pk), host="")
    with db.transaction():
        _end(_row(held, Ending(error=reason, duration_ms=_since(held)), "lost", "pending"))


def _held(job: Job, host: str) -> Claim:
    """What holds the job now, as the end of its run asks for it."""
    started_at = job.locked_at or models.now_ms()
    limits = (job.attempts, job.crashes, job.max_retries, job.timeout_ms, job.cwd, job.env, job.command)
    return Claim(job.pk, job.id, job.run, *limits, job.locked_by or "", host, started_at, job.queue)


def _since(held: Claim) -> int:
    return max(0, models.now_ms() - held.started_at)


def show_output(held: Claim, stdout: Output, stderr: Output) -> bool:
    """Store what a running command has printed so far; False when the run is no longer this worker's."""
    row = _fence(held) | _columns("stdout", stdout) | _columns("stderr", stderr)
    with db.transaction():
        return bool(db.execute_sql(dialect.SHOW_OUTPUT, row).rowcount)


def follow_clock(before: int, now: int) -> int:
    """The clock was set back from `before` to `now`: let waiting jobs wait no longer for it; how many it were."""
    with db.transaction():
        return db.execute_sql(dialect.FOLLOW_CLOCK, {"before": before, "now": now}).rowcount


def backoff_ms(attempts: int) -> int:
    """How long a job waits after its failure number `attempts`: base ^ attempts seconds, bounded, with jitter."""
    wait = plan.wait_s(attempts, config.get("backoff_base"), config.get("max_backoff_sec"))
    spread = time.perf_counter_ns() % 1_000_003 / 1_000_003  # no secret, only unlike the next one
    return int(wait * (1 + config.get("backoff_jitter") * spread) * 1000)


def _claim(worker: str, host: str, reach: int) -> list[Claim]:
    now = models.now_ms()
    (decided,) = db.execute_sql(dialect.DECIDED).fetchone()
    given = {"worker": worker, "now": now, "reach": reach, "decided": decided}
    rows = db.execute_sql(dialect.CLAIM, given).fetchall()
    if len(rows) > 1:
        rows.sort(key=itemgetter(-1, 0))  # next_run_at, pk: the statement returns them in any order
    return [Claim._make((*columns, worker, host, now, queue, settings)) for *columns, queue, settings, _ in rows]


def _store_all(ended: Sequence[Ended]) -> list[Claim]:
    """Inside a transaction: store how these runs ended; those that had been taken over."""
    if not ended:
        return []
    rows = [_ending(run) for run in ended]
    stale: list[Claim] = []
    if len(rows) == 1 or not _end_together(rows):
        stale = [run.held for run, row in zip(ended, rows, strict=True) if not _end(row)]
    counted: list[tally.Run] = []
    succeeded: list[str] = []  # their queues
    for held, outcome, ending in ended:
        if stale and held in stale:
            continue
        counted.append((held.queue, outcome, ending.duration_ms or 0))
        if outcome == "success":
            succeeded.append(held.queue)
            tally.remember(held.command, held.cwd, held.pk, held.run, ending.duration_ms or 0)
    counters.completed(succeeded)
    if counted:
        tally.count(counted, models.now_ms())
    return stale


def _ending(run: Ended) -> dict[str, Any]:
    """What becomes of the job, by how its run ended."""
    held, outcome, ending = run
    if outcome == "success":
        return _row(held, ending, outcome, "completed")
    if outcome in ("cancelled", "released"):
        return _row(held, ending, outcome, "cancelled" if outcome == "cancelled" else "pending")
    attempts = held.attempts + 1
    if attempts > held.max_retries:
        return _row(held, ending, outcome, "dead", failures=1)
    return _row(held, ending, outcome, "failed", failures=1, next_run_at=models.now_ms() + backoff_ms(attempts))


def _end_together(rows: list[dict[str, Any]]) -> bool:
    """Inside a transaction: end these runs. False, and nothing is done, when a job is no longer held by the run."""
    db.execute_sql("SAVEPOINT ends")
    if db.execute_many(dialect.END, rows) != len(rows):
        db.execute_sql("ROLLBACK TO ends")
        return False
    db.execute_many(dialect.END_ATTEMPT, rows)
    db.execute_sql("RELEASE ends")
    return True


def _end(row: dict[str, Any]) -> bool:
    """Inside a transaction: end the run and write its attempt; False when the job is no longer held by it."""
    if db.execute_sql(dialect.END, row).rowcount != 1:
        return False
    db.execute_sql(dialect.LOSE_ATTEMPT if row["outcome"] == "lost" else dialect.END_ATTEMPT, row)
    return True


def _row(
    held: Claim,
    ending: Ending,
    outcome: str,
    state: str,
    *,
    failures: int = 0,
    crashes: int = 0,
    next_run_at: int | None = None,
) -> dict[str, Any]:
    """The parameters of the statements that end a run."""
    stdout, stderr = ending.stdout, ending.stderr
    return {
        "pk": held.pk,
        "run": held.run,
        "worker": held.worker,
        "host": held.host,
        "started_at": held.started_at,
        "now": models.now_ms(),
        "outcome": outcome,
        "state": state,
        "failures": failures,
        "crashes": crashes,
        "next_run_at": next_run_at,
        "return_code": ending.return_code,
        "duration_ms": ending.duration_ms,
        "error": ending.error,
        "user_ms": ending.user_ms,
        "system_ms": ending.system_ms,
        "max_rss_kb": ending.max_rss_kb,
        "stdout": stdout.data,
        "stdout_bytes": stdout.total,
        "stdout_cut": stdout.cut,
        "stderr": stderr.data,
        "stderr_bytes": stderr.total,
        "stderr_cut": stderr.cut,
    }


def _fence(held: Claim) -> dict[str, Any]:
    """What tells this run from every other, for the WHERE of a write and the row of its attempt."""
    return {
        "pk": held.pk,
        "run": held.run,
        "worker": held.worker,
        "host": held.host,
        "started_at": held.started_at,
    }


def _columns(stream: str, output: Output) -> dict[str, Any]:
    return {stream: output.data, f"{stream}_bytes": output.total, f"{stream}_cut": output.cut}
