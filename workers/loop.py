"""One worker: claim a job, run it, store how it ended and claim the next in the same transaction.

It listens to its supervisor on a socket ("wake", "drain", "stop", "cancel PK RUN") and answers "idle" or "busy"
when that changes. When the socket closes its supervisor is gone: it finishes its job and leaves.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from contextlib import suppress
from functools import partial

import models
from engine import config
from engine.errors import Unavailable
from engine.jobs import Claim, Ended, Ending, show_output, turn  # by name: loaded once, before workers are forked
from engine.output import Output
from workers import command, environment, log, tree
from workers.command import Order, Outcome, new
from workers.environment import Surroundings
from workers.hand import Hand
from workers.leftovers import CannotEnd
from workers.stuck import LOOK_S, Stuck

PATIENCE_S = 2.0  # for a lock; then a worker looks after its command and its supervisor before it tries again
REST_S = 1.0  # without a job until a worker gives back memory
_MARK = tree.MARK.encode()
_NO_JOB = Claim(0, "", 0, 0, 0, 0, 5_000, None, None, ":", "", "", 0)
_MESSAGE = 128  # bytes; longer than any message


class Loop:
    """The life of one worker process."""

    def __init__(
        self,
        worker_id: str,
        host: str,
        instance: str,
        channel: socket.socket,
        hand: Hand,
        around: Surroundings | None = None,
    ):
        """around: what jobs start with; None: what a child of this process would start with."""
        self.id = worker_id
        self.host = host
        self.channel = channel
        self.hand = hand
        self.leaving = False  # take no other job
        self.stopping = False  # end the present one too
        self.orphaned = False
        self.busy: bool | None = None
        self.held: Claim | None = None
        self.is_tidy = True  # nothing was run since memory was given back
        self.started_at = 0  # the present run, in milliseconds
        self.trouble = log.Trouble(worker_id)
        self.stuck = Stuck(worker_id)
        self.alarm, self.alarm_end = socket.socketpair()  # readable when a signal came
        self.ears = [channel.fileno(), self.alarm.fileno()]
        self.descriptors = (*self.ears, self.alarm_end.fileno())
        self.database = models.db.database
        self.instance = instance
        around = around or environment.own()
        self.folder = around.folder
        self.env: dict[bytes, bytes | str] = {**around.env}  # and those of the last job

    def run(self) -> None:
        """Work until told to leave. A job whose command cannot be ended stays with this worker, also when that leaves."""
        with suppress(CannotEnd):
            while (held := self._next()) is not None:
                self._execute(held)

    def rehearse(self, times: int) -> None:
        """Run a command that does nothing, as for jobs; nothing is claimed, said or stored."""
        for _ in range(times):
            self._execute(_NO_JOB)
            self.hand.clear()

    def close(self) -> None:
        """Close what only this process would use: it forked another that runs."""
        self.alarm.close()
        self.alarm_end.close()

    # --- jobs

    def _next(self) -> Claim | None:
        """The next job, waiting for one as long as it takes; None when it is time to leave."""
        if self.hand.is_low and not self.leaving:
            self._top_up()
        while True:
            if self.stuck.known:
                self.stuck.look()
            held = None if self.leaving else self.hand.next()
            if held is not None:
                return held
            self._listen(0)
            self._turn()
            if self.hand.waiting:
                self.is_tidy = False
                self._tell("busy")
            elif self.leaving:
                return None
            else:
                self._tell("idle")
                self._rest()

    def _rest(self) -> None:
        """Wait for word. When none comes for a while, give back the memory that work took and left unused."""
        if not self.is_tidy:
            if self._listen(REST_S):
                return
            _tidy()
            self.is_tidy = True
        self._listen(LOOK_S if self.stuck.known else None)

    def _turn(self, alone: bool = False) -> None:
        """Store what ended and claim the next jobs, in one transaction. Waits until what ended is stored.

        alone: nothing is held but the job about to be run; none is claimed.
        """
        hand = self.hand
        while True:
            back = tuple(hand.waiting) if alone or self.leaving else ()
            reach = 0 if alone or self.leaving or hand.waiting else hand.reach
            if not (hand.ended or back or reach):
                return
            began = time.monotonic()
            hand.say()
            try:
                claims, stale = turn(self.id, self.host, hand.ended, back, reach)
            except Unavailable as error:
                self.trouble.say(str(error))  # nothing is lost while the worker lives
                self._listen(1.0)
            else:
                self._stored(stale)
                hand.turn(claims, back, time.monotonic() - began)
                return

    def _top_up(self) -> None:
        """A turn before the last job is run, if nobody else writes at this instant: else what is held is run meanwhile."""
        hand = self.hand
        asked, began = hand.room, time.monotonic()
        hand.say()
        try:
            with models.db.at_once():
                claims, stale = turn(self.id, self.host, hand.ended, reach=asked)
        except Unavailable:  # whatever it is, the turn that waits will say so
            return
        self._stored(stale)
        hand.turn(claims, (), time.monotonic() - began, asked)

    def _settle(self) -> None:
        """Keep nobody waiting for a command that takes its time: store what ended, give back what waits."""
        if not self.hand:
            return
        self.hand.say()
        try:
            _, stale = turn(self.id, self.host, self.hand.ended, tuple(self.hand.waiting))
        except Unavailable as error:  # then after the command
            self.trouble.say(str(error))
        else:
            self._stored(stale)
            self.hand.clear()

    def _stored(self, stale: list[Claim]) -> None:
        self.trouble.over()
        for held in stale:
            self._log(f"dropped a late result: job {held.id} is no longer held by run {held.run} of {held.worker}")

    def _execute(self, held: Claim) -> None:
        """Run the job and keep its end, to be stored at once or with others."""
        self.started_at = models.now_ms()
        self.held = held
        try:
            if not self.hand.begin(held):
                self._turn(alone=True)
                if not self.hand.begin(held):
                    self.hand.journal.disown()
            if self.stopping:
                outcome = Outcome("released", Ending(error="stopped before it began and given back"))
            elif (held.pk, held.run) in self.hand.cancelled:
                outcome = Outcome("cancelled", Ending(error="cancelled before it began"))
            else:
                order = self._order(held)
                outcome = command.run(order, self.ears, self._hear, self._show, self._settle, self._cannot_end)
        finally:
            self.held = None
        self.hand.end(new(Ended, (held, *outcome, self.started_at)))

    def _order(self, held: Claim) -> Order:
        settings = config.of(held.settings)
        timeout_ms = settings["job_timeout_sec"] * 1000 if held.timeout_ms is None else held.timeout_ms
        env = {**self.env, **environment.encoded(json.loads(held.env))} if held.env else self.env
        env[b"QUEUECTL_DB"] = self.database
        env[b"QUEUECTL_JOB_ID"] = held.id
        env[b"QUEUECTL_ATTEMPT"] = str(held.attempts + 1)
        env[_MARK] = tree.mark(self.instance, held.pk, held.run)
        output_bytes = settings["output_limit_kb"] * 1024
        grace = partial(config.present, "kill_grace_sec", held.settings)
        return new(Order, (held.command, env, held.cwd, self.folder, timeout_ms / 1000 or None, grace, output_bytes))

    def _show(self, stdout: Output, stderr: Output) -> None:
        """Store what the running command has printed so far."""
        assert self.held is not None, "nothing runs"
        try:
            show_output(self.held._replace(started_at=self.started_at), stdout, stderr)
        except Unavailable as error:  # it is shown a second later, or at the end
            self.trouble.say(str(error))
        else:
            self.trouble.over()

    def _cannot_end(self, pid: int, word: str | None) -> bool:
        """Say that a process of the job cannot be ended; whether to leave the job as it is."""
        assert self.held is not None, "nothing runs"
        self.stuck.add(self.held, pid, word)
        return self.stopping

    # --- the supervisor

    def _tell(self, word: str) -> None:
        busy = word == "busy"
        if busy == self.busy or self.orphaned:
            return
        self.busy = busy
        with suppress(OSError):
            self.channel.send(word.encode())

    def _listen(self, wait_s: float | None) -> bool:
        """Take the messages that are there, waiting up to `wait_s` seconds (None: as long as it takes); whether one came."""
        ready, _, _ = select.select([self.channel, self.alarm], [], [], wait_s)
        if ready:
            self._hear()
        return bool(ready)

    def _hear(self) -> str | None:
        """Read messages and signals; the outcome that the present job shall have, None to go on."""
        word = None
        with suppress(BlockingIOError):
            for number in self.alarm.recv(_MESSAGE):
                word = self._heed(number) or word
        while not self.orphaned:
            try:
                message = self.channel.recv(_MESSAGE).decode()
            except BlockingIOError:
                break
            except ConnectionError:
                message = ""
            word = self._obey(message) or word
        return "released" if self.stopping else word

    def _obey(self, message: str) -> str | None:
        match message.split():
            case []:
                self._become_orphan()
            case ["wake"]:
                self.busy = None  # an answer is waited for, "idle" too: another may have taken the job by now
            case ["drain"]:
                self.leaving = True
            case ["stop"]:
                self.leaving = self.stopping = True
            case ["cancel", pk, run]:
                if self.hand.cancel((int(pk), int(run)), self.held):
                    return "cancelled"
                self._settle()  # it may be one of those that wait
        return None

    def _heed(self, number: int) -> str | None:
        if number == signal.SIGUSR1:
            return "cancelled" if self.orphaned else None  # a supervisor that is not the parent has no other way
        if number in (signal.SIGTERM, signal.SIGQUIT):
            self.leaving = True
            self.stopping = self.stopping or number == signal.SIGQUIT
        return None

    def _become_orphan(self) -> None:
        """The supervisor died. Put a silent socket in the place of the closed one, which would be readable for ever."""
        self.orphaned = self.leaving = True
        self.silence = socket.socketpair()
        os.dup2(self.silence[0].fileno(), self.channel.fileno(), inheritable=False)

    def heed_signals(self) -> None:
        """Hear signals as messages, by the number that the system leaves on a descriptor. Called by the first thread."""
        for end in (self.alarm, self.alarm_end, self.channel):
            end.setblocking(False)
        signal.set_wakeup_fd(self.alarm_end.fileno(), warn_on_full_buffer=False)

    def _log(self, sentence: str) -> None:
        log.say(self.id, sentence)


def _tidy() -> None:
    """Give back what the database and the C library keep for later: together a fiftieth of what a worker takes."""
    models.db.execute_sql("PRAGMA shrink_memory")
    with suppress(OSError, AttributeError):  # another C library
        tree.libc().malloc_trim(0)
