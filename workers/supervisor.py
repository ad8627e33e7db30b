"""The one parent of this host's workers: makes the wish in the database true.

One level-triggered loop: reap the dead and give their jobs back, read the wishes, start, tell, wake, beat. Signal
handlers only leave a number on a descriptor. Whoever holds the supervisor lock is the supervisor; no pid is asked.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
import traceback
from contextlib import suppress
from typing import Any

import models
from engine import dialect, lockfile, wakeup
from engine.errors import Unavailable
from models import Supervisor, Worker, db
from workers import alarm, birth, control, environment, locks, log, orphans, tree
from workers.child import Child, runs_to_cancel
from workers.chores import Chores
from workers.control import WISHES
from workers.ground import Ground
from workers.recovery import Recovery

LOOK_S = 0.5  # the safety net behind the nudge, while a worker is idle
REST_S = 1.0  # the longest sleep otherwise
PAUSE_S = 0.05  # between two looks at what is wished: whoever enqueues a thousand jobs a second has the processor
PATIENCE_S = 2.0  # for a lock; then the children and the signals are looked after before it is tried again
ABANDON_S = 30.0  # for the workers of a database that is gone to end their commands
EARLY_S = 1.0  # a worker that dies sooner, without a job, died at birth
LEAVE_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_LEAVING = {"drain": "draining", "stop": "stopping", "kill": "stopping"}


class Supervision:
    """The work of one supervisor process, from taking the lock to leaving."""

    def __init__(self, lock: int, *, managed: bool, host: str = "", around: environment.Surroundings | None = None):
        self.lock = lock
        self.managed = managed
        self.host = host or socket.gethostname()
        self.folder = models.run_folder()
        self.around = around or environment.own()
        self.children: dict[int, Child] = {}  # by pid
        self.leaving: str | None = None  # drain, stop
        self.left_at = 0  # when it was told to leave, by the clock: what is wished for later is the next one's
        self.seen_version = 0
        self.is_behind = True  # something may be wished that it has not read
        self.read_at = -PAUSE_S  # when it read that last, by the monotonic clock
        self.start_at = 0  # when the next delayed start is due
        self.due_at: int | None = None  # when the next waiting job is due
        self.knows_due = False  # whether that is so still
        self.has_orphans = True  # until the first look
        self.trouble = log.Trouble("supervisor")
        self.recovery = Recovery(self.folder, self.host)
        self.ground = Ground(db.database, self.folder, lock)
        self.alarm, self.alarm_end = socket.socketpair()
        self.ear = wakeup.listen(self.folder)
        self.ready: set[int] = set()  # descriptors that have something to read
        self.pk = Supervisor.insert(
            host=self.host, pid=os.getpid(), started_at=models.now_ms(), beat_at=models.now_ms(), managed=managed
        ).execute()
        self.chores = Chores(self.pk, self.children.values())

    def run(self) -> bool:
        """Supervise until told to leave, or, when not managed, until nobody wants a worker.

        True when it is to begin again: its database is gone or another now, or workers were wished for while it left.
        """
        tree.adopt_orphans("queuectl-super")
        db.obj.patience_s = PATIENCE_S
        alarm.heed((*LEAVE_SIGNALS, signal.SIGHUP), self.alarm, self.alarm_end)
        birth.rehearse(self.folder, self.host, self.around)
        gc.collect()
        gc.freeze()  # what is here now is shared with the workers; do not touch it again
        self._log(f"began, database {db.database}")
        while True:
            try:
                if loss := self.ground.loss():
                    self._abandon(loss)
                    return not self.leaving
                self._round()
                self.trouble.over(self.chores.beat)
                if self._is_over() and self._leave():
                    return bool(self.leaving) and not self.managed and control.is_anyone_wanted_since(self.left_at)
                self._sleep()
            except Unavailable as error:
                self.trouble.say(str(error))
                self._recover()
            except Exception:  # the jobs of all workers depend on this process: say it and go on
                self._log(traceback.format_exc())
                self._recover()

    def _recover(self) -> None:
        """After a round that failed: rest, then read the wishes again, for some may have been read and not made true."""
        self._sleep(REST_S)
        self._look_again()

    def _round(self) -> None:
        if self.chores.watch_clock():
            self._look_again()
        self._reap()
        self._hear()
        self.is_behind |= self._has_changed()
        if self.is_behind and time.monotonic() >= self.read_at + PAUSE_S:
            self._read_wishes()
        self._wake()
        if self.chores.step():
            self.knows_due = False

    # --- the living and the dead

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG | os.WUNTRACED))[0]:
                pid, status = ended
                if pid not in self.children:  # an orphan that came to us
                    self.recovery.hurry()
                    continue
                if os.WIFSTOPPED(status):
                    self._log(f"{self.children[pid].id} was stopped by a signal; kill -CONT {pid} lets it go on")
                else:
                    self.children[pid].status = status
        for child in list(self.children.values()):
            if child.has_ended() and self.recovery.is_due(child.pk):
                self._bury_child(child)

    def _bury_child(self, child: Child) -> None:
        code = os.waitstatus_to_exitcode(child.status or 0)
        early = child.mood == "starting" and time.monotonic() - child.born < EARLY_S
        early_deaths = child.early_deaths + 1 if early else 0
        is_over = self._bury(child.pk, birth.in_words(code), code == 0, early_deaths)
        child.is_stuck = is_over is False
        if is_over:
            child.channel.close()
            del self.children[child.pid]

    def _bury(self, pk: int, reason: str, clean: bool, early_deaths: int = 0) -> bool | None:
        """Clear away the dead worker and wish for another in its place. Not True: it is tried again later."""
        spare = [child.pid for child in self.children.values() if child.status is None]
        self._look_again()

        def heir_of(worker: Worker) -> dict[str, Any] | None:
            is_wanted = worker.desired == "run" and not self.leaving
            return birth.heir_of(worker, early_deaths, self.host) if is_wanted else None

        return self.recovery.recover(pk, reason, clean=clean, heir_of=heir_of, spare=spare)

    # --- wishes

    def _has_changed(self) -> bool:
        version = db.version()
        is_time = bool(self.start_at) and self.start_at <= models.now_ms()
        changed = version != self.seen_version or self.has_orphans or is_time
        self.seen_version = version
        if changed:
            self.knows_due = False
        return changed

    def _read_wishes(self) -> None:
        self.is_behind, self.read_at = False, time.monotonic()
        known = {child.pk: child for child in self.children.values()}
        self.has_orphans = False
        self.start_at = 0
        newborn: list[Worker] = []
        living = Worker.select().where(Worker.stopped_at.is_null()).order_by(Worker.pk).limit(10_000)
        for worker in list(living):
            if worker.pk in known:
                self._pass_on(known[worker.pk], worker)
            elif worker.started_at is not None:
                self._attend_orphan(worker)
            elif self._may_start(worker):
                newborn.append(worker)
        if newborn:
            self._fork(newborn)
        self._pass_on_cancels(known)

    def _pass_on(self, child: Child, worker: Worker) -> None:
        if child.status is not None:
            return
        wish = self._wish(worker)
        status = _LEAVING.get(wish) or ("running" if child.mood != "starting" else "starting")
        if wish != "run" and not child.wish(wish):
            self._look_again()
        if (status, child.pid) != (worker.status, worker.pid):
            Worker.update(status=status, pid=child.pid).where(Worker.pk == worker.pk).execute()

    def _wish(self, worker: Worker) -> str:
        """What shall become of the worker: its own wish, or that of the whole supervisor if that is stronger."""
        return max(worker.desired, self.leaving or "run", key=WISHES.index)

    def _may_start(self, worker: Worker) -> bool:
        if self.leaving and worker.desired == "run" and worker.created_at >= self.left_at:
            return False  # the next supervisor starts it
        if self._wish(worker) != "run":
            final = {"status": "stopped", "stopped_at": models.now_ms(), "reason": "not started"}
            Worker.update(**final).where(Worker.pk == worker.pk).execute()
            return False
        if worker.start_after > models.now_ms():
            self.start_at = min(self.start_at or worker.start_after, worker.start_after)
            return False
        return True

    def _attend_orphan(self, worker: Worker) -> None:
        """A worker of a supervisor that died: it finishes its job and leaves; then its place is free."""
        if not locks.is_held(locks.of_worker(self.folder, worker.pk)):
            is_due = self.recovery.is_due(worker.pk)
            self.has_orphans |= not (is_due and self._bury(worker.pk, "its supervisor died", clean=True))
            return
        self.has_orphans = True
        wish = self._wish(worker)
        status = _LEAVING.get(wish, "draining")
        if status != worker.status:
            Worker.update(status=status).where(Worker.pk == worker.pk).execute()
        orphans.pass_on(worker, wish, self.folder)

    def _pass_on_cancels(self, known: dict[int, Child]) -> None:
        runs = runs_to_cancel()
        for pk, child in known.items():
            if not child.cancel(runs.pop(pk, set())):
                self._look_again()
        orphans.cancel(list(runs), self.folder)

    def _fork(self, newborn: list[Worker]) -> None:
        now = models.now_ms()
        Worker.update(started_at=now, host=self.host).where(Worker.pk.in_(newborn)).execute()
        born: list[Child] = []
        unborn: list[Worker] = []
        for worker, child, why in birth.each_forked(newborn, birth.terms(self.folder, self.host, self.around)):
            if child is not None:
                self.children[child.pid] = child
                born.append(child)
            else:
                self._log(f"{worker.id} cannot be started, {why}; trying again")
                unborn.append(worker)
                self._look_again()
        with db.transaction():
            for child in born:
                self._log(f"started {child.id}, pid {child.pid}")
                Worker.update(pid=child.pid).where(Worker.pk == child.pk).execute()
            Worker.update(started_at=None, start_after=now + 1000).where(Worker.pk.in_(unborn)).execute()

    # --- talking

    def _hear(self) -> None:
        """Take what those have said who were ready when this process woke; who spoke since wakes it again."""
        for child in self.children.values():
            if child.channel.fileno() not in self.ready:
                continue
            for message in child.hear():
                self._note_mood(child, message)
        if self.ear.fileno() in self.ready:
            with suppress(BlockingIOError):
                while self.ear.recv(64):
                    pass
        if self.alarm.fileno() in self.ready:
            with suppress(BlockingIOError):
                for number in self.alarm.recv(64):
                    self._heed(number)

    def _note_mood(self, child: Child, mood: str) -> None:
        if child.mood == "starting":
            child.early_deaths = 0
            self._look_again()  # its row says "starting" still
        child.mood = mood
        self.knows_due = False

    def _heed(self, number: int) -> None:
        if number == signal.SIGQUIT or (number == signal.SIGINT and self.leaving):
            self._leave_by("stop")
        elif number == signal.SIGHUP:
            log.reopen()
        elif number in (signal.SIGTERM, signal.SIGINT) and not self.leaving:
            self._leave_by("drain")

    def _leave_by(self, way: str) -> None:
        if self.leaving != way:
            self.leaving, self.left_at = way, self.left_at or models.now_ms()
            lockfile.write(self.lock, self.managed, self.around.folder, leaving=True)
            self._look_again()
            self._log("leaving " + ("after the running jobs" if way == "drain" else "at once"))

    def _wake(self) -> None:
        """Send one idle worker to work when a job is due; it says "busy", and the next is sent."""
        idle = [child for child in self.children.values() if child.is_idle and not child.told]
        if not idle:
            self.due_at, self.knows_due = None, False
            return
        if not self.knows_due:
            self.due_at = db.execute_sql(dialect.NEXT_DUE).fetchone()[0]
            self.knows_due = True
        if self.due_at is not None and self.due_at <= models.now_ms():
            self.knows_due = False
            idle[0].mood = "waking"
            idle[0].tell("wake")

    # --- leaving

    def _abandon(self, loss: str) -> None:
        """End workers that work for nobody: no one can see or cancel what they run, and no other may run it too.

        They give their jobs back in the file that they have open. Nothing is written here: it might be another's.
        """
        self._log(f"{loss} Stopping its {len(self.children)} workers.")
        for child in self.children.values():
            child.tell("stop")
        tree.wait_until(tree.has_no_child, ABANDON_S, LOOK_S / 2)
        tree.end_children()
        self._sleep(0)
        self._hear()
        for child in self.children.values():
            child.channel.close()
        signal.set_wakeup_fd(-1)
        models.disconnect()
        os.close(self.lock)
        self._log("left")

    def _is_over(self) -> bool:
        if not all(child.is_stuck for child in self.children.values()):
            return False
        if self.leaving:  # those that are stuck are the next one's: their rows say so
            return True
        return not self.managed and not control.is_anyone_wanted()

    def _leave(self) -> bool:
        """Give up the lock, then look once more: a wish written meanwhile found us alive and started nobody."""
        Supervisor.update(stopped_at=models.now_ms()).where(Supervisor.pk == self.pk).execute()
        os.close(self.lock)
        if not self.leaving and control.may_anyone_be_wanted():
            lock = locks.take(locks.of_supervisor(self.folder))
            if lock is not None:
                self.lock = lock
                Supervisor.update(stopped_at=None).where(Supervisor.pk == self.pk).execute()
                return False
        signal.set_wakeup_fd(-1)
        self._log("left")
        return True

    def _sleep(self, longest_s: float | None = None) -> None:
        wait_s = self._rest_s() if longest_s is None else longest_s
        poll = select.poll()
        for fd in (self.alarm, *(child.channel for child in self.children.values() if child.is_open)):
            poll.register(fd, select.POLLIN)
        if self._has_idle() or not self.is_behind:  # else a nudge says what it knows
            poll.register(self.ear, select.POLLIN)
        self.ready = {fd for fd, _ in poll.poll(max(0, int(wait_s * 1000)))}

    def _rest_s(self) -> float:
        wait_s = LOOK_S if self._has_idle() or self.has_orphans else REST_S
        if self.is_behind:
            wait_s = max(0.001, self.read_at + PAUSE_S - time.monotonic())
        for instant in filter(None, (self.due_at, self.start_at)):
            wait_s = min(wait_s, max(0.0, (instant - models.now_ms()) / 1000))
        return wait_s

    def _has_idle(self) -> bool:
        return any(child.is_idle for child in self.children.values())

    def _look_again(self) -> None:
        """Read the wishes soon: what this process itself writes does not show as a change."""
        self.is_behind = True

    def _log(self, sentence: str) -> None:
        log.say("supervisor", sentence)
