"""Whether the processes are as they should be, and with them the whole queue. The locks are asked, as always."""

from __future__ import annotations

import os
import socket

import models
from engine import clock, dialect, health, liveness, ownership, survivors, wording
from engine.errors import QueueError
from engine.health import OK, PROBLEM, WARNING, Finding
from engine.queries import SILENT_MS
from engine.wording import plural
from models import Job, Supervisor, Worker, db
from workers import locks, tree
from workers.control import log_path, supervisor_lives

_CLOCK_MS = 2000
_NAMED = 5  # ids in a sentence
_EARLY_DEATHS = 3  # in a row, from which on workers cannot be started


def examine(url: str | None = None) -> list[Finding]:
    """Every check of the database at `url`. Changes nothing, but brings an older schema up to date."""
    path = models.path_of(url)
    found = health.of_place(path)
    if not os.path.exists(path):
        return [Finding("database", OK, f"there is none at {path} yet; the first job makes it"), *found]
    try:
        models.connect(path)
    except QueueError as error:
        advice = "'queuectl restore FILE' brings back a backup and keeps what is there."
        return [Finding("database", PROBLEM, str(error), advice), *found]
    return [Finding("database", OK, path), *health.of_database(), *_of_processes(), *found]


def mend(url: str | None = None) -> list[str]:
    """Put right what is safe to: the owners of files, the counters, the journal mode, lock files of the past. What was done, in words."""
    path = models.path_of(url)
    if not os.path.exists(path):
        return []
    done = ownership.mend(path)
    models.connect(path)
    done += health.mend()
    removed = _remove_locks(_stale_locks())
    return [*done, f"Removed {removed} stale lock files."] if removed else done


def follow_clock(url: str | None = None) -> list[str]:
    """The system's clock is right: every process of this host follows it from now on. What was done, in words."""
    path = models.path_of(url)
    if not os.path.exists(path):
        return []
    models.connect(path)
    doubt = clock.doubt()
    clock.follow_now()
    return [] if doubt is None else [f"Followed the clock, {wording.span(doubt.ahead_ms)} ahead."]


def _of_processes() -> list[Finding]:
    return [
        health.looked_at("supervisor", _supervisor),
        health.looked_at("waiting jobs", _waiting),
        health.looked_at("running jobs", _running),
        health.looked_at("workers", _workers),
        health.looked_at("processes to end", _survivors),
        health.looked_at("lock files", _lock_files),
        health.looked_at("list of processes", _processes),
    ]


def _supervisor() -> Finding:
    if not supervisor_lives():
        wanted = Worker.select().where(Worker.stopped_at.is_null(), Worker.desired == "run").count()
        if not wanted:
            return Finding("supervisor", OK, "none lives; 'queuectl worker start' makes one")
        says = f"none lives, but {plural(wanted, 'worker')} {'is' if wanted == 1 else 'are'} wanted"
        return Finding(
            "supervisor", PROBLEM, says, "Start 'make run' or its service again, or 'queuectl worker start'."
        )
    newest = Supervisor.select().where(Supervisor.host == socket.gethostname()).order_by(Supervisor.pk.desc()).first()
    if newest is None:
        return Finding("supervisor", WARNING, "one has its lock and no row yet", "Look again in a moment.")
    silent_ms = models.now_ms() - newest.beat_at
    says = f"process {newest.pid}, last heard of {silent_ms / 1000:,.0f} s ago"
    if silent_ms > SILENT_MS:
        advice = f"See whether process {newest.pid} is stopped or its disk stuck; ending it starts no job twice."
        return Finding("supervisor", PROBLEM, says, advice)
    if silent_ms < -_CLOCK_MS:
        return Finding(
            "supervisor", WARNING, f"its last beat is {-silent_ms / 1000:,.0f} s ahead", "Set the clock, by NTP."
        )
    return Finding("supervisor", OK, says)


def _waiting() -> Finding:
    due_at = db.execute_sql(dialect.NEXT_DUE).fetchone()[0]
    if due_at is None or due_at > models.now_ms():
        return Finding("waiting jobs", OK, "none is due")
    wanted = Worker.select().where(Worker.stopped_at.is_null(), Worker.desired == "run").exists()
    if wanted and liveness.has_workers():
        return Finding("waiting jobs", OK, "some are due, and workers take them")
    says = "some are due, and no worker lives" if wanted else "some are due, and there is no worker"
    return Finding("waiting jobs", WARNING, says, "queuectl worker start --count 2")


def _running() -> Finding:
    """Jobs whose worker is dead. The next supervisor gives them back, unless their worker counts as ended."""
    held = Job.select().where(Job.state == "processing").order_by(Job.pk).limit(10_000)
    abandoned = [job for job in list(held) if _is_abandoned(job)]
    if not abandoned:
        return Finding("running jobs", OK, "each has a living worker")
    says = f"the workers of {_some([job.id for job in abandoned])} are dead"
    if supervisor_lives():
        return Finding("running jobs", WARNING, says, "The supervisor is giving them back; look again in a moment.")
    return Finding("running jobs", PROBLEM, says, "queuectl worker start; its supervisor gives them back at once.")


def _is_abandoned(job: Job) -> bool:
    pk = int(str(job.locked_by)[1:])
    folder = models.run_folder()
    if (
        survivors.note_of_job(job)
        or locks.is_held(locks.of_worker(folder, pk))
        or locks.is_held(locks.of_jobs(folder, pk))
    ):
        return False
    return Job.select().where(Job.pk == job.pk, Job.run == job.run, Job.state == "processing").exists()


def _workers() -> Finding:
    living = Worker.select().where(Worker.stopped_at.is_null(), Worker.started_at.is_null(False)).order_by(Worker.pk)
    rows = list(living.limit(10_000))
    dead = [row.id for row in rows if not locks.is_held(locks.of_worker(models.run_folder(), row.pk))]
    if dead and not supervisor_lives():
        says = f"{_some(dead)} died with their supervisor"
        return Finding("workers", WARNING, says, "queuectl worker start clears them away.")
    unborn = Worker.select().where(Worker.stopped_at.is_null(), Worker.early_deaths >= _EARLY_DEATHS)
    if worst := unborn.order_by(Worker.early_deaths.desc()).first():
        says = f"{worst.early_deaths} in a row died as soon as they were started; {worst.id} is the next"
        return Finding("workers", PROBLEM, says, f"See {log_path()} or the log of the service.")
    return Finding("workers", OK, f"{len(rows) - len(dead)} alive")


def _survivors() -> Finding:
    """A job that cannot end, or cannot be given back, is a problem. What an earlier run left is in no job's way."""
    found = [(worker, one) for worker in survivors.stuck_workers() for one in survivors.of_worker(worker)]
    if not found:
        return Finding("processes to end", OK, "none is known that cannot be ended")
    running = {(job.pk, job.run) for job in Job.select(Job.pk, Job.run).where(Job.state == "processing").limit(10_000)}
    verdict = PROBLEM if any((one.job, one.run) in running for _, one in found) else WARNING
    says = "; ".join(f"{worker.id}: {one.says}" for worker, one in found[:_NAMED])
    return Finding("processes to end", verdict, says, "End what is named; the queue goes on by itself then.")


def _lock_files() -> Finding:
    stale = _stale_locks()
    if not stale:
        return Finding("lock files", OK, "none is left over")
    return Finding(
        "lock files", WARNING, f"{len(stale)} of past workers are left", "'queuectl doctor --fix' removes them."
    )


def _processes() -> Finding:
    """Where there is no such list (macOS) the process groups of commands are ended, and that is known."""
    if tree.sees_itself() or not os.path.exists("/proc/self"):
        return Finding("list of processes", OK, "what a command leaves behind is found")
    says = "/proc shows another PID namespace, so what leaves its command's process group is not ended"
    return Finding(
        "list of processes", WARNING, says, "Start it where /proc is its own: unshare --pid --fork --mount-proc."
    )


def _stale_locks() -> dict[str, int]:
    """Free files of workers that have ended or are not listed, of whatever database, with the workers' numbers."""
    folder = models.run_folder()
    found = {name: int(match[1]) for name in sorted(os.listdir(folder)) if (match := locks.OF_WORKERS.fullmatch(name))}
    living = {worker.pk for worker in Worker.select(Worker.pk).where(Worker.stopped_at.is_null())}
    past = {name: pk for name, pk in found.items() if pk not in living}  # one that is spawned is listed before
    return {name: pk for name, pk in past.items() if not locks.is_held(os.path.join(folder, name))}


def _remove_locks(stale: dict[str, int]) -> int:
    """Remove these files, but those of a worker that was spawned meanwhile under such a number; the number removed."""
    folder = models.run_folder()
    removed = 0
    for name, pk in stale.items():
        lock = locks.take(locks.of_worker(folder, pk))
        if lock is None:
            continue
        locks.forget(os.path.join(folder, name), locks.of_worker(folder, pk))
        os.close(lock)
        removed += 1
    return removed


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
