"""The life of a job. The only module that changes one; every transition is one guarded statement.

pending → processing → completed
pending → processing → failed → (after its backoff) processing … → dead
pending or failed or processing → cancelled
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from peewee import IntegrityError

import models
from engine import config, dialect, ids, spec, wakeup
from engine.errors import NotFound, Refused, StaleClaim
from engine.output import EMPTY, Output
from models import Job, db

RETRYABLE = ("failed", "dead", "cancelled")
FINAL = ("completed", "dead", "cancelled")
_BATCH = 500  # rows a bulk change holds the write lock for


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


# --- coming in


def enqueue(payload: dict[str, Any]) -> str:
    """Store one job and return its id; it is on the disk when this returns. Raises InvalidInput, Refused."""
    return enqueue_many([payload])[0]


def enqueue_many(payloads: Iterable[dict[str, Any]]) -> list[str]:
    """Store all the jobs, or none of them, and return their ids. Raises InvalidInput, Refused for a taken id."""
    now = models.now_ms()
    default = config.get("max_retries_default")
    new_ids = ids.new_ids(now)
    rows = [_row(payload, now, default, new_ids) for payload in payloads]
    with db.transaction():
        for row in rows:
            _insert(row)
        wakeup.nudge()
    return [row["id"] for row in rows]


def _row(payload: dict[str, Any], now: int, max_retries: int, new_ids: Iterator[str]) -> dict[str, Any]:
    row = {"queue": "default", "priority": 0, "next_run_at": now, "max_retries": max_retries, "now": now}
    row |= dict.fromkeys(("timeout_ms", "tags", "cwd", "env"))
    row |= spec.parse(payload, now)
    if "id" not in row:
        row["id"] = next(new_ids)
    return row


def _insert(row: dict[str, Any]) -> None:
    try:
        db.execute_sql(dialect.INSERT_JOB, row)
    except IntegrityError:
        raise Refused(f"There is a job {row['id']} already; choose another id, or leave it out.") from None


def take_in(row: dict[str, Any]) -> int:
    """Store a job as it was elsewhere, all columns but its key, and return the key it has here.

    Raises Refused for a taken id.
    """
    try:
        return db.execute_sql(dialect.insert("job", row), row).lastrowid
    except IntegrityError:
        raise Refused(f"There is a job {row['id']} already.") from None


# --- running


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


# --- steered by people


def retry(job_id: str, states: tuple[str, ...] = RETRYABLE) -> None:
    """Put a job in one of `states` back to pending with no attempts. Raises NotFound, Refused."""
    with db.transaction():
        if not _retry(Job.id == job_id, states):
            raise _refusal(job_id, "retried", states)
        wakeup.nudge()


def retry_dead(job_ids: Iterable[str] | None = None) -> int:
    """Put the dead jobs with these ids (None: all that are dead now) back to pending; how many it were.

    In batches, so that no worker waits long; what is no longer dead is left alone.
    """
    if job_ids is None:
        newest = Job.select(Job.pk).where(Job.state == "dead").order_by(Job.pk.desc()).limit(1).scalar() or 0
        found = _dead_batches(newest)
    else:
        chosen = list(job_ids)
        found = (Job.id.in_(chosen[start : start + _BATCH]) for start in range(0, len(chosen), _BATCH))
    retried = 0
    for where in found:
        with db.transaction():
            retried += _retry(where, ("dead",))
            wakeup.nudge()
    return retried


def _dead_batches(newest: int) -> Iterator[Any]:
    while True:
        dead: Any = Job.select(Job.pk).where(Job.state == "dead", Job.pk <= newest).order_by(Job.pk).limit(_BATCH)
        pks = [pk for (pk,) in dead.tuples()]
        if not pks:
            return
        yield Job.pk.in_(pks)


def _retry(where: Any, states: tuple[str, ...]) -> int:
    now = models.now_ms()
    fresh = {
        "state": "pending",
        "attempts": 0,
        "crashes": 0,
        "next_run_at": now,
        "updated_at": now,
        "finished_at": None,
    }
    return Job.update(**fresh).where(where, Job.state.in_(states)).execute()


def cancel(job_id: str) -> str:
    """Cancel a job that has not ended. Returns its state: cancelled, or processing while its command is stopped.

    Raises NotFound, Refused.
    """
    now = models.now_ms()
    with db.transaction():
        waiting = Job.update(state="cancelled", finished_at=now, updated_at=now)
        if waiting.where(Job.id == job_id, Job.state.in_(("pending", "failed"))).execute():
            return "cancelled"
        running = Job.update(cancel_requested=True, updated_at=now)
        if running.where(Job.id == job_id, Job.state == "processing").execute():
            wakeup.nudge()
            return "processing"
        raise _refusal(job_id, "cancelled", ("pending", "failed", "processing"))


def delete(job_id: str) -> None:
    """Remove a job that is not running, with its attempts. Raises NotFound, Refused."""
    with db.transaction():
        deleted = Job.delete().where(Job.id == job_id, Job.state != "processing").execute()
        if not deleted and _state(job_id):
            raise Refused(f"Job {job_id} is running; cancel it first, then delete it.")


def prune(pks: list[int], before: int) -> int:
    """Remove those of the jobs that ended before the instant `before`, with their attempts; how many it were."""
    with db.transaction():
        return Job.delete().where(Job.pk.in_(pks), Job.state.in_(FINAL), Job.finished_at < before).execute()


def _state(job_id: str) -> str:
    state = Job.select(Job.state).where(Job.id == job_id).scalar()
    if state is None:
        raise NotFound(f"There is no job {job_id[:128]!r}.")
    return state


def _refusal(job_id: str, done: str, states: tuple[str, ...]) -> Refused:
    allowed = " and ".join(filter(None, (", ".join(states[:-1]), states[-1])))
    return Refused(f"Job {job_id} is {_state(job_id)}; only {allowed} jobs can be {done}.")
