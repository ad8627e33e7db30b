"""A stage for one crash: real processes with one armed point, the scene that leads to it, and the healing afterwards.

Nothing waits for a time to pass, only for what has happened. What a scene leaves is judged by tests/chaos/checker.py.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import models
import workers
from engine import backup, config, jobs, transfer, wakeup
from engine.jobs import Claim, Ending
from engine.output import Output
from models import Attempt, Job, Worker, db
from tests.chaos import processes, witness
from tests.chaos.checker import Evidence, Kill
from tests.faults.crashpoints import COMMAND, POINTS, SUPERVISOR, WORKER
from tests.support import wait_until
from workers import locks

DAY_MS = 24 * 3600 * 1000
ARMED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "armed")
FIRST_RUN_STAYS = "[ $run -gt 1 ] || exec sleep 300"
GATE = "until [ -e gate ]; do sleep 0.01; done"


class Stage:
    """One database, one armed point, and what is known of its victim."""

    def __init__(self, folder: Path, name: str, how: str, empty_database: Path):
        self.folder = folder
        self.point = POINTS[name]
        self.how = how
        self.mark = folder / "mark"
        self.fault = f"{name}:{how}:{self.point.nth}"
        self.log = folder / "log"
        self.log.touch()
        self.path = folder / "queue.db"
        self.is_alone = False  # no process runner looks after the supervisors
        self.supervisors: list[subprocess.Popen[bytes]] = []
        if self.point.scene != "migration":
            shutil.copy(empty_database, self.path)
            self.open()
        witness.prepare(folder)
        self.evidence = Evidence(folder, self.path, [])

    def open(self) -> None:
        """Look at the database from here too."""
        os.environ["QUEUECTL_DB"] = str(self.path)  # undone with the test's own environment
        models.connect(str(self.path))

    # --- what a scene is made of

    def add(self, body: str, job_id: str = "job", **fields: Any) -> None:
        jobs.enqueue({"id": job_id, "command": witness.command(self.folder, body), "max_retries": 3, **fields})
        self.evidence.ids.append(job_id)

    def end_here(self, job_id: str, at: int | None = None, output: bytes = b"") -> None:
        """Run the job to its end without a process, and let the ledger say so."""
        held = jobs.claim("w0", "here")
        assert held is not None
        assert held.id == job_id
        self.write(f"begin {job_id} {held.run} 0", f"end {job_id} {held.run}")
        jobs.complete(held, Ending(return_code=0, stdout=Output(output, len(output))))
        if at is not None:
            db.execute_sql("UPDATE job SET created_at = ?, finished_at = ? WHERE pk = ?", (at, at, held.pk))
            db.execute_sql("UPDATE attempt SET finished_at = ? WHERE job_pk = ?", (at, held.pk))

    def write(self, *lines: str) -> None:
        with open(self.folder / "ledger", "a") as ledger:
            ledger.writelines(f"{line}\n" for line in lines)

    def supervise(self, *words: str, armed: bool = False, count: int = 1) -> subprocess.Popen[bytes]:
        """A supervisor as a process runner keeps it."""
        line = [sys.executable, "-m", "workers", "--count", str(count), *words]
        with open(self.log, "ab") as log:
            started = subprocess.Popen(
                line, cwd=models.ROOT, env=self._environment(armed), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.supervisors.append(started)
        return started

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`queuectl` with the armed point in it."""
        line = [sys.executable, f"{models.ROOT}/queuectl.py", *words]
        return subprocess.run(line, env=self._environment(armed=True), capture_output=True, text=True, timeout=60)

    def _environment(self, armed: bool) -> dict[str, str]:
        environment = {**os.environ, "QUEUECTL_DB": str(self.path)}
        if armed:
            environment |= {
                "PYTHONPATH": os.pathsep.join((ARMED, models.ROOT)),
                "CRASHPOINT": self.fault,
                "CRASHPOINT_MARK": str(self.mark),
            }
        return environment

    def begun(self, job_id: str = "job") -> None:
        wait_until(lambda: f"begin {job_id} " in (self.folder / "ledger").read_text())

    def open_the_gate(self) -> None:
        (self.folder / "gate").touch()

    def are_done(self) -> bool:
        return not Job.select().where(Job.state.not_in(["completed", "deleted"])).exists()

    def kill(self, pid: int, who: str) -> None:
        """SIGKILL by the scene itself, noted for the judge."""
        at = models.now_ms()
        os.kill(pid, signal.SIGKILL)
        self.evidence.kills.append(Kill(at, "worker" if who[0] == "w" else "supervisor", pid, who, alone=False))
        self._await_death(pid)

    def kill_the_supervisor(self) -> None:
        self.kill(self.supervisors[0].pid, "supervisor")

    def want_a_worker(self) -> None:
        Worker.insert(host="", created_at=0).execute()
        wakeup.nudge()

    def forget_the_deleted(self) -> None:
        """The judge asks for the jobs that are there."""
        ids = [job_id for (job_id,) in Job.select(Job.id).where(Job.state != "deleted").tuples()]
        lines = (self.folder / "ledger").read_text().splitlines(keepends=True)
        (self.folder / "ledger").write_text("".join(line for line in lines if line.split()[1] in ids))
        self.evidence.ids[:] = ids

    # --- the victim

    def reached(self) -> None:
        """Wait until someone is at the point; whoever cannot get there is told by the test that waits."""
        wait_until(self.mark.exists, 10)

    def heal(self) -> None:
        """After the point: the dead are noted, the frozen go on, and a supervisor lives again."""
        if self.how == "kill":
            pid, name, at = self.victim()
            self._await_death(pid)
            if name.startswith(processes.WORKER):
                self.evidence.kills.append(Kill(at, "worker", pid, name.removeprefix("queuectl-"), alone=True))
        elif self.how == "freeze":
            self.thaw()
        if not self.has_supervisor():
            self.supervise()

    def thaw(self) -> None:
        """Let the frozen go on, once somebody has seen that it stands still and has not taken its place."""
        pid, _, _ = self.victim()
        if self.point.who == WORKER and self.has_supervisor():
            wait_until(lambda: "was stopped by a signal" in self.log.read_text() or self._was_sent_on(pid))
        else:
            wait_until(lambda: processes.state_of(pid) == "T")
        if self.point.who == SUPERVISOR and locks.is_held(locks.of_supervisor(models.run_folder())):
            self.supervise()
            wait_until(lambda: "waiting to take over" in self.log.read_text())
        with suppress(ProcessLookupError):  # it was sent on, and has ended
            os.kill(pid, signal.SIGCONT)

    def _was_sent_on(self, pid: int) -> bool:
        """A message comes with a signal to go on: whoever stops between the two stands still for no time."""
        return processes.state_of(pid) != "T" and not Job.select().where(Job.state == "processing").exists()

    def victim(self) -> tuple[int, str, int]:
        pid, name, at = self.mark.read_text().split()
        return int(pid), name, int(at)

    def has_supervisor(self) -> bool:
        return any(started.poll() is None for started in self.supervisors)

    def _await_death(self, pid: int) -> None:
        for started in self.supervisors:
            if started.pid == pid:
                started.wait(20)
        wait_until(lambda: not processes.name_of(pid))

    # --- the end

    def finish(self) -> Evidence:
        """Wait until all jobs are done, end everybody as a process runner does; the evidence."""
        wait_until(lambda: self.are_done() or self._revive())
        return self.leave()

    def _revive(self) -> None:
        """A process runner brings back what could not begin; a scene without one must do without."""
        if self.supervisors and not self.has_supervisor() and not self.is_alone:
            self.supervise()

    def leave(self) -> Evidence:
        for started in self.supervisors:
            started.terminate()
        wait_until(lambda: all(started.poll() is not None for started in self.supervisors))
        if Worker.select().where(Worker.stopped_at.is_null()).exists():
            workers.wait_ended(workers.drain(), 20)
        wait_until(lambda: not workers.supervisor_lives())
        with suppress(AssertionError):
            wait_until(lambda: not self._left(), 5)
        self.evidence.left = self._left()
        return self.evidence

    def _left(self) -> list[str]:
        found = dict(processes.every(str(self.path)))
        found |= dict.fromkeys(processes.marked(models.instance()), "marked")
        found |= dict.fromkeys(processes.holders(str(self.folder / "locks")), "holder")
        return [f"{name}, pid {pid}" for pid, name in found.items()]

    def close(self) -> None:
        """By force, whatever was left."""
        for started in self.supervisors:
            started.kill()
            started.wait()
        for pid, _ in processes.every(str(self.path)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        models.disconnect()


# --- scenes of supervisors and workers


def work(stage: Stage) -> None:
    """One worker and two jobs, then the drain."""
    stage.add(witness.BODIES["background"])
    stage.add(witness.BODIES["tree"], "other")
    stage.supervise(armed=True)
    wait_until(lambda: stage.mark.exists() or stage.are_done() or not stage.has_supervisor(), 15)
    if not stage.mark.exists():
        stage.supervisors[0].terminate()
    _heal(stage)


def many(stage: Stage) -> None:
    """One worker and enough short jobs that it takes several at once."""
    for number in range(12):
        stage.add(":", f"job{number}")
    stage.supervise(armed=True)
    _heal(stage)


def stop_many(stage: Stage) -> None:
    """A worker that holds several is told to give its jobs back while the first of them runs."""
    for number in range(12):
        stage.add(GATE if number == 3 else ":", f"job{number}")
    _stop_at(stage, "job3")


def talk(stage: Stage) -> None:
    stage.add(f"echo said; until [ -e {shlex.quote(str(stage.mark))} ]; do sleep 0.01; done; echo more")
    stage.supervise(armed=True)
    _heal(stage)


def idle(stage: Stage) -> None:
    """The worker waits already when the job comes."""
    stage.supervise(armed=True)
    wait_until(lambda: Worker.get_or_none(Worker.status == "running"))
    stage.add(":")
    _heal(stage)


def old(stage: Stage) -> None:
    """A job that is deleted for its age, one that loses its output, and the row of a worker long gone."""
    config.set("retention_output_days", 1)
    now = models.now_ms()
    stage.add(":", "ancient")
    stage.end_here("ancient", now - 30 * DAY_MS)
    stage.add(":", "old")
    stage.end_here("old", now - 2 * DAY_MS, output=b"long ago")
    for _ in range(2):
        Worker.insert(host="here", created_at=0, started_at=0, stopped_at=1, status="stopped").execute()
    stage.add(":")
    stage.supervise(armed=True)
    _heal(stage)
    wait_until(lambda: not Job.get_or_none(Job.id == "ancient"))
    wait_until(lambda: Attempt.get(Attempt.job == Job.get(Job.id == "old").pk).stdout is None)
    stage.forget_the_deleted()


def clock(stage: Stage) -> None:
    """The clock was an hour ahead when the job was enqueued."""
    stage.add(":")
    then = models.now_ms() + 3600 * 1000
    db.execute_sql("UPDATE job SET created_at = ?, updated_at = ?, next_run_at = ?", (then, then, then))
    stage.supervise(armed=True)
    _heal(stage)


def leave(stage: Stage) -> None:
    """A detached supervisor that nobody wants any more; when it is frozen, someone does while it leaves."""
    stage.add(":")
    stage.supervise("--detached", armed=True)
    wait_until(stage.are_done)
    Worker.update(desired="drain").execute()
    wakeup.nudge()
    stage.reached()
    if stage.how == "kill":
        _heal(stage)
        return
    stage.is_alone = True
    pid, _, _ = stage.victim()
    wait_until(lambda: processes.state_of(pid) == "T")
    workers.start()
    os.kill(pid, signal.SIGCONT)
    stage.add(":", "late")


def death(stage: Stage) -> None:
    """A worker dies with its job."""
    stage.add(f"setsid sleep 300 >/dev/null 2>&1 & {FIRST_RUN_STAYS}")
    stage.supervise(armed=True)
    stage.begun()
    holder = Job.get().locked_by
    stage.kill(wait_until(lambda: Worker.get_by_id(int(holder[1:])).pid), holder)
    _heal(stage)


def orphaned(stage: Stage) -> None:
    """The supervisor dies; its worker is the one with the point in it."""
    stage.add(GATE)
    stage.supervise(armed=True)
    stage.begun()
    stage.kill_the_supervisor()
    _heal(stage)
    stage.open_the_gate()


def orphan(stage: Stage) -> None:
    """The supervisor died before it noted the pid of its worker; the next one has the point in it."""
    _leave_an_orphan(stage)
    stage.supervise(armed=True)
    wait_until(lambda: stage.mark.exists() or Worker.get_by_id(1).status == "draining")
    stage.open_the_gate()
    _heal(stage)


def orphan_stops(stage: Stage) -> None:
    _leave_an_orphan(stage)
    Worker.update(desired="stop").execute()
    stage.evidence.stopped.add("w1")
    stage.supervise(armed=True)
    _heal(stage)
    wait_until(lambda: Worker.get_by_id(1).stopped_at)
    stage.open_the_gate()


def _leave_an_orphan(stage: Stage) -> None:
    stage.add(GATE)
    stage.supervise()
    stage.begun()
    stage.kill_the_supervisor()
    Worker.update(pid=None).execute()


def cancel(stage: Stage) -> None:
    """A running job is cancelled, and retried once it is."""
    stage.add(GATE)
    stage.supervise(armed=True)
    stage.begun()
    jobs.cancel("job")
    stage.evidence.cancelled.add("job")
    _heal(stage)
    wait_until(lambda: Job.get().state == "cancelled")
    stage.open_the_gate()
    jobs.retry("job")


def stop(stage: Stage) -> None:
    """A worker is told to give its job back."""
    stage.add(GATE)
    _stop_at(stage, "job")


def _stop_at(stage: Stage, job_id: str) -> None:
    stage.supervise(armed=True)
    stage.begun(job_id)
    Worker.update(desired="stop").execute()
    wakeup.nudge()
    stage.evidence.stopped.add("w1")
    _heal(stage)
    wait_until(lambda: Worker.get_by_id(1).stopped_at)
    stage.open_the_gate()
    stage.want_a_worker()


def _heal(stage: Stage) -> None:
    stage.reached()
    stage.heal()


SCENES: dict[str, Callable[[Stage], None]] = {
    "many": many,
    "stop many": stop_many,
    "work": work,
    "talk": talk,
    "idle": idle,
    "old": old,
    "clock": clock,
    "leave": leave,
    "death": death,
    "orphaned": orphaned,
    "orphan": orphan,
    "orphan stops": orphan_stops,
    "cancel": cancel,
    "stop": stop,
}


# --- commands: what is there before, the words, and whether it is done afterwards


class Script:
    """One command. `prepare` returns its words, `is_done` looks for what it should have done."""

    def __init__(self, prepare: Callable[[Stage], list[str]], is_done: Callable[[Stage], bool]):
        self.prepare = prepare
        self.is_done = is_done


def _exists(*job_ids: str) -> bool:
    return Job.select().where(Job.id.in_(job_ids)).exists()


def _enqueue(stage: Stage) -> list[str]:
    return ["enqueue", "--id", "job", witness.command(stage.folder, ":")]


def _batch(stage: Stage) -> list[str]:
    lines = [f'{{"id": "b{n}", "command": "true"}}\n' for n in range(3)]
    (stage.folder / "jobs").write_text("".join(lines))
    return ["enqueue", "--file", str(stage.folder / "jobs")]


def _waiting(*words: str) -> Callable[[Stage], list[str]]:
    def prepare(stage: Stage) -> list[str]:
        stage.add(":")
        return [*words]

    return prepare


def _dead(*words: str) -> Callable[[Stage], list[str]]:
    def prepare(stage: Stage) -> list[str]:
        stage.add(":", max_retries=0)
        jobs.fail(_claimed("w0"), Ending(return_code=witness.FIRST_FAILURE))
        return [*words]

    return prepare


def _claimed(worker: str) -> Claim:
    held = jobs.claim(worker, "here")
    assert held is not None
    return held


def _ended(*words: str) -> Callable[[Stage], list[str]]:
    def prepare(stage: Stage) -> list[str]:
        stage.add(":")
        jobs.complete(_claimed("w0"), Ending(return_code=0))
        stage.write("begin job 1 0", "end job 1")
        return [*words]

    return prepare


def _supervised(*words: str) -> Callable[[Stage], list[str]]:
    def prepare(stage: Stage) -> list[str]:
        stage.supervise()
        wait_until(lambda: Worker.get_or_none(Worker.status == "running"))
        return [*words]

    return prepare


def _restore(stage: Stage) -> list[str]:
    """The backup was made while a worker, dead by now, ran the job; since then it was done, and another came."""
    stage.add(":")
    Worker.insert(host="here", created_at=0, started_at=0, pid=None, status="running").execute()
    stage.evidence.kills.append(Kill(models.now_ms(), "worker", 0, "w1", alone=False))
    held = _claimed("w1")
    backup.write(str(stage.folder / "b.db"))
    stage.write("begin job 1 0", "end job 1")
    jobs.complete(held, Ending(return_code=0))
    Worker.update(stopped_at=1, status="stopped").execute()
    stage.add(":", "later")
    models.disconnect()
    return ["restore", str(stage.folder / "b.db")]


def _import(stage: Stage) -> list[str]:
    for n in range(3):
        stage.add(":", f"b{n}")
    (stage.folder / "lines").write_bytes(b"".join(transfer.export()))
    for n in range(3):
        jobs.delete(f"b{n}")
    return ["import", str(stage.folder / "lines")]


def _is(job_id: str, state: str) -> Callable[[Stage], bool]:
    return lambda stage: Job.get(Job.id == job_id).state == state


SCRIPTS = {
    "enqueue": Script(_enqueue, lambda stage: _exists("job")),
    "batch": Script(_batch, lambda stage: _exists("b0", "b1", "b2")),
    "migration": Script(_enqueue, lambda stage: _exists("job")),
    "cancel waiting": Script(_waiting("cancel", "job"), _is("job", "cancelled")),
    "retry": Script(_dead("retry", "job"), _is("job", "pending")),
    "retry all": Script(_dead("dlq", "retry", "--all"), _is("job", "pending")),
    "delete": Script(_waiting("delete", "job"), lambda stage: not _exists("job")),
    "prune": Script(_ended("prune", "--state", "completed", "--older-than", "0s"), lambda stage: not _exists("job")),
    "set": Script(_waiting("config", "set", "max_crashes", "7"), lambda stage: config.get("max_crashes") == 7),
    "worker start": Script(_waiting("worker", "start"), lambda stage: Worker.select().exists()),
    "worker drain": Script(_supervised("worker", "drain"), lambda stage: Worker.get().desired == "drain"),
    "backup": Script(_waiting("backup", "b.db"), lambda stage: (Path.cwd() / "b.db").exists()),
    "restore": Script(_restore, lambda stage: not _exists("later")),
    "import": Script(_import, lambda stage: _exists("b0", "b1", "b2")),
}


def play(stage: Stage) -> Evidence:
    """The scene of the stage's point, or its command; the evidence of how it ended."""
    if stage.point.who == COMMAND:
        _give_the_command(stage)
    else:
        SCENES[stage.point.scene](stage)
    return stage.finish()


def _give_the_command(stage: Stage) -> None:
    script = SCRIPTS[stage.point.scene]
    ended = stage.command(*script.prepare(stage))
    assert stage.mark.exists(), f"{stage.fault} was never reached: {ended}"
    stage.open()
    is_done = script.is_done(stage)
    if stage.how == "kill":
        assert ended.returncode == -signal.SIGKILL, ended
        assert is_done == stage.point.done
    else:
        assert ended.returncode == 1, ended
        assert "Traceback" not in ended.stderr
        assert ended.stdout == ""
        assert not is_done
    _work_on(stage)


def _work_on(stage: Stage) -> None:
    """What is there is brought to its end by a supervisor; what the command was to do is done again."""
    if stage.point.scene == "migration":
        assert stage.command(*_enqueue(stage)).returncode == 0
        stage.open()
    stage.forget_the_deleted()
    for job in list(Job.select().where(Job.state.in_(("dead", "cancelled")))):
        jobs.retry(job.id)
    if not stage.has_supervisor():
        stage.supervise()
    elif not stage.are_done():
        stage.want_a_worker()
