"""The runs of a job: claimed by a worker, ended by it or, when it died, by its supervisor."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import models
from engine import config, dialect
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


def claim(worker: str, host: str) -> Claim | None:
    """Hand the most urgent due job to `worker`: highest priority first, then oldest. None when nothing is due."""
    now = models.now_ms()
    with db.transaction():
        row = db.execute_sql(dialect.CLAIM, {"worker": worker, "now": now}).fetchone()
        if row is None:
            return None
        return Claim._make((*row, worker, host, now))


def complete(held: Claim, ending: Ending) -> None:
    """The command succeeded. Raises StaleClaim if the job was taken over."""
    _end(held, ending, "success", "completed")


def fail(held: Claim, ending: Ending, outcome: str = "failed") -> None:
    """The command failed (outcome: failed or timeout): retry later, or dead after the last retry.

    Raises StaleClaim if the job was taken over.
    """
    attempts = held.attempts + 1
    if attempts > held.max_retries:
        _end(held, ending, outcome, "dead", failures=1)
    else:
        _end(held, ending, outcome, "failed", failures=1, next_run_at=models.now_ms() + backoff_ms(attempts))


def cancelled(held: Claim, ending: Ending) -> None:
    """The command was stopped because its job was cancelled. Raises StaleClaim if the job was taken over."""
    _end(held, ending, "cancelled", "cancelled")


def release(held: Claim, ending: Ending) -> None:
    """Give the job back; the run does not count. Raises StaleClaim if it was taken over."""
    _end(held, ending, "released", "pending")


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
    try:
        _end(held, ending, "lost", "dead" if given_up else "pending", crashes=1)
    except StaleClaim:
        return None
    return Job.get_by_id(pk).state


def give_back(pk: int, reason: str) -> None:
    """End the job's run as lost and give it back, uncounted. The caller knows that nothing of the run is alive."""
    held = _held(Job.get_by_id(pk), host="")
    _end(held, Ending(error=reason, duration_ms=_since(held)), "lost", "pending")


def _held(job: Job, host: str) -> Claim:
    """What holds the job now, as the end of its run asks for it."""
    started_at = job.locked_at or models.now_ms()
    limits = (job.attempts, job.crashes, job.max_retries, None, None, None, "")
    return Claim(job.pk, job.id, job.run, *limits, job.locked_by or "", host, started_at)


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
    limit = config.get("max_backoff_sec")
    try:
        wait = min(float(config.get("backoff_base")) ** attempts, limit)
    except OverflowError:
        wait = limit
    spread = time.perf_counter_ns() % 1_000_003 / 1_000_003  # no secret, only unlike the next one
    return int(wait * (1 + config.get("backoff_jitter") * spread) * 1000)


def _end(
    held: Claim,
    ending: Ending,
    outcome: str,
    state: str,
    *,
    failures: int = 0,
    crashes: int = 0,
    next_run_at: int | None = None,
) -> None:
    row = _fence(held) | {
        "now": models.now_ms(),
        "outcome": outcome,
        "state": state,
        "failures": failures,
        "crashes": crashes,
        "next_run_at": next_run_at,
        "return_code": ending.return_code,
        "duration_ms": ending.duration_ms,
        "error": ending.error,
    }
    with db.transaction():
        if db.execute_sql(dialect.END, row).rowcount != 1:
            raise StaleClaim(f"Job {held.id} is no longer held by run {held.run} of {held.worker}.")
        if outcome == "lost":
            db.execute_sql(dialect.LOSE_ATTEMPT, row)
        else:
            used = {"user_ms": ending.user_ms, "system_ms": ending.system_ms, "max_rss_kb": ending.max_rss_kb}
            output = _columns("stdout", ending.stdout) | _columns("stderr", ending.stderr)
            db.execute_sql(dialect.END_ATTEMPT, row | used | output)


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
