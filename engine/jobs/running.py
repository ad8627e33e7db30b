"""The runs of a job: claimed by a worker, ended by it or, when it died, by its supervisor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import models
from engine import config, dialect, tally
from engine.errors import StaleClaim
from engine.jobs import ends
from engine.jobs.ends import Claim, Ended, Ending
from engine.output import Output
from models import Job, db


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
        stale = ends.store(ended)
        put_back(unbegun)
        return _claim(worker, host, reach) if reach else [], stale


def put_back(unbegun: Iterable[Claim]) -> None:
    """Give back jobs whose commands were never started, as if nobody had claimed them."""
    now = models.now_ms()
    with db.transaction():
        for held in unbegun:
            db.execute_sql(dialect.PUT_BACK, ends.fence(held) | {"now": now})


def end(run: Ended) -> None:
    """Store how a run ended. Raises StaleClaim if the job was taken over."""
    held = run.held
    with db.transaction():
        if ends.store([run]):
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
        now = models.now_ms()
        if not ends.end(ends.columns(held, ending, "lost", "dead" if given_up else "pending", now, crashes=1)):
            return None
        tally.count([(job.queue, "lost", ending.duration_ms or 0)], now)
    return Job.get_by_id(pk).state


def held_by(worker: str, host: str) -> list[Claim]:
    """What the worker, of this host, holds, in the order it claimed it."""
    jobs: Any = Job.select().where(Job.state == "processing", Job.locked_by == worker)
    return [_held(job, host) for job in jobs.order_by(Job.locked_at, Job.pk)]


def give_back(pk: int, reason: str) -> None:
    """End the job's run as lost and give it back, uncounted. The caller knows that nothing of the run is alive."""
    held = _held(Job.get_by_id(pk), host="")
    with db.transaction():
        ends.end(ends.columns(held, Ending(error=reason, duration_ms=_since(held)), "lost", "pending", models.now_ms()))


def _held(job: Job, host: str) -> Claim:
    """What holds the job now, as the end of its run asks for it."""
    started_at = job.locked_at or models.now_ms()
    limits = (job.attempts, job.crashes, job.max_retries, job.timeout_ms, job.cwd, job.env, job.command)
    return Claim(job.pk, job.id, job.run, *limits, job.locked_by or "", host, started_at, job.queue)


def _since(held: Claim) -> int:
    return max(0, models.now_ms() - held.started_at)


def show_output(held: Claim, stdout: Output, stderr: Output) -> bool:
    """Store what a running command has printed so far; False when the run is no longer this worker's."""
    row = ends.fence(held) | ends.printed("stdout", stdout) | ends.printed("stderr", stderr)
    with db.transaction():
        return bool(db.execute_sql(dialect.SHOW_OUTPUT, row).rowcount)


def follow_clock(before: int, now: int) -> int:
    """The clock was set back from `before` to `now`: let waiting jobs wait no longer for it; how many it were."""
    with db.transaction():
        return db.execute_sql(dialect.FOLLOW_CLOCK, {"before": before, "now": now}).rowcount


def _claim(worker: str, host: str, reach: int) -> list[Claim]:
    now = models.now_ms()
    (decided,) = db.execute_sql(dialect.DECIDED).fetchone()
    given = {"worker": worker, "now": now, "reach": reach, "decided": decided}
    rows = db.execute_sql(dialect.CLAIM, given).fetchall()
    if len(rows) > 1:
        rows.sort(key=itemgetter(-1, 0))  # next_run_at, pk: the statement returns them in any order
    return [Claim._make((*columns, worker, host, now, queue, settings)) for *columns, queue, settings, _ in rows]
