"""Counts the runs that end, by the minute, and remembers what commands usually take. Charts and forecasts read it.

Counted in the transaction that ends the run, so the figures agree with the jobs. Minutes become hours after three hours.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from engine import buckets, dialect
from models import History, Job, Stat, db

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
COUNTED = ("success", "failed", "timeout", "cancelled", "lost")
_MINUTES_KEPT_MS = 3 * HOUR_MS  # charts by the minute show the last hour, and look at the one before
_HOURS_KEPT_MS = 400 * 24 * HOUR_MS
WORTH_MS = 1000  # whoever waits for a shorter command needs no forecast
_REMEMBERED = 500  # histories looked at in one step

Run = tuple[str, str, int]  # queue, outcome, duration in milliseconds


def count(runs: Iterable[Run], now: int) -> None:
    """Inside the transaction that ends these runs."""
    found: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    for queue, outcome, duration_ms in runs:
        if outcome in COUNTED:
            row = found[queue, outcome, buckets.of(duration_ms)]
            row[0] += 1
            row[1] += duration_ms
    at = now - now % MINUTE_MS
    for (queue, outcome, bucket), (n, total_ms) in found.items():
        db.execute_sql(dialect.COUNT_RUNS, (at, queue, outcome, bucket, n, total_ms))


def remember(command: str, cwd: str | None, pk: int, run: int, duration_ms: int) -> None:
    """Inside a transaction: this run of the command went well and took so long, WORTH_MS at least."""
    row = {"signature": signature(command, cwd), "ms": duration_ms, "pk": pk, "run": run}
    db.execute_sql(dialect.REMEMBER, row)


def signature(command: str, cwd: str | None) -> str:
    """What all jobs with this command in this folder have in common."""
    return hashlib.blake2b(f"{cwd or ''}\0{command}".encode(errors="surrogatepass"), digest_size=12).hexdigest()


def usual_ms(jobs: Iterable[Job]) -> dict[int, int]:
    """What the command of each job usually takes, in milliseconds, by the job's pk; absent where it is not known."""
    import statistics  # slow to load, and most commands never ask

    signed = {job.pk: signature(job.command, job.cwd) for job in jobs}
    rows: Any = History.select(History.signature, History.durations).where(History.signature.in_([*signed.values()]))
    known = {name: int(statistics.median(json.loads(durations))) for name, durations in rows.tuples()}
    return {pk: known[name] for pk, name in signed.items() if name in known}


def roll_up(now: int) -> Iterator[int]:
    """Make hours of old minutes and forget what is older still, a little at a time; yields the rows each step took."""
    before = now - _MINUTES_KEPT_MS
    before -= before % HOUR_MS
    while oldest := Stat.select(Stat.at).where(Stat.span == 1, Stat.at < before).order_by(Stat.at).limit(1).scalar():
        hour = oldest - oldest % HOUR_MS
        with db.transaction():
            db.execute_sql(dialect.ROLL_UP, (hour, hour, hour + HOUR_MS))
            gone = Stat.delete().where(Stat.span == 1, Stat.at >= hour, Stat.at < hour + HOUR_MS).execute()
        yield gone
    yield Stat.delete().where(Stat.span == 60, Stat.at < now - _HOURS_KEPT_MS).execute()
    yield from _forget()


def _forget() -> Iterator[int]:
    """Commands whose last success was deleted long ago are not run any more."""
    after = ""
    while True:
        page: Any = History.select(History.signature, History.success_job).where(History.signature > after)
        rows = list(page.order_by(History.signature).limit(_REMEMBERED).tuples())
        if not rows:
            return
        after = rows[-1][0]
        known: Any = Job.select(Job.pk).where(Job.pk.in_([pk for _, pk in rows]))
        there = {pk for (pk,) in known.tuples()}
        gone = [name for name, pk in rows if pk not in there]
        yield History.delete().where(History.signature.in_(gone)).execute() if gone else 0
