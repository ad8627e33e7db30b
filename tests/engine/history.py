"""Several processes work one queue at once, and what they did is held against a model afterwards.

Triggers write each change of a job down, in the transaction that makes it: their numbers are the order of the commits.
The model goes through them one by one; every process tells besides what it was answered.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import models
from engine import config, jobs
from engine.errors import NotFound, Refused, StaleClaim, Unavailable
from engine.jobs import Claim, Ending
from models import Job, db

JOBS = 6
WAITING = ("pending", "failed")
_COLUMNS = (
    *("pk", "state", "run", "locked_by", "locked_at", "attempts", "crashes"),
    *("max_retries", "priority", "next_run_at", "cancel_requested"),
)


class Seen(NamedTuple):
    """A job as it was before or after a change."""

    pk: int
    state: str
    run: int
    holder: str | None
    locked_at: int | None
    attempts: int
    crashes: int
    max_retries: int
    priority: int
    next_run_at: int
    cancel_requested: int

    def urgency(self) -> tuple[int, int, int]:
        return -self.priority, self.next_run_at, self.pk

    def key(self) -> tuple[int, int, str | None]:
        return self.pk, self.run, self.holder


# --- the processes


def play(seed: int, processes: int = 3, steps: int = 500, patience_s: float = 10.0) -> list[str]:
    """Let the processes of this seed do their scripts on the open database; what went wrong, in words."""
    path = str(db.database)
    _prepare()
    models.disconnect()
    told = [Path(f"{path}.told{n}") for n in range(processes)]
    ready, go = os.pipe()
    pids = [_fork(n, told[n], (ready, go), Random(f"{seed} {n}"), steps, patience_s) for n in range(processes)]
    os.close(go)  # the last copy of it: they begin together
    os.close(ready)
    broken = [f"process {pid} ended badly" for pid in pids if os.waitpid(pid, 0)[1]]
    db.connect()
    if broken:
        return broken  # who ended badly told nothing
    return list(judge([json.loads(line) for file in told for line in file.read_text().splitlines()]))


def _prepare() -> None:
    was, now = (", ".join(f"{row}.{column}" for column in _COLUMNS) for row in ("OLD", "NEW"))
    none = ", ".join("NULL" for _ in _COLUMNS)
    fields = ", ".join([*(f"was_{column}" for column in _COLUMNS), *_COLUMNS])
    db.execute_sql(f"CREATE TABLE told (number INTEGER PRIMARY KEY, {fields})")
    for event, values in (("INSERT", f"{none}, {now}"), ("UPDATE", f"{was}, {now}"), ("DELETE", f"{was}, {none}")):
        db.execute_sql(
            f"CREATE TRIGGER told_{event} AFTER {event} ON job BEGIN INSERT INTO told VALUES (NULL, {values}); END"
        )
    config.set("backoff_base", 1)
    for n in range(JOBS):
        jobs.enqueue({"id": f"j{n}", "command": "true", "priority": n % 3, "max_retries": 2})


def _fork(n: int, told: Path, gate: tuple[int, int], random: Random, steps: int, patience_s: float) -> int:
    path = str(db.database)
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.close(gate[1])
        models.now_ms = lambda: time.time_ns() // 1000  # a second of the backoff is a millisecond
        models.connect(path, durable=False).patience_s = patience_s
        os.read(gate[0], 1)
        actor = _Actor(f"w{n}", random)
        actor.act(steps)
        told.write_text("".join(f"{json.dumps(line)}\n" for line in actor.told))
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


class _Actor:
    """One process: a worker that also is a person, and now and then takes another worker for dead."""

    def __init__(self, name: str, random: Random):
        self.name = name
        self.random = random
        self.claims: list[Claim] = []  # also those that are stale
        self.told: list[list[Any]] = []

    def act(self, steps: int) -> None:
        verbs: dict[Callable[[], None], int] = {
            self.claim: 6,
            self.end: 6,
            self.end_and_claim: 4,
            self.end_an_old_one: 3,
            self.lose: 3,
            self.cancel: 1,
            self.retry: 3,
            self.enqueue: 1,
            self.delete: 2,
            self.undelete: 1,
            self.unretry: 1,
        }
        for verb in self.random.choices([*verbs], [*verbs.values()], k=steps):
            try:
                verb()
            except Unavailable as error:
                self.told.append(["refused", str(error)])
                return

    def claim(self) -> None:
        held = jobs.claim(self.name, "here")
        if held is not None:
            self._claimed(held)

    def end(self) -> None:
        if self.claims:
            self._end(self.claims[-1])

    def end_an_old_one(self) -> None:
        if self.claims:
            self._end(self.random.choice(self.claims[-8:]))

    def end_and_claim(self) -> None:
        """What a worker does between two jobs, in one transaction."""
        if not self.claims:
            return
        held = self.claims[-1]
        try:
            with db.transaction():
                jobs.complete(held, Ending(return_code=0))
                found = jobs.claim(self.name, "here")
        except StaleClaim:
            return
        self.told.append(["end", held.pk, held.run, self.name])
        if found is not None:
            self._claimed(found)

    def lose(self) -> None:
        """As a burial does: read, then give back, in one transaction."""
        with db.transaction():
            running = list(Job.select().where(Job.state == "processing").order_by(Job.pk))
            if not running:
                return
            job = self.random.choice(running)
            state = jobs.lose(job.pk, job.run, job.locked_by, "here", "taken for dead")
        if state is not None:
            self.told.append(["end", job.pk, job.run, job.locked_by])

    def cancel(self) -> None:
        with suppress(Refused, NotFound):
            jobs.cancel(self._any())

    def retry(self) -> None:
        with suppress(Refused, NotFound):
            jobs.retry(self._any())

    def delete(self) -> None:
        with suppress(Refused, NotFound):
            jobs.delete(self._any())

    def undelete(self) -> None:
        pks = [
            pk for (pk,) in Job.select(Job.pk).where(Job.state == "deleted").order_by(Job.pk.desc()).limit(5).tuples()
        ]
        with suppress(Refused, NotFound):
            jobs.undelete(f"~{self.random.choice(pks or [0])}")

    def unretry(self) -> None:
        with suppress(Refused, NotFound):
            jobs.unretry(self._any())

    def enqueue(self) -> None:
        jobs.enqueue({"command": "true", "priority": self.random.randrange(3), "max_retries": 2})

    def _any(self) -> str:
        found = [
            job_id for (job_id,) in Job.select(Job.id).where(Job.state != "deleted").order_by(Job.pk).limit(20).tuples()
        ]
        return self.random.choice(found or ["none"])

    def _claimed(self, held: Claim) -> None:
        self.claims.append(held)
        self.told.append(["claim", held.pk, held.run, self.name])

    def _end(self, held: Claim) -> None:
        verb = self.random.choice((jobs.complete, jobs.fail, jobs.fail, jobs.release))
        try:
            verb(held, Ending(return_code=0 if verb is jobs.complete else 1))
        except StaleClaim:
            return
        self.told.append(["end", held.pk, held.run, self.name])


# --- the judge


def judge(told: list[list[Any]]) -> Iterator[str]:
    """Hold what the triggers wrote and what the processes tell against the model."""
    changes = [
        (Seen(*row[: len(_COLUMNS)]) if row[0] else None, Seen(*row[len(_COLUMNS) :]) if row[len(_COLUMNS)] else None)
        for row in db.execute_sql(f"SELECT {_fields()} FROM told ORDER BY number").fetchall()
    ]
    yield from _replay(changes)
    both = [(was, now) for was, now in changes if was is not None and now is not None]
    claims = Counter(now.key() for was, now in both if was.state != now.state == "processing")
    ends = Counter(was.key() for was, now in both if was.state == "processing" != now.state)
    yield from _differ("claim", claims, told)
    yield from _differ("end", ends, told)
    yield from (f"refused: {sentence}" for word, sentence, *_ in told if word == "refused")
    yield from _database(ends)


def _fields() -> str:
    return ", ".join([*(f"was_{column}" for column in _COLUMNS), *_COLUMNS])


def _differ(word: str, happened: Counter[Any], told: list[list[Any]]) -> Iterator[str]:
    answered = Counter((pk, run, who) for name, pk, run, who in (line for line in told if line[0] == word))
    yield from (f"{word}: {key} was answered and did not happen" for key in answered - happened)
    yield from (f"{word}: {key} happened and was not answered" for key in happened - answered)
    yield from (f"{word}: {key} happened {n} times" for key, n in happened.items() if n > 1)


def _replay(changes: list[tuple[Seen | None, Seen | None]]) -> Iterator[str]:
    model: dict[int, Seen] = {}
    for was, now in changes:
        pk = (was or now).pk  # type: ignore[union-attr]
        if model.get(pk) != was:
            yield f"history: job {pk} is {model.get(pk)}, the change begins with {was}"
        if now is not None:
            yield from _begins(now) if was is None else _changes(was, now, model)
            model[pk] = now
        else:
            if was is not None and was.state == "processing":
                yield f"delete: job {pk} ran"
            del model[pk]


def _begins(now: Seen) -> Iterator[str]:
    if (now.state, now.run, now.holder) != ("pending", 0, None):
        yield f"enqueue: {now}"


def _changes(was: Seen, now: Seen, model: dict[int, Seen]) -> Iterator[str]:
    if (now.state == "processing") != (now.holder is not None):
        yield f"held: {now}"
    if now.attempts > now.max_retries + 1:
        yield f"attempts: {now}"
    if was.state in WAITING and now.state == "processing":
        yield from _claim(was, now, model)
    elif was.run != now.run:
        yield f"run: {was} becomes {now}"
    elif was.state == "processing" and now.state != "processing":
        yield from _end(was, now)
    elif was.state != now.state and (was.state, now.state) not in ALLOWED:
        yield f"change: {was} becomes {now}"


ALLOWED = {("pending", "cancelled"), ("failed", "cancelled")}
ALLOWED |= {(state, "pending") for state in jobs.RETRYABLE} | {("pending", state) for state in jobs.RETRYABLE}
ALLOWED |= {(state, "deleted") for state in jobs.DELETABLE} | {("deleted", state) for state in jobs.DELETABLE}


def _claim(was: Seen, now: Seen, model: dict[int, Seen]) -> Iterator[str]:
    if now.run != was.run + 1:
        yield f"run: {was} is claimed as {now}"
    due = [job for job in model.values() if job.state in WAITING and job.next_run_at <= (now.locked_at or 0)]
    first = min(due, key=Seen.urgency, default=None)
    if first is None or first.pk != now.pk:
        yield f"order: {now} is claimed before {first}"


def _end(was: Seen, now: Seen) -> Iterator[str]:
    failures, crashes = now.attempts - was.attempts, now.crashes - was.crashes
    spent = now.attempts > now.max_retries
    allowed = {
        "completed": (failures, crashes) == (0, 0),
        "failed": (failures, crashes) == (1, 0) and not spent,
        "dead": (failures == 1 and spent) or (crashes == 1 and now.crashes >= config.KEYS["max_crashes"].default),
        "pending": failures == 0 and crashes in (0, 1),
        "cancelled": bool(was.cancel_requested),
    }
    if not allowed[now.state]:
        yield f"end: {was} becomes {now}"


def _database(ends: Counter[Any]) -> Iterator[str]:
    counted = "SELECT queue, state, sum(n) FROM counter GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2"
    really = "SELECT queue, state, count(*) FROM job GROUP BY 1, 2 ORDER BY 1, 2"
    says, is_so = (db.execute_sql(sql).fetchall() for sql in (counted, really))
    if says != is_so:
        yield f"counters: they say {says}, the jobs are {is_so}"
    living = {pk for (pk,) in db.execute_sql("SELECT pk FROM job").fetchall()}
    runs = Counter(db.execute_sql("SELECT job_pk, run FROM attempt WHERE outcome <> 'running'").fetchall())
    if runs != Counter((pk, run) for pk, run, _ in ends if pk in living):
        yield "attempts: they are not those of the runs that ended"
    for sql, fine in (("PRAGMA integrity_check", [("ok",)]), ("PRAGMA foreign_key_check", [])):
        if (found := db.execute_sql(sql).fetchall()) != fine:
            yield f"database: {found}"
