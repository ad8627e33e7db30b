"""How runs end: each changes its job and leaves its attempt. Inside the transaction of whoever calls."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import models
from engine import config, counters, dialect, plan, tally
from engine.causes import pattern_of
from engine.database import together
from engine.output import EMPTY, Output
from models import db

_OWN = ("pk", "run", "started_at", "duration_ms", "user_ms", "system_ms", "max_rss_kb")
_MANY = 4  # alike are worth a statement for all of them
for _statement in (dialect.END, dialect.END_ATTEMPT):
    together(_statement, _OWN)  # made once, before workers are forked


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
    """A run that is over. `outcome`: success, failed, timeout, cancelled or released. `started_at` None: when claimed."""

    held: Claim
    outcome: str
    ending: Ending
    started_at: int | None = None


def backoff_ms(attempts: int) -> int:
    """How long a job waits after its failure number `attempts`: base ^ attempts seconds, bounded, with jitter."""
    wait = plan.wait_s(attempts, config.get("backoff_base"), config.get("max_backoff_sec"))
    spread = time.perf_counter_ns() % 1_000_003 / 1_000_003  # no secret, only unlike the next one
    return int(wait * (1 + config.get("backoff_jitter") * spread) * 1000)


def store(ended: Sequence[Ended]) -> list[Claim]:
    """Inside a transaction: store how these runs ended; those that had been taken over."""
    if not ended:
        return []
    now = models.now_ms()
    stale: list[Claim] = []
    if len(ended) == 1 or not _end_together(ended, now):
        stale = [run.held for run in ended if not end(_row(run, now))]
    counted: list[tally.Run] = []
    succeeded: list[str] = []  # their queues
    for held, outcome, ending, _ in ended:
        if stale and held in stale:
            continue
        counted.append((held.queue, outcome, ending.duration_ms or 0))
        if outcome == "success":
            succeeded.append(held.queue)
            if (ending.duration_ms or 0) >= tally.WORTH_MS:
                tally.remember(held.command, held.cwd, held.pk, held.run, ending.duration_ms or 0)
    counters.completed(succeeded)
    if counted:
        tally.count(counted, now)
    return stale


def _row(run: Ended, now: int) -> dict[str, Any]:
    """What becomes of the job, by how its run ended."""
    held, outcome, ending, started_at = run
    row = columns(held, ending, outcome, "completed", now)
    if started_at is not None:
        row["started_at"] = started_at
    if outcome == "success":
        return row
    if outcome in ("cancelled", "released"):
        return row | {"state": "cancelled" if outcome == "cancelled" else "pending"}
    attempts = held.attempts + 1
    if attempts > held.max_retries:
        return row | {"state": "dead", "failures": 1, "cause": pattern_of(ending.error or "")}
    return row | {"state": "failed", "failures": 1, "next_run_at": now + backoff_ms(attempts)}


def _end_together(ended: Sequence[Ended], now: int) -> bool:
    """Inside a transaction: end these runs. False, and nothing is done, when a job is no longer held by the run."""
    alike, others = _sorted_out(ended)
    rows = [_row(run, now) for run in others]
    groups = [(_row(runs[0], now), _OWN, [_own(run) for run in runs]) for runs in alike]
    db.execute_sql("SAVEPOINT ends")
    found = db.execute_many(dialect.END, rows) if rows else 0
    for group in groups:
        found += db.execute_together(dialect.END, *group)
    if found != len(ended):
        db.execute_sql("ROLLBACK TO ends")
        return False
    if rows:
        db.execute_many(dialect.END_ATTEMPT, rows)
    for group in groups:
        db.execute_together(dialect.END_ATTEMPT, *group)
    db.execute_sql("RELEASE ends")
    return True


def _sorted_out(ended: Sequence[Ended]) -> tuple[list[list[Ended]], list[Ended]]:
    """Runs that succeeded and printed the same, mostly nothing: those of which there are many. And all others."""
    found: dict[Any, list[Ended]] = defaultdict(list)
    others: list[Ended] = []
    for run in ended:
        held, outcome, ending, _ = run
        if outcome == "success":
            alike = (held.worker, held.host, ending.return_code, ending.error, ending.stdout, ending.stderr)
            found[alike].append(run)
        else:
            others.append(run)
    for runs in found.values():
        if len(runs) < _MANY:
            others += runs
    return [runs for runs in found.values() if len(runs) >= _MANY], others


def _own(run: Ended) -> tuple[Any, ...]:
    """What such a run does not share with the others, as _OWN names it."""
    held, _, ending, started_at = run
    started_at = held.started_at if started_at is None else started_at
    return held.pk, held.run, started_at, ending.duration_ms, ending.user_ms, ending.system_ms, ending.max_rss_kb


def end(row: dict[str, Any]) -> bool:
    """Inside a transaction: end the run and write its attempt; False when the job is no longer held by it."""
    if db.execute_sql(dialect.END, row).rowcount != 1:
        return False
    db.execute_sql(dialect.LOSE_ATTEMPT if row["outcome"] == "lost" else dialect.END_ATTEMPT, row)
    return True


def columns(held: Claim, ending: Ending, outcome: str, state: str, now: int, crashes: int = 0) -> dict[str, Any]:
    """The parameters of the statements that end a run."""
    return {
        **fence(held),
        "now": now,
        "outcome": outcome,
        "state": state,
        "failures": 0,
        "crashes": crashes,
        "next_run_at": None,
        "return_code": ending.return_code,
        "duration_ms": ending.duration_ms,
        "error": ending.error,
        "cause": pattern_of(ending.error or "") if state == "dead" else None,
        "user_ms": ending.user_ms,
        "system_ms": ending.system_ms,
        "max_rss_kb": ending.max_rss_kb,
        **printed("stdout", ending.stdout),
        **printed("stderr", ending.stderr),
    }


def fence(held: Claim) -> dict[str, Any]:
    """What tells this run from every other, for the WHERE of a write and the row of its attempt."""
    return {
        "pk": held.pk,
        "run": held.run,
        "worker": held.worker,
        "host": held.host,
        "started_at": held.started_at,
    }


def printed(stream: str, output: Output) -> dict[str, Any]:
    """The columns of what a run printed to stdout or stderr."""
    cut = {f"{stream}_cut": output.cut, f"{stream}_cut_lines": output.cut_lines}
    return {stream: output.data, f"{stream}_bytes": output.total, **cut}
