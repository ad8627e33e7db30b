"""Why isn't it running? What keeps a waiting job from being run, and what helps. Changes nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from peewee import fn

import models
from engine import dialect, liveness, queries, survivors
from engine.wording import plural, span
from models import Counter, Job, Queue, Supervisor, Worker, db

MOST = 1000  # jobs ahead are counted up to here, so that the answer costs the same with a million of them
_PACE_JOBS = 50  # the newest completed jobs say how long one takes
_LEAST_MS = 5  # starting a command takes this long, however short it is


class Reason(NamedTuple):
    """One thing that keeps the job waiting, or running: a process that cannot be ended.

    cause: backoff, time, paused, limit, silent, no worker, leaving, busy, turn or stuck.
    text: the sentence, up to `at` when there is one. at: until when, or since when for what lies in the past.
    remedy: run now, resume, raise, start or look; None when nothing is amiss.
    """

    cause: str
    text: str
    at: int | None = None
    remedy: str | None = None

    def sentence(self) -> str:
        """The whole of it, with the instant in UTC."""
        return f"{self.text} {queries.iso(self.at)}." if self.at is not None else f"{self.text}."


class Crowd(NamedTuple):
    """The workers: how many are heard of, would take a job, and have none; since when the others are silent."""

    living: int
    willing: int
    free: int
    silent_since: int | None


def reasons(job: Job) -> list[Reason]:
    """What keeps this job waiting, the first to pass first; or what keeps it running against its timeout or cancel."""
    if says := survivors.note_of_job(job):
        return [Reason("stuck", says[:1].upper() + says[1:])]
    if job.state not in ("pending", "failed"):
        return []
    now = models.now_ms()
    early = _too_early(job, now)
    held = _held(job.queue)
    workers = _workers(_crowd(now), 0 if early or held else ahead(job, now))
    found = [reason for reason in (early, held) if reason]
    return [*found, workers] if not found or workers.cause in ("silent", "no worker", "leaving") else found


def ahead(job: Job, now: int) -> int:
    """How many due jobs a worker would take before this one; MOST + 1 when there are more than MOST."""
    asked = {"now": now, "priority": job.priority, "next_run_at": job.next_run_at, "pk": job.pk, "most": MOST + 1}
    return db.execute_sql(dialect.AHEAD, asked).fetchone()[0]


def _too_early(job: Job, now: int) -> Reason | None:
    if job.next_run_at <= now:
        return None
    if job.state == "failed":
        return Reason(
            "backoff", f"Attempt {job.attempts + 1} of {job.max_retries + 1} starts at", job.next_run_at, "run now"
        )
    return Reason("time", "It is not to run before", job.next_run_at, "run now")


def _held(name: str) -> Reason | None:
    """What an operator decided for the queue, if that is what keeps its jobs."""
    queue = Queue.get_or_none(Queue.name == name)
    if queue is None:
        return None
    if queue.paused:
        return Reason("paused", f"The queue {name} is paused", remedy="resume")
    if queue.max_running is None:
        return None
    counted = Counter.select(fn.SUM(Counter.n)).where(Counter.queue == name, Counter.state == "processing")
    running = counted.scalar() or 0
    if running < queue.max_running:
        return None
    return Reason(
        "limit", f"The queue {name} runs {running} of at most {plural(queue.max_running, 'job')}", remedy="raise"
    )


def _crowd(now: int) -> Crowd:
    beats = {row.host: row.beat_at for row in Supervisor.select().where(Supervisor.stopped_at.is_null())}
    rows = list(Worker.select().where(Worker.stopped_at.is_null()).limit(1000))
    dead = liveness.dead(rows)
    rows = [row for row in rows if row.pk not in dead]
    living = [row for row in rows if now - beats.get(row.host, now) <= queries.SILENT_MS]
    willing = [row for row in living if row.desired == "run" and row.status in ("starting", "running")]
    holders: Any = Job.select(Job.locked_by).where(Job.state == "processing").tuples()
    held = {name for (name,) in holders}
    free = sum(row.id not in held for row in willing)
    silent_since = max((beats[row.host] for row in rows), default=None) if rows and not living else None
    return Crowd(len(living), len(willing), free, silent_since)


def _workers(crowd: Crowd, before: int) -> Reason:
    if crowd.silent_since is not None:
        return Reason("silent", "The workers have not been heard of since", crowd.silent_since, "look")
    if not crowd.living:
        return Reason("no worker", "No worker is running; it runs when one is started", remedy="start")
    if not crowd.willing:
        who = "The only worker takes" if crowd.living == 1 else f"All {crowd.living} workers take"
        return Reason("leaving", f"{who} no more jobs: told to leave", remedy="start")
    busy = (
        ""
        if crowd.free
        else "The only worker is busy"
        if crowd.willing == 1
        else f"All {crowd.willing} workers are busy"
    )
    if not before:
        text = f"{busy}; it is next" if busy else "It is next; a free worker takes it now"
        return Reason("busy" if busy else "turn", text, remedy="look" if busy else None)
    turn = f"{_count(before)} ahead of it{_pace(before, crowd.willing)}"
    text = f"{busy}; {turn}" if busy else turn[:1].upper() + turn[1:]
    return Reason("busy" if busy else "turn", text, remedy="look")


def _count(before: int) -> str:
    if before > MOST:
        return f"more than {MOST:,} jobs are"
    return f"{plural(before, 'job')} {'is' if before == 1 else 'are'}"


def _pace(before: int, workers: int) -> str:
    """How long that will take, by what jobs took lately; "" when none has completed."""
    lately: Any = Job.select(Job.duration_ms).where(Job.state == "completed").order_by(Job.pk.desc()).limit(_PACE_JOBS)
    took = [ms or 0 for (ms,) in lately.tuples()]
    if not took:
        return ""
    left = before * max(_LEAST_MS, sum(took) / len(took)) / workers
    about = span(int(left), 1) if left >= 1000 else "a second"
    return f", about {about}" + (" or more" if before > MOST else "")
