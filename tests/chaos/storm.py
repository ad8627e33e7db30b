"""The storm itself: enqueue, kill at random, bring back, until all jobs are done. Seeded: a seed is a plan."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple

import models
import workers
from engine import config, jobs
from engine.errors import NotFound
from tests.chaos import processes, witness
from tests.chaos.callers import Callers, Panel
from tests.chaos.checker import Evidence, Kill
from tests.chaos.processes import Process
from workers import locks

STRIKES = {"worker": 48, "shell": 25, "supervisor": 12, "everything": 5, "freeze": 6, "panel": 4}
STALLED_S = 60.0
_AIM_S = 5.0  # how long a strike waits for something to hit


class Strike(NamedTuple):
    """One thing that happens. `pick` (0 to 1) chooses among the targets there are; `caller` repairs the damage."""

    kind: str
    pick: float
    pause_s: float
    freeze_s: float
    caller: str
    surplus: str  # what is done to a worker too many: drain, stop


def plan(seed: int, kills: int, with_panel: bool) -> Iterator[Strike]:
    """What the seed says: strikes until `kills` of them are kills. The same seed gives the same plan."""
    random = Random(f"strikes {seed}")
    chances = {kind: chance for kind, chance in STRIKES.items() if with_panel or kind != "panel"}
    callers = ["library", "procfile", "command line", *(["panel"] if with_panel else [])]
    while kills > 0:
        (kind,) = random.choices(list(chances), list(chances.values()))
        kills -= kind != "freeze"
        yield Strike(
            kind,
            pick=random.random(),
            pause_s=min(random.expovariate(1 / 0.07), 0.5),
            freeze_s=random.uniform(0.05, 1.0),
            caller=random.choice(callers),
            surplus=random.choice(("drain", "drain", "stop")),
        )


class Storm:
    """One run of the storm in an empty folder."""

    def __init__(self, folder: Path, *, seed: int, jobs: int, kills: int, workers: int, panel: bool):
        self.folder = folder
        self.seed = seed
        self.size = jobs
        self.kills = kills
        self.count = workers
        self.database = folder / "queue.db"
        os.environ["QUEUECTL_DB"] = os.path.realpath(self.database)
        models.connect()
        self.evidence = Evidence(folder, self.database, [])
        self.panel = Panel(folder) if panel else None
        self.callers = Callers(folder, workers, self.panel)
        self.ledger = witness.Ledger(folder)
        self.running: dict[int, tuple[str, int]] = {}
        self.kinds = witness.kinds(Random(f"jobs {seed}"))
        self.thaws: list[threading.Timer] = []
        self.strikes: dict[str, int] = {}
        self.missed = 0

    def run(self, say: Callable[[str], None]) -> Evidence:
        """Let it rage, then wait for the calm. What it leaves is judged by the checker."""
        try:
            self._prepare()
            self._rage(say)
            self._await_calm()
            self._leave()
        finally:
            self._end_by_force()
        return self.evidence

    def _rage(self, say: Callable[[str], None]) -> None:
        begun = time.monotonic()
        for number, strike in enumerate(plan(self.seed, self.kills, self.panel is not None)):
            self._feed((number + 1) / self.kills)
            self._strike(strike)
            time.sleep(strike.pause_s)
            self._repair(strike)
            if number % 100 == 99:
                say(f"{number + 1} strikes, {len(self.evidence.ids)} jobs, {time.monotonic() - begun:.0f} s")
        self._feed(1.0)
        say(f"the last strike after {time.monotonic() - begun:.0f} s")

    # --- before and after

    def _prepare(self) -> None:
        witness.prepare(self.folder)
        for name, value in {"max_crashes": 1000, "backoff_base": 1, "kill_grace_sec": 0.2}.items():
            config.set(name, value)
        if self.panel:
            self.panel.start()
        self._feed(0.02)
        workers.start(self.count)

    def _feed(self, share: float) -> None:
        """Enqueue what is due by now, so that there is work from the first strike to the last."""
        wanted = min(self.size, round(self.size * share)) - len(self.evidence.ids)
        if wanted > 0:
            bodies = [witness.BODIES[kind] for kind in islice(self.kinds, wanted)]
            payloads = [{"command": witness.command(self.folder, body), "max_retries": 1000} for body in bodies]
            self.evidence.ids += jobs.enqueue_many(payloads)

    def _await_calm(self) -> None:
        for thaw in self.thaws:
            thaw.join()
        left, since = self._unfinished(), time.monotonic()
        while left and time.monotonic() - since < STALLED_S:
            workers.ensure_supervisor()
            time.sleep(0.05)
            now_left = self._unfinished()
            if now_left != left:
                left, since = now_left, time.monotonic()

    def _unfinished(self) -> int:
        with closing(sqlite3.connect(self.database, timeout=10)) as db:
            return db.execute("SELECT count(*) FROM job WHERE state <> 'completed'").fetchone()[0]

    def _leave(self) -> None:
        """Stop all as people do, then see who is still there."""
        instance = models.instance()
        workers.wait_ended(workers.drain(), 60)
        self.callers.leave()
        if self.panel:
            self.panel.end()
        give_up_at = time.monotonic() + 10
        while (left := self._left(instance)) and time.monotonic() < give_up_at:
            time.sleep(0.05)
        self.evidence.left = left

    def _end_by_force(self) -> None:
        """Whatever happened, leave nothing behind; what is found here has been noted before."""
        for thaw in self.thaws:
            thaw.cancel()
        for process in processes.every(models.db.database):
            processes.send(process, signal.SIGKILL)
        models.disconnect()

    def _left(self, instance: str) -> list[str]:
        alive = [f"{process.name}, pid {process.pid}" for process in processes.every(models.db.database)]
        alive += [f"a process of a job, pid {pid}" for pid in processes.marked(instance)]
        return alive + [f"a holder of a lock, pid {pid}" for pid in processes.holders(str(self.folder / "locks"))]

    # --- striking

    def _strike(self, strike: Strike) -> None:
        give_up_at = time.monotonic() + _AIM_S
        while not getattr(self, f"_hit_{strike.kind}")(strike):
            self._revive("library")
            self._feed(min(1.0, (len(self.evidence.ids) + 1) / self.size))  # a shell needs a job
            if time.monotonic() > give_up_at:
                self.missed += 1
                return
            time.sleep(0.01)
        self.strikes[strike.kind] = self.strikes.get(strike.kind, 0) + 1

    def _hit_worker(self, strike: Strike) -> bool:
        supervised = self._has_supervisor()
        return any(self._kill("worker", target, supervised) for target in self._one_worker(strike))

    def _hit_supervisor(self, strike: Strike) -> bool:
        hits = [self._kill("supervisor", target) for target in processes.supervisors(self._ours())]
        return any(hits)

    def _hit_everything(self, strike: Strike) -> bool:
        found = self._ours()
        if not processes.supervisors(found) or not processes.workers(found):
            return False
        Random(strike.pick).shuffle(found)
        for target in found:
            self._kill("supervisor" if target.name == processes.SUPERVISOR else "worker", target)
        return True

    def _hit_shell(self, strike: Strike) -> bool:
        self.running = witness.running(self.running, self.ledger.news())
        shells = sorted(self.running)
        if not shells:
            return False
        pid = shells[int(strike.pick * len(shells))]
        job, run = self.running.pop(pid)
        if f"QUEUECTL_JOB_ID={job}".encode() not in processes.environ(pid):
            return False
        return self._kill("shell", Process(pid, processes.name_of(pid)), who=f"{job} {run}")

    def _hit_freeze(self, strike: Strike) -> bool:
        for target in self._one_worker(strike):
            if processes.send(target, signal.SIGSTOP):
                thaw = threading.Timer(strike.freeze_s, processes.send, (target, signal.SIGCONT))
                thaw.start()
                self.thaws.append(thaw)
                return True
        return False

    def _hit_panel(self, strike: Strike) -> bool:
        assert self.panel is not None
        self._note(Kill(models.now_ms(), "panel", self.panel.kill(), "panel", alone=True))
        return True

    def _kill(self, kind: str, target: Process, alone: bool = False, who: str | None = None) -> bool:
        at = processes.send(target, signal.SIGKILL)
        if at is not None:
            self._note(Kill(at, kind, target.pid, who or target.name.removeprefix("queuectl-"), alone))
        return at is not None

    def _note(self, kill: Kill) -> None:
        self.evidence.kills.append(kill)
        with open(self.folder / "kills", "a") as file:  # for whoever looks into a violation
            file.write(f"{kill}\n")

    def _ours(self) -> list[Process]:
        return processes.ours(models.db.database)

    def _one_worker(self, strike: Strike) -> list[Process]:
        found = processes.workers(self._ours())
        return [found[int(strike.pick * len(found))]] if found else []

    # --- repairing

    def _repair(self, strike: Strike) -> None:
        self._revive(strike.caller)
        self._dismiss(strike)

    def _revive(self, caller: str) -> None:
        if not self._has_supervisor():
            self.callers.call(caller)

    def _has_supervisor(self) -> bool:
        return locks.is_held(locks.of_supervisor(models.run_folder()))

    def _dismiss(self, strike: Strike) -> None:
        """Some callers add a worker; keep their number near what was asked for."""
        with closing(sqlite3.connect(self.database, timeout=10)) as db:
            wanted = "SELECT pk FROM worker WHERE stopped_at IS NULL AND desired = 'run' ORDER BY pk"
            pks = [pk for (pk,) in db.execute(wanted)]
        if len(pks) <= self.count + 1:
            return
        worker = f"w{pks[int(strike.pick * len(pks))]}"
        with suppress(NotFound):  # it has ended meanwhile
            if strike.surplus == "stop":
                self.evidence.stopped.add(worker)
                workers.stop(worker)
            else:
                workers.drain(worker)
