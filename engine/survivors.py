"""Processes of a worker's runs that cannot be ended: kept with the worker, shown with it and with its job.

Written by the worker while it lives, then by its supervisor.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from models import Job, Worker


class Survivor(NamedTuple):
    """pid and started: its number and when it started (0, 0: no process is known). job and run: whose it is. says: why."""

    pid: int
    started: int
    job: int
    run: int
    says: str


def of_worker(worker: Worker) -> list[Survivor]:
    """Those of the runs of this worker."""
    return [Survivor(*one) for one in json.loads(worker.survivors or "[]")]


def store(worker_pk: int, found: Sequence[Survivor], **columns: Any) -> None:
    """Keep these, in the place of those before, and the other columns of the worker."""
    written = json.dumps(found) if found else None
    Worker.update(survivors=written, **columns).where(Worker.pk == worker_pk).execute()


def note(worker: Worker) -> str | None:
    """One sentence for all of them; None when there is none."""
    return "; ".join(one.says for one in of_worker(worker)) or None


def note_of_job(job: Job) -> str | None:
    """Why the command of this running job cannot be ended; None when nothing is known to keep it."""
    if job.state != "processing" or not job.locked_by:
        return None
    worker = Worker.get_or_none(Worker.pk == int(job.locked_by[1:]))
    says = [one.says for one in of_worker(worker) if (one.job, one.run) == (job.pk, job.run)] if worker else []
    return "; ".join(says) or None


def keeping(worker_ids: Sequence[str]) -> list[str]:
    """A sentence for each of these workers whose job, and with it the worker, a process keeps that cannot be ended."""
    held = Job.select().where(Job.state == "processing", Job.locked_by.in_(worker_ids)).limit(1000)
    said = {
        job.locked_by: f"{job.locked_by} has job {job.id}: {says}." for job in list(held) if (says := note_of_job(job))
    }
    return list(said.values())


def stuck_workers() -> list[Worker]:
    """The workers that live, or are not given up, while a process of theirs cannot be ended."""
    found = Worker.select().where(Worker.stopped_at.is_null(), Worker.survivors.is_null(False))
    return list(found.order_by(Worker.pk).limit(1000))
