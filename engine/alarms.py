"""What wants a person now: nobody works, a queue is held, the disk fills, the clock is wrong. Looks only, and cheaply."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine import clock, health, liveness, queries, queues, wording
from engine.queues import Standing
from engine.wording import plural
from models import Job, Supervisor, Worker, db

_NAMED = 3  # paused queues that are told one by one
_MEGABYTE = 1024 * 1024


class Alarm(NamedTuple):
    """One thing that is wrong.

    cause: no worker, silent, paused, space, clock or clock ahead. text: the sentence, up to `at` when there is an instant.
    queue: the one to resume, where that helps.
    """

    cause: str
    text: str
    at: int | None = None
    queue: str | None = None

    def sentence(self) -> str:
        """The whole of it, with the instant in UTC."""
        return f"{self.text} {queries.iso(self.at)}." if self.at is not None else f"{self.text}."


def ring(standings: Sequence[Standing], now: int) -> list[Alarm]:
    """All that is wrong, the worst first; nothing that is right."""
    beats = queries.supervisors()
    found = [_no_worker(standings), *_silent(beats, now), _space(), _clock(beats, now), *_paused(standings)]
    return [alarm for alarm in found if alarm]


def is_stranded() -> bool:
    """Whether jobs that are due wait for nobody."""
    return not liveness.has_workers() and _no_worker(queues.standings()) is not None


def jobs(count: int, is_exact: bool = True) -> str:
    """1 job, 12 jobs, at least 2,500 jobs."""
    return ("" if is_exact else "at least ") + plural(count, "job")


def _no_worker(standings: Sequence[Standing]) -> Alarm | None:
    held_up = [queue for queue in standings if queue.due and not queue.paused]
    if not held_up or liveness.has_workers():
        return None
    due = sum(queue.due for queue in held_up)
    told = jobs(due, all(queue.is_exact for queue in held_up))
    return Alarm("no worker", f"No workers are running: {told} {'waits' if due == 1 else 'wait'}")


def _silent(beats: Sequence[Supervisor], now: int) -> list[Alarm]:
    """Supervisors that stopped beating while they have workers; the newest of each host counts."""
    newest = {row.host: row.beat_at for row in beats}
    living: Any = Worker.select(Worker.host).where(Worker.stopped_at.is_null()).distinct().tuples()
    return [
        Alarm("silent", f"The supervisor on {host} has not been heard of since", newest[host])
        for host in sorted(host for (host,) in living)
        if host in newest and now - newest[host] > queries.SILENT_MS
    ]


def _space() -> Alarm | None:
    verdict = health.disk_space(os.path.dirname(db.database)).verdict
    if verdict == health.OK:
        return None
    few, some = health.SPACE
    left = (few if verdict == health.PROBLEM else some) // _MEGABYTE
    return Alarm("space", f"The disk is nearly full: less than {left} MiB are free for the database")


def _clock(beats: Sequence[Supervisor], now: int) -> Alarm | None:
    """By the last beat and the last arrival; `doctor` looks at every job."""
    doubt = clock.doubt()
    if doubt is not None:
        ahead = wording.span(doubt.ahead_ms)
        return Alarm("clock ahead", f"The system's clock went forward by {ahead}: QueueCTL follows it at", doubt.until)
    arrival = Job.select(Job.created_at).order_by(Job.pk.desc()).limit(1).scalar() or 0
    latest = max([arrival, *(row.beat_at for row in beats)])
    if latest - now <= health.CLOCK_MS:
        return None
    return Alarm("clock", "The clock was set back: something happened already at", latest)


def _paused(standings: Sequence[Standing]) -> list[Alarm]:
    held = [queue for queue in standings if queue.paused and queue.due]
    if len(held) > _NAMED:
        told = jobs(sum(queue.due for queue in held), all(queue.is_exact for queue in held))
        return [Alarm("paused", f"{len(held)} queues are paused: {told} wait in them")]
    return [
        Alarm(
            "paused",
            f"The queue {queue.name} is paused: {jobs(queue.due, queue.is_exact)} "
            f"{'waits' if queue.due == 1 else 'wait'} in it",
            queue=queue.name,
        )
        for queue in held
    ]
