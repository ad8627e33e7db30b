"""Questions about the queue: one job, lists by keyset, counts, workers. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from peewee import fn

from engine import dialect, filters, liveness, search, survivors
from engine.errors import NotFound
from engine.output import EMPTY, Output
from engine.search import Page
from engine.wording import exit_meaning
from models import STATES, Attempt, Counter, Job, Supervisor, Worker

PAGE = 50
SILENT_MS = 15_000  # a supervisor that missed three beats is shown as silent

# One read is a read of all that was printed.
_WITH_OUTPUT = ("stdout", "stderr", "stdout_cut_lines", "stderr_cut_lines")
_LIGHT = tuple(field for name, field in Attempt._meta.fields.items() if name not in _WITH_OUTPUT)


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
    printed, cut, cut_lines = (getattr(attempt, f"{stream}_{what}") for what in ("bytes", "cut", "cut_lines"))
    return Output(bytes(data or b""), printed, cut, cut_lines)


# --- lists


def page(
    state: str | None = None,
    *,
    before: str | None = None,
    after: str | None = None,
    limit: int = PAGE,
    **others: str | None,
) -> Page:
    """Jobs that match the filters (see engine/filters.py), newest first; a bounded look, see engine/search.py.

    `before` and `after` are cursors of an earlier page (its older, its newer). Raises InvalidInput for a filter that
    cannot be and for a broken cursor.
    """
    return along(search.by_age(state), {"state": state, **others}, before=before, after=after, limit=limit)


def along(
    way: search.Way,
    chosen: Mapping[str, str | None],
    *,
    before: str | None = None,
    after: str | None = None,
    limit: int = PAGE,
) -> Page:
    """A page along any way. Raises and cursors as in `page`."""
    given = filters.checked(chosen)
    known = None
    if "queue" in given:
        of_queue = counts(given["queue"])
        known = of_queue[given["state"]] if "state" in given else sum(of_queue.values())
        if not known:
            return Page([], None, None)
    return search.page(
        way,
        filters.conditions(given),
        before=before,
        after=after,
        limit=limit,
        known=known if given.keys() <= {"state", "queue"} else None,
        is_heavy=filters.is_heavy(given),
    )


def every(state: str | None = None, **others: Any) -> Iterator[dict[str, Any]]:
    """All jobs that match, newest first, as `as_json` with their output; read in small steps, whatever their number."""
    cursor = None
    while True:
        found = page(state, before=cursor, limit=PAGE, **others)
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


def matching(state: str | None = None, **others: str | None) -> Any:
    """The query for all jobs that match, none of the trash. Raises InvalidInput as `page` does."""
    given = filters.checked({"state": state, **others})
    return Job.select().where(filters.of_state(state), *filters.conditions(given))


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
    rows = list(query)
    dead = set() if ended else liveness.dead(rows)
    return [worker_as_json(row, held.get(row.id), beats.get(row.host), is_dead=row.pk in dead) for row in rows]


def worker_as_json(
    worker: Worker, job: Job | None = None, supervisor: Supervisor | None = None, *, is_dead: bool = False
) -> dict[str, Any]:
    """A worker as scripts see it; `job`: what it runs, `supervisor`: that of its host, is_dead: but not cleared away."""
    status = "lost" if is_dead else worker.status
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
        "reason": worker.reason or survivors.note(worker),
        "heir_of": f"w{worker.heir_of}" if worker.heir_of else None,
        "rss_kb": worker.rss_kb,
        "cpu_ms": worker.cpu_ms,
        "job_rss_kb": worker.job_rss_kb if job else None,
        "job_cpu_ms": worker.job_cpu_ms if job else None,
        "sampled_at": iso(worker.sampled_at),
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
