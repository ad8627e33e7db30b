"""What is done for a worker that died, in this order: end what is left of its job, give the job back, record it.

A job is given back only when the kernel says that no process of its run is alive. While one lives that cannot be ended,
the job stays with the dead worker, whose row says why, and another worker takes its place.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import models
from engine import jobs, survivors, wakeup
from engine.jobs import Claim
from engine.survivors import Survivor
from models import Worker, db
from workers import locks, log, process, tree
from workers.journal import Journal, life_of

PATIENCE_S = 2.0  # for processes that do not go at once; then it is tried again later


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
    journal = Journal(locks.of_hand(folder, worker.pk), life_of(worker, models.instance()))
    begun = [job for job in held if not journal.end_of(job) and journal.has_begun(job, among=len(held))]
    left = _clear(worker, held, begun, folder, spare)
    if left:
        _defer(worker, left, heir)
        return False
    # A wish, so no crash. A worker that is told to stop leaves a command that cannot be ended.
    forced = worker.desired == "kill" or (clean and worker.survivors is not None)
    status = "stopped" if forced or (clean and not held) else "lost"
    reason = "force-stopped" if worker.desired == "kill" else reason
    with db.transaction():
        for job in held:
            if run := journal.end_of(job):
                jobs.end(run)
            elif not journal.has_begun(job, among=len(held)):
                jobs.put_back([job])
            elif forced:
                jobs.give_back(
                    job.pk, f"worker {worker.id} was {'force-stopped' if worker.desired == 'kill' else 'stopped'}"
                )
            else:
                jobs.lose(job.pk, job.run, worker.id, host, f"worker {worker.id} died: {reason}")
        if held:
            wakeup.nudge()
        end = {"status": status, "stopped_at": models.now_ms(), "reason": reason, "survivors": None}
        Worker.update(end).where(Worker.pk == worker.pk).execute()
        if heir is not None:
            Worker.insert(heir).execute()
    locks.forget(*locks.all_of(folder, worker.pk))
    log.say("supervisor", f"{status} {worker.id}: {reason}")
    return True


def _clear(
    worker: Worker, held: Sequence[Claim], begun: Sequence[Claim], folder: str, spare: Collection[int]
) -> list[Survivor]:
    """Kill every process of the dead worker's jobs; those that live on of the jobs that have begun.

    What an earlier run left, whose end is known, keeps no job.
    """
    path = locks.of_jobs(folder, worker.pk)
    runs = {(job.pk, job.run) for job in begun}
    alive: set[tuple[int, int]] = set()
    for one in survivors.of_worker(worker):
        tree.spare(one.pid, one.started)
        if (one.job, one.run) in runs and one.pid:
            alive.add((one.pid, one.started))
    found = tree.end_children(spare)
    if not held and not locks.is_held(path):
        return []
    marks = {tree.mark(models.instance(), job.pk, job.run) for job in held}

    def is_clear() -> bool:
        found.extend(tree.end_marked(marks) if marks else ())
        found.extend(tree.end_children(spare))
        if is_held := locks.is_held(path):
            found.extend(tree.end_holders(path))
        is_new = bool(found)
        alive.update((pid, process.started_of(pid)) for pid in found)
        found.clear()
        for name in [name for name in alive if not process.is_alive(*name)]:
            alive.remove(name)
        return not (alive or is_held or is_new)

    if tree.wait_until(is_clear, PATIENCE_S) or not begun:
        return []
    return _described(worker, begun[0], sorted(alive), path)


def _described(worker: Worker, job: Claim, alive: Sequence[tuple[int, int]], path: str) -> list[Survivor]:
    until = f"until then job {job.id} of the dead worker {worker.id} is not run again"
    if not alive:
        says = f"a process that cannot be found holds {path}; type 'sudo fuser {path}'; {until}"
        return [Survivor(0, 0, job.pk, job.run, says)]
    return [Survivor(pid, started, job.pk, job.run, f"{process.why_alive(pid)}; {until}") for pid, started in alive]


def _defer(worker: Worker, left: list[Survivor], heir: dict[str, Any] | None) -> None:
    """Say what keeps the job; the worker counts no more among those that are wanted, but the one in its place."""
    known = survivors.of_worker(worker)
    others = [one for one in known if (one.job, one.run) != (left[0].job, left[0].run)]
    if left + others == known and heir is None:
        return
    desired = "drain" if worker.desired == "run" else worker.desired
    with db.transaction():
        survivors.store(worker.pk, left + others, status="stopping", desired=desired)
        if heir is not None:
            Worker.insert(heir).execute()
    for one in left:
        log.say("supervisor", one.says)
