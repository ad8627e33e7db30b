"""Small situations, each made so that one protection decides how it ends.

They wait for what has happened (lines in the ledger, files, rows), never for a time to pass, so a mutant is not
caught by luck. A scenario raises Broken when a promise is broken.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import models
from engine import config, jobs, wakeup
from engine.errors import StaleClaim, Unavailable
from engine.jobs import Claim, Ending
from models import Attempt, Job, Supervisor, Worker, db
from tests.chaos import checker, processes, witness
from tests.chaos.processes import Process
from tests.engine import history
from tests.support import wait_until
from workers import birth, control, locks, supervisor
from workers.supervisor import Supervision

_UNSEEN_S = 3.0  # a healthy supervisor looks four times a second
_STAY = "exec sleep 300"
_CLOSE = 'for f in /proc/self/fd/*; do n=${f##*/}; case $n in 9|255) ;; *) eval "exec $n>&-";; esac; done'

# Each says that it is ready when nothing of it changes any more.
CLOSED = f"(setsid bash -c '{_CLOSE}; : >ready; {_STAY}' &)"  # only its environment says whose it is
EMPTY = f"(setsid env -i sh -c ': >ready; {_STAY}' >/dev/null 2>&1 &)"  # only its descriptors do
HIDDEN = f"(setsid env -i bash -c '{_CLOSE}; : >ready; {_STAY}' &)"  # neither: it is only someone's child
CHAIN = f"(setsid sh -c \"setsid sh -c ': >ready; {_STAY}' & {_STAY}\" >/dev/null 2>&1 &)"
READY = "until [ -e ready ]; do sleep 0.01; done"
FIRST_RUN_STAYS = f"[ $run -gt 1 ] || {_STAY}"


class Broken(AssertionError):
    """A promise was broken; the first word says which."""


class Stage:
    """A database, a folder for evidence, and supervisors with one mutant in them."""

    def __init__(self, folder: Path, mutant: str, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        self.mutant = mutant
        self.monkeypatch = monkeypatch
        self.supervisors: list[subprocess.Popen[bytes]] = []
        self.log = folder / "log"
        self.database = models.connect(str(folder / "queue.db"))
        config.set("max_crashes", 100)
        witness.prepare(folder)

    def add(self, body: str, job_id: str = "job") -> None:
        jobs.enqueue({"id": job_id, "command": witness.command(self.folder, body), "max_retries": 0})

    def supervise(self, count: int = 1) -> Process:
        """Start a supervisor with the mutant in it, as the Procfile does."""
        words = [sys.executable, "-m", "tests.chaos.mutants", self.mutant, "--count", str(count)]
        environment = {**os.environ, "QUEUECTL_DB": db.database}
        with open(self.log, "ab") as log:
            started = subprocess.Popen(words, cwd=models.ROOT, env=environment, stdout=log, stderr=log)
        self.supervisors.append(started)
        return Process(started.pid, processes.SUPERVISOR)

    def begun(self, job_id: str = "job", run: int = 1) -> None:
        """Wait until this run has begun and what it leaves behind is there."""
        line = f"begin {job_id} {run} "
        wait_until(lambda: line in self.ledger())
        if " : >ready" in Job.get(Job.id == job_id).command:
            wait_until((self.folder / "ready").exists)

    def ended(self, job_id: str = "job") -> Job:
        return wait_until(lambda: Job.get_or_none(Job.id == job_id, Job.state.in_(("completed", "dead"))))

    def ledger(self) -> str:
        return (self.folder / "ledger").read_text()

    def kill(self, *targets: Process) -> None:
        for target in targets:
            assert processes.send(target, signal.SIGKILL), target
        for started in self.supervisors:
            if started.pid in {target.pid for target in targets}:
                started.wait()
        wait_until(lambda: not any(processes.name_of(target.pid) for target in targets))

    def worker(self, job_id: str = "job") -> Process:
        """The worker that runs this job."""
        holder = Job.get(Job.id == job_id).locked_by
        return wait_until(lambda: [found for found in self.ours() if found.name == f"queuectl-{holder}"])[0]

    def ours(self) -> list[Process]:
        return processes.ours(db.database)

    def calm(self, supervisor: Process) -> None:
        """Wait until the supervisor sleeps without a clock, at most one second: a healthy one never does."""
        give_up_at = time.monotonic() + 1.0
        before = None
        while (now := _switches(supervisor.pid)) != before and time.monotonic() < give_up_at:
            before = now
            time.sleep(0.3)

    def close(self) -> None:
        """End everything by force: a mutant leaves what it should not."""
        for started in self.supervisors:
            started.kill()
            started.wait()
        instance = models.instance()

        def is_clean() -> bool:
            left = {process.pid for process in self.ours()} | set(processes.marked(instance))
            left |= set(processes.holders(str(self.folder / "locks")))
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_until(is_clean)
        models.disconnect()


def _switches(pid: int) -> list[str]:
    return [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "ctxt_switches" in line]


def _no_overlap(stage: Stage) -> None:
    stage.ended()
    if "overlap" in stage.ledger():
        raise Broken("overlap: a run began while a process of an earlier one lived")


# --- a worker dies


def worker_dies(stage: Stage) -> None:
    stage.add(f"setsid sleep 300 >/dev/null 2>&1 & {FIRST_RUN_STAYS}")
    stage.supervise()
    stage.begun()
    stage.kill(stage.worker())
    _no_overlap(stage)


def worker_dies_among_several(stage: Stage) -> None:
    """It holds ends that are not stored, a job that runs and jobs that have not begun."""
    for number in range(16):
        stage.add("[ -e once ] || { : >once; kill -9 $PPID; sleep 300; }" if number == 10 else ":", f"job{number}")
    stage.supervise()
    for number in range(16):
        job = stage.ended(f"job{number}")
        runs = Attempt.select().where(Attempt.job == job.pk).count()
        begun = stage.ledger().count(f"begin {job.id} ")
        if number != 10 and begun > 1:
            raise Broken(f"twice: {job.id} had ended and was run again")
        if number != 10 and job.crashes:
            raise Broken(f"crash: {job.id} had not begun and counts as crashed")
        if begun != runs:
            raise Broken(f"history: {job.id} began {begun} times and says {runs}")


def worker_dies_beside_another(stage: Stage) -> None:
    """Another worker ends its job at the very moment when the job of the dead one is given back."""
    stage.add(f"setsid sleep 300 >/dev/null 2>&1 & {FIRST_RUN_STAYS}")
    stage.add("until [ -e gate ]; do sleep 0.01; done", "other")
    stage.supervise(2)
    stage.begun()
    stage.begun("other")
    holder = Job.get(Job.id == "job").locked_by
    stage.kill(stage.worker())
    wait_until(lambda: Job.get(Job.id == "job").locked_by != holder)
    (stage.folder / "gate").touch()
    _no_overlap(stage)


def worker_dies_and_a_job_hides(stage: Stage) -> None:
    stage.add(f"{HIDDEN}; {READY}; {FIRST_RUN_STAYS}")
    stage.supervise()
    stage.begun()
    stage.kill(stage.worker())
    _no_overlap(stage)


# --- all die


def _all_die(stage: Stage, leftover: str) -> None:
    stage.add(f"{leftover}; {READY}; {FIRST_RUN_STAYS}")
    first = stage.supervise()
    stage.begun()
    stage.kill(first, stage.worker())
    stage.supervise()


def all_die_and_descriptors_are_closed(stage: Stage) -> None:
    _all_die(stage, CLOSED)
    _no_overlap(stage)


def all_die_and_environment_is_empty(stage: Stage) -> None:
    _all_die(stage, EMPTY)
    wait_until(lambda: Job.get().state == "completed" or "is not run again" in stage.log.read_text())
    if Job.get().state != "completed":
        raise Broken("stuck: the processes of a dead worker's job are not found")
    _no_overlap(stage)


def all_die_and_a_job_uses_many_descriptors(stage: Stage) -> None:
    """As a script does that says `exec 3>file`: it takes the place of what the job has inherited there."""
    _all_die(stage, f"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-; {EMPTY}")
    _no_overlap(stage)


def supervisor_dies(stage: Stage) -> None:
    """Its worker lives and finishes its job; the next supervisor must not take it for dead."""
    stage.add("until [ -e gate ]; do sleep 0.01; done")
    first = stage.supervise()
    stage.begun()
    stage.kill(first)
    stage.supervise()
    wait_until(lambda: Worker.get_by_id(1).status in ("draining", "lost", "stopped"))
    (stage.folder / "gate").touch()
    stage.ended()
    outcomes = [attempt.outcome for attempt in Attempt.select(Attempt.outcome)]
    if outcomes != ["success"]:
        raise Broken(f"cut short: the job of a living worker has the attempts {outcomes}")


def second_supervisor(stage: Stage) -> None:
    stage.supervise()
    wait_until(Supervisor.select().count)
    stage.supervise()
    wait_until(lambda: Supervisor.select().count() > 1 or "waiting to take over" in stage.log.read_text())
    if Supervisor.select().count() > 1:
        raise Broken("two supervisors live at once")


# --- a job ends


def job_leaves_processes(stage: Stage) -> None:
    stage.add(f"{CHAIN}; {READY}")
    stage.supervise()
    stage.ended()
    with open(stage.folder / "locks" / "job") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Broken("outlived: a process of the job lives after its end") from None


# --- waking up


def nobody_nudges_for_a_job(stage: Stage) -> None:
    """Like an insert by another program, or a nudge that is lost."""
    _calm_supervisor(stage)
    stage.add(":", "unannounced")
    if not _within(_UNSEEN_S, lambda: Job.get(Job.id == "unannounced").state == "completed"):
        raise Broken("not seen: a due job waits beside an idle worker")


def nobody_nudges_for_a_worker(stage: Stage) -> None:
    _calm_supervisor(stage)
    pk = Worker.insert(host="", created_at=0).execute()
    if not _within(_UNSEEN_S, lambda: Worker.get_by_id(pk).started_at):
        raise Broken("not seen: a worker is wanted and not started")


def _calm_supervisor(stage: Stage) -> None:
    """A supervisor with an idle worker that has nothing left to hear, and a world that does not nudge."""
    stage.add(":", "first")
    supervisor = stage.supervise()
    stage.ended("first")
    stage.monkeypatch.setattr(wakeup, "_send", lambda: None)
    stage.calm(supervisor)


def _within(limit_s: float, question: Callable[[], Any]) -> bool:
    try:
        return bool(wait_until(question, limit_s))
    except AssertionError:
        return False


def job_is_snatched(stage: Stage) -> None:
    """A worker is woken for a job that another took first. The scenario plays the supervisor."""
    row = Worker.get_by_id(Worker.insert(host="here", created_at=0).execute())
    [(_, child, _)] = birth.each_forked([row], birth.terms(models.run_folder(), "here"))
    assert child is not None
    try:
        child.channel.setblocking(True)
        child.channel.settimeout(_UNSEEN_S)
        assert child.channel.recv(64) == b"idle"
        child.tell("wake")
        child.channel.recv(64)
    except TimeoutError:
        raise Broken("not seen: a worker that was woken in vain counts as woken for ever") from None
    finally:
        child.tell("drain")
        os.waitpid(child.pid, 0)
        child.channel.close()


def wish_meets_the_leaving(stage: Stage) -> None:
    """A wish is written when its author has just seen that a supervisor lives, which then lets go of its lock."""
    if _leaves(stage, lambda: Worker.insert(host="here", created_at=0).execute()):
        raise Broken("left alone: a worker is wanted and no supervisor lives")


def database_is_locked_at_the_last_look(stage: Stage) -> None:
    """A supervisor that goes on must have its lock again, also when it cannot see whether it is wanted."""

    def fail() -> bool:
        raise Unavailable("locked")

    if _leaves(stage, lambda: stage.monkeypatch.setattr(control, "is_anyone_wanted", fail)):
        raise Broken("left alone: a worker may be wanted and no supervisor lives")


def _leaves(stage: Stage, at_the_release: Callable[[], Any]) -> bool:
    """Whether a supervisor leaves when this happens just before it lets go of its lock. If not, it has the lock."""
    lock = locks.take(locks.of_supervisor(models.run_folder()))
    assert lock is not None
    leaving = Supervision(lock, managed=False, host="here")

    def close(fd: int) -> None:
        stage.monkeypatch.setattr(supervisor, "os", os)
        at_the_release()
        os.close(fd)

    stage.monkeypatch.setattr(supervisor, "os", SimpleNamespace(**{**vars(os), "close": close}))
    try:
        has_left = leaving._leave()
    except Unavailable:
        raise Broken("lockless: a supervisor goes on without its lock") from None
    finally:
        for end in (leaving.alarm, leaving.alarm_end, leaving.ear):
            end.close()
    if not has_left:
        assert locks.is_held(locks.of_supervisor(models.run_folder()))
        os.close(leaving.lock)
    return has_left


# --- the engine


def _claimed(worker: str) -> Claim:
    held = jobs.claim(worker, "here")
    assert held is not None
    return held


def _lost(held: Claim) -> str | None:
    return jobs.lose(held.pk, held.run, held.worker, held.host, "died")


def _refused(act: Callable[[], None]) -> None:
    try:
        act()
    except StaleClaim:
        return
    raise Broken("accepted: a late result of a run that holds the job no more")


def late_finisher(stage: Stage) -> None:
    """A worker that was taken for dead finishes while another runs its job; a second burial comes too late as well."""
    stage.add(":")
    first = _claimed("w1")
    _lost(first)
    _claimed("w2")
    _refused(lambda: jobs.complete(first, Ending(return_code=0)))
    _refused(lambda: jobs.release(first, Ending()))
    if _lost(first) is not None:
        raise Broken("accepted: a second burial of a run takes the job from the next")


def late_finisher_of_the_same_worker(stage: Stage) -> None:
    stage.add(":")
    first = _claimed("w1")
    _lost(first)
    second = _claimed("w1")
    _refused(lambda: jobs.complete(first, Ending(return_code=0)))
    jobs.complete(second, Ending(return_code=0))


def finished_twice(stage: Stage) -> None:
    stage.add(":")
    held = _claimed("w1")
    jobs.complete(held, Ending(return_code=0))
    _refused(lambda: jobs.release(held, Ending()))


def last_retry(stage: Stage) -> None:
    jobs.enqueue({"id": "job", "command": "false", "max_retries": 1})
    jobs.fail(_claimed("w1"), Ending(return_code=1))
    if Job.get().state != "failed":
        raise Broken(f"dead too soon: {Job.get().state} with one retry left")


def write_between_read_and_write(stage: Stage) -> None:
    """Another process commits after a burial has read its job and before it writes it."""
    stage.add(":")
    held = _claimed("w1")
    stage.database.patience_s = 0.2
    get = config.get

    def get_late(name: str) -> Any:
        with closing(sqlite3.connect(db.database, timeout=0)) as other, suppress(sqlite3.OperationalError), other:
            other.execute("INSERT INTO meta VALUES ('other', '')")
        return get(name)

    stage.monkeypatch.setattr(config, "get", get_late)
    try:
        with db.transaction():
            _lost(held)
    except Unavailable:
        raise Broken("refused: a transaction that has read cannot write any more") from None
    finally:
        stage.monkeypatch.setattr(config, "get", get)


def many_at_once(stage: Stage) -> None:
    """Processes that claim, end, lose and retry the same few jobs; a model judges what came of it."""
    for violation in history.play(seed=3, steps=1500, patience_s=0.5):
        raise Broken(violation)


def counters(stage: Stage) -> None:
    stage.add(":")
    jobs.complete(_claimed("w1"), Ending(return_code=0))
    with closing(sqlite3.connect(db.database)) as connection:
        connection.row_factory = sqlite3.Row
        for violation in checker.database(connection):
            raise Broken(violation)
