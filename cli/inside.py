"""Commands that a job runs: what would wait for that job itself is refused, for it would never end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from engine.errors import Refused


def own_job() -> Any:
    """The job whose present run this process is part of, None when there is none in this database."""
    instance, _, rest = os.environ.get("QUEUECTL_RUN", "").partition("-")
    pk, _, run = rest.partition("-")
    if not (pk.isdigit() and run.isdigit()):
        return None
    import models
    from models import Job

    if instance != models.instance():
        return None
    return Job.get_or_none(Job.pk == int(pk), Job.run == int(run), Job.state == "processing")


def refuse_wait(own: Any, waiting: Sequence[Any]) -> None:
    """Raises Refused when one of the jobs waited for is this one, or can only be run by the worker of this one."""
    if own is None:
        return
    if own.pk in (job.pk for job in waiting):
        raise Refused(f"This command is part of job {own.id}, so it would wait for itself.")
    idle = next((job for job in waiting if job.state in ("pending", "failed")), None)
    if idle is not None and not _has_other_worker(own.locked_by):
        raise Refused(
            f"Job {idle.id} would never begin: only worker {own.locked_by} takes jobs, and it runs this command, which is "
            f"part of job {own.id}. Start another worker, or do not wait."
        )


def refuse_stop(worker_id: str | None) -> None:
    """Raises Refused when the worker whose end is waited for (None: all) runs this command."""
    own = own_job()
    if own is not None and worker_id in (None, own.locked_by):
        raise Refused(
            f"This command is part of job {own.id}, which worker {own.locked_by} runs, so it would wait for itself; "
            "use --no-wait, or --now to end the job too."
        )


def refuse_follow(job_id: str, run: int | None) -> None:
    """Raises Refused when the output to follow is that of this command."""
    own = own_job()
    if own is not None and own.id == job_id and run in (None, own.run):
        raise Refused(f"This command is part of job {own.id}, so it would follow its own output without end.")


def _has_other_worker(worker_id: str) -> bool:
    """Whether another worker takes jobs, or soon will."""
    from engine import liveness
    from models import Worker

    willing = Worker.select().where(
        Worker.stopped_at.is_null(), Worker.desired == "run", Worker.pk != int(worker_id[1:])
    )
    rows = list(willing.limit(1000))
    return len(rows) > len(liveness.dead(rows))
