"""Questions about the queue: one job, lists by keyset, counts, workers. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from peewee import fn

from engine import dialect
from engine.errors import InvalidInput, NotFound
from engine.output import EMPTY, Output
from engine.wording import exit_meaning
from models import STATES, Attempt, Counter, Job, Supervisor, Worker

PAGE = 50
_LAST_CURSOR = 10**18 - 1
_LONGEST_TEXT = 1000  # SQLite takes patterns of 50,000 bytes
SILENT_MS = 15_000  # a supervisor that missed three beats is shown as silent

_LIGHT = tuple(field for name, field in Attempt._meta.fields.items() if name not in ("stdout", "stderr"))


class Page(NamedTuple):
    """Some jobs, newest first, and the cursors of the pages beside it (None where there is none)."""

    jobs: list[Job]
    newer: str | None
    older: str | None


# --- one job


def find(job_id: str) -> Job:
    """The job with this id. Raises NotFound."""
    job = Job.get_or_none(Job.id == job_id, Job.state != "deleted")
    if job is None:
        raise NotFound(f"There is no job {job_id[:128]!r}.")
    return job


def made_from(job: Job, limit: int = 10) -> list[Job]:
    """The jobs that were made from this one, the newest first."""
    copies = Job.select().where(Job.origin == job.id, Job.state != "deleted")
    return list(copies.order_by(Job.pk.desc()).limit(limit))


def attempts(job: Job) -> list[Attempt]:
    """The newest 100 runs of the job, newest first, without their output."""
    query = Attempt.select(*_LIGHT).where(Attempt.job == job.pk).order_by(Attempt.run.desc())
    stored = list(query.limit(100))
    return [*_just_begun(job, stored[0] if stored else None), *stored]


def attempt(job: Job, run: int | None = None) -> Attempt | None:
    """One run of the job with its output; None for `run` is the newest. None when it never ran.

    Raises NotFound when it has runs, but not this one.
    """
    wanted = job.run if run is None else run
    query = Attempt.select().where(Attempt.job == job.pk, Attempt.run <= wanted).order_by(Attempt.run.desc())
    stored = query.first()
    begun = _just_begun(job, stored)
    if begun and wanted == job.run:
        return begun[0]
    if run is not None and (stored is None or stored.run != run):
        raise NotFound(f"Job {job.id} has no run {run}; it has had {job.run}.")
    return stored


def _just_begun(job: Job, newest: Attempt | None) -> list[Attempt]:
    """The run that is under way and has no row of its own yet, if there is one."""
    if job.state != "processing" or (newest is not None and newest.run >= job.run):
        return []
    return [Attempt(job=job.pk, run=job.run, worker=job.locked_by, host="", started_at=job.locked_at)]


def output(attempt: Attempt | None, stream: str) -> Output:
    """What a run printed on "stdout" or "stderr"; empty when there is no run."""
    if attempt is None:
        return EMPTY
    data = getattr(attempt, stream)
    return Output(bytes(data or b""), getattr(attempt, f"{stream}_bytes"), getattr(attempt, f"{stream}_cut"))


# --- lists


def page(
    state: str | None = None,
    *,
    text: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    before: str | None = None,
    after: str | None = None,
    limit: int = PAGE,
) -> Page:
    """Jobs that match, newest first. `before` and `after` are cursors of an earlier page (its older, its newer).

    text: a part of the id or the command. Raises InvalidInput for an unknown state or a broken cursor.
    """
    query = matching(state, text, queue, tag)
    if after is not None:
        edge = _cursor(after)
        rows = list(query.where(Job.pk > edge).order_by(Job.pk.asc()).limit(limit + 1))
        newer = str(rows[limit - 1].pk) if len(rows) > limit else None
        rows = rows[:limit][::-1]
        return Page(rows, newer, str(rows[-1].pk if rows else min(edge + 1, _LAST_CURSOR)))
    if before is not None:
        query = query.where(Job.pk < _cursor(before))
    rows = list(query.order_by(Job.pk.desc()).limit(limit + 1))
    older = str(rows[limit - 1].pk) if len(rows) > limit else None
    if before is None:
        return Page(rows[:limit], None, older)
    return Page(rows[:limit], str(rows[0].pk if rows else max(_cursor(before) - 1, 0)), older)


def every(state: str | None = None, **filters: Any) -> Iterator[dict[str, Any]]:
    """All jobs that match, newest first, as `as_json` with their output; read in small steps, whatever their number."""
    cursor = None
    while True:
        found = page(state, before=cursor, limit=PAGE, **filters)
        newest_runs = _newest_runs(found.jobs)
        for job in found.jobs:
            yield as_json(job, newest_runs.get(job.pk))
        if found.older is None:
            return
        cursor = found.older


def _newest_runs(jobs: list[Job]) -> dict[int, Attempt]:
    newest: Any = Attempt.select().join(Job, on=(Attempt.job == Job.pk) & (Attempt.run == Job.run))
    return {attempt.job_pk: attempt for attempt in newest.where(Job.pk.in_([job.pk for job in jobs]))}


def running(limit: int = PAGE) -> list[Job]:
    """The jobs that run now, the longest running first."""
    return list(Job.select().where(Job.state == "processing").order_by(Job.locked_at, Job.pk).limit(limit))


def last_failures(limit: int = 10) -> list[Job]:
    """The jobs that failed or died last: those waiting for a retry and the dead, newest first."""
    return list(Job.raw(dialect.LAST_FAILURES, limit))


def queues() -> list[str]:
    """The names of the queues that hold or held jobs."""
    names: Any = Counter.select(Counter.queue).distinct().order_by(Counter.queue).limit(1000)
    return [name for (name,) in names.tuples()]


def matching(
    state: str | None = None, text: str | None = None, queue: str | None = None, tag: str | None = None
) -> Any:
    """The query for the jobs that match, none of the trash. Raises InvalidInput as `page` does."""
    if state is not None and state not in STATES:
        raise InvalidInput(f"There is no state {state[:32]!r}; the states are {', '.join(STATES)}.", "state")
    query = Job.select().where(Job.state == state if state else Job.state != "deleted")
    if queue:
        query = query.where(Job.queue == queue)
    if text:
        if len(text) > _LONGEST_TEXT or "\0" in text:
            raise InvalidInput(f"Search for at most {_LONGEST_TEXT:,} characters, none of them NUL.", "text")
        query = query.where(Job.id.contains(text) | Job.command.contains(text))
    if tag:
        query = query.where(dialect.has_tag(Job.tags, tag))
    return query


def _cursor(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("This page's address is broken; go back to the first page.", "cursor")
    return int(text)


# --- counts


def counts(queue: str | None = None) -> dict[str, int]:
    """How many jobs are in each state, zero included."""
    query: Any = Counter.select(Counter.state, fn.SUM(Counter.n)).group_by(Counter.state)
    if queue:
        query = query.where(Counter.queue == queue)
    found: dict[str, int] = dict(query.tuples())
    return {state: int(found.get(state, 0)) for state in STATES}


# --- workers


def workers(*, ended: bool = False, limit: int = 1000) -> list[dict[str, Any]]:
    """The workers that live (with `ended`: the last that ended), each as the command line's JSON shows it."""
    beats = {row.host: row for row in supervisors()}
    query = Worker.select().where(Worker.stopped_at.is_null(not ended))
    query = query.order_by(Worker.pk.desc() if ended else Worker.pk.asc()).limit(limit)
    held = {} if ended else {job.locked_by: job for job in running(limit)}
    return [_worker_json(worker, held.get(worker.id), beats.get(worker.host)) for worker in query]


def has_workers() -> bool:
    """Whether any worker lives, or is about to."""
    return Worker.select().where(Worker.stopped_at.is_null()).exists()


def _worker_json(worker: Worker, job: Job | None, supervisor: Supervisor | None) -> dict[str, Any]:
    status = worker.status
    if status == "running":
        status = "busy" if job else "idle"
    seen = worker.stopped_at or (supervisor.beat_at if supervisor and worker.pid else worker.started_at)
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "status": status,
        "desired": worker.desired,
        "current_job_id": job.id if job else None,
        "job_started_at": iso(job.locked_at) if job else None,
        "started_at": iso(worker.started_at),
        "last_seen_at": iso(seen),
        "stopped_at": iso(worker.stopped_at),
        "reason": worker.reason,
    }


def supervisors() -> list[Supervisor]:
    """The supervisors that have not said goodbye, the newest of each host first."""
    return list(Supervisor.select().where(Supervisor.stopped_at.is_null()).order_by(Supervisor.pk).limit(1000))


def status() -> dict[str, Any]:
    """Counts by state, the living workers, and whether all of them are asked to end."""
    alive = workers()
    shutdown = bool(alive) and all(worker["desired"] != "run" for worker in alive)
    return {"jobs": counts(), "workers": alive, "shutdown": shutdown}


# --- shapes


def iso(instant: int | None) -> str | None:
    """Milliseconds since 1970 as ISO 8601 in UTC, to the second: 2025-11-04T10:30:00Z."""
    if instant is None:
        return None
    return datetime.fromtimestamp(instant // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_json(job: Job, newest: Attempt | None = None) -> dict[str, Any]:
    """A job as scripts see it; `newest` is its newest run, for what it printed."""
    return {
        "id": job.id,
        "command": job.command,
        "state": job.state,
        "attempts": job.attempts,
        "max_retries": job.max_retries,
        "priority": job.priority,
        "queue": job.queue,
        "created_at": iso(job.created_at),
        "updated_at": iso(job.updated_at),
        "next_run_at": iso(job.next_run_at),
        "locked_by": job.locked_by,
        "locked_at": iso(job.locked_at),
        "finished_at": iso(job.finished_at),
        "return_code": job.return_code,
        "duration_ms": job.duration_ms,
        "last_error": job.last_error,
        "run": job.run,
        "crashes": job.crashes,
        "origin": job.origin,
        "cancel_requested": bool(job.cancel_requested),
        "timeout_sec": None if job.timeout_ms is None else job.timeout_ms / 1000,
        "cwd": job.cwd,
        "env": json.loads(job.env) if job.env else {},
        "tags": json.loads(job.tags) if job.tags else [],
        "stdout": output(newest, "stdout").text(),
        "stderr": output(newest, "stderr").text(),
    }


def attempt_as_json(attempt: Attempt) -> dict[str, Any]:
    """One run as scripts see it, without its output."""
    return {
        "run": attempt.run,
        "worker": attempt.worker,
        "host": attempt.host,
        "started_at": iso(attempt.started_at),
        "finished_at": iso(attempt.finished_at),
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "return_code": attempt.return_code,
        "meaning": exit_meaning(attempt.outcome, attempt.return_code),
        "error": attempt.error,
        "user_ms": attempt.user_ms,
        "system_ms": attempt.system_ms,
        "max_rss_kb": attempt.max_rss_kb,
        "stdout_bytes": attempt.stdout_bytes,
        "stderr_bytes": attempt.stderr_bytes,
    }


# --- the dead letter queue


def dead_page(*, before: str | None = None, after: str | None = None, limit: int = PAGE) -> Page:
    """The dead jobs, the last to die first. Cursors as in `page`, but over the instant of death.

    Raises InvalidInput for a broken cursor.
    """
    if after is not None:
        edge = _death_cursor(after)
        rows = list(Job.raw(dialect.DEAD_AFTER, *edge, limit + 1))
        newer = _death_address(rows[limit - 1]) if len(rows) > limit else None
        rows = rows[:limit][::-1]
        return Page(rows, newer, _death_address(rows[-1]) if rows else f"{edge[0]}-{edge[1] + 1}")
    edge = (_LAST_CURSOR, _LAST_CURSOR) if before is None else _death_cursor(before)
    rows = list(Job.raw(dialect.DEAD_BEFORE, *edge, limit + 1))
    older = _death_address(rows[limit - 1]) if len(rows) > limit else None
    newer = None if before is None else f"{edge[0]}-{max(edge[1] - 1, 0)}"
    return Page(rows[:limit], newer, older)


def _death_address(job: Job) -> str:
    return f"{job.finished_at}-{job.pk}"


def _death_cursor(text: str) -> tuple[int, int]:
    finished_at, _, pk = text.partition("-")
    return _cursor(finished_at), _cursor(pk)
