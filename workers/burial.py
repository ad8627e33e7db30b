"""What is done for a worker that died, in this order: end what is left of its job, give the job back, record it.

A job is given back only when the kernel says that no process of its run is alive.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import models
from engine import jobs, wakeup
from engine.jobs import Claim
from models import Worker, db
from workers import locks, log, tree
from workers.journal import Journal, life_of

PATIENCE_S = 5.0  # for processes that do not go at once; then it is tried again later


def bury(
    worker: Worker,
    reason: str,
    *,
    clean: bool,
    heir: dict[str, Any] | None,
    folder: str,
    host: str,
    spare: Collection[int],
) -> bool:
    """Clear away a dead worker. False when a process of its job cannot be ended: nothing is given back then.

    reason: how it died, in words. clean: it ended as asked. heir: the wish for the worker that takes its place.
    spare: the children of this process that live on.
    """
    held = jobs.held_by(worker.id, host)
    if not _clear(worker, held, folder, spare):
        log.say("supervisor", f"{worker.id}: cannot end the processes of its job; it is not given back yet")
        return False
    forced = worker.desired == "kill"  # a wish, so no crash
    status = "stopped" if forced or (clean and not held) else "lost"
    reason = "force-stopped" if forced else reason
    journal = Journal(locks.of_hand(folder, worker.pk), life_of(worker, models.instance()))
    with db.transaction():
        for job in held:
            if run := journal.end_of(job):
                jobs.end(run)
            elif not journal.has_begun(job, among=len(held)):
                jobs.put_back([job])
            elif forced:
                jobs.give_back(job.pk, f"worker {worker.id} was force-stopped")
            else:
                jobs.lose(job.pk, job.run, worker.id, host, f"worker {worker.id} died: {reason}")
        if held:
            wakeup.nudge()
        end = {"status": status, "stopped_at": models.now_ms(), "reason": reason}
        Worker.update(end).where(Worker.pk == worker.pk).execute()
        if heir is not None:
            Worker.insert(heir).execute()
    locks.forget(*locks.all_of(folder, worker.pk))
    log.say("supervisor", f"{status} {worker.id}: {reason}")
    return True


def _clear(worker: Worker, held: Sequence[Claim], folder: str, spare: Collection[int]) -> bool:
    """Kill every process of the dead worker's jobs; True when none is left."""
    path = locks.of_jobs(folder, worker.pk)
    tree.end_children(spare)
    if not held and not locks.is_held(path):
        return True
    marks = {tree.mark(models.instance(), job.pk, job.run) for job in held}

    def is_clear() -> bool:
        found = tree.end_marked(marks) if marks else 0
        found += tree.end_children(spare)
        if locks.is_held(path):
            found += tree.end_holders(path)
        return found == 0 and not locks.is_held(path)

    return tree.wait_until(is_clear, PATIENCE_S)
