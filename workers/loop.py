"""One worker: claim a job, run it, report it and claim the next in the same transaction.

It listens to its supervisor on a socket ("wake", "drain", "stop", "cancel PK RUN") and answers "idle" or "busy"
when that changes. When the socket closes its supervisor is gone: it finishes its job and leaves.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import models
from engine import config, jobs
from engine.errors import StaleClaim, Unavailable
from engine.jobs import Claim, Ending
from engine.output import Output
from workers import command, log, tree
from workers.command import Order, Outcome

PATIENCE_S = 2.0  # for a lock; then a worker looks after its command and its supervisor before it tries again
_MESSAGE = 128  # bytes; longer than any message
_Result = TypeVar("_Result")
_VERBS = {
    "success": jobs.complete,
    "failed": jobs.fail,
    "timeout": lambda held, ending: jobs.fail(held, ending, "timeout"),
    "cancelled": jobs.cancelled,
    "released": jobs.release,
}


class Loop:
    """The life of one worker process."""

    def __init__(self, worker_id: str, host: str, channel: socket.socket):
        self.id = worker_id
        self.host = host
        self.channel = channel
        self.leaving = False  # take no other job
        self.stopping = False  # end the present one too
        self.orphaned = False
        self.busy: bool | None = None
        self.held: Claim | None = None
        self.trouble = log.Trouble(worker_id)
        self.alarm, self.alarm_end = socket.socketpair()  # readable when a signal came
        self.database = models.db.database
        self.instance = models.instance()
        self.env = _inherited_env()

    def run(self) -> None:
        """Work until told to leave."""
        self._heed_signals()
        held = self._next()
        while held is not None:
            outcome = self._execute(held)
            held = self._report(held, outcome) or self._next()

    # --- jobs

    def _next(self) -> Claim | None:
        """The next job, waiting for one as long as it takes; None when it is time to leave."""
        while True:
            self._listen(0)
            if self.leaving:
                return None
            held = self._claim()
            if held is not None:
                return held
            if not self.leaving:  # it may have been told to while it waited for the database
                self._tell("idle")
                self._listen(None)

    def _claim(self) -> Claim | None:
        while True:
            try:
                held = jobs.claim(self.id, self.host)
            except Unavailable as error:
                self._wait_for_database(error)
            else:
                self.trouble.over()
                if held is not None:
                    self._tell("busy")
                return held
            if self.leaving:
                return None

    def _execute(self, held: Claim) -> Outcome:
        self.held = held
        try:
            order = self._patiently(lambda: self._order(held))
            if self.stopping:
                return Outcome("released", Ending(error="stopped before it began and given back"))
            ears = [self.channel.fileno(), self.alarm.fileno()]
            return command.run(order, ears, self._hear, lambda *output: self._show(held, *output))
        finally:
            self.held = None

    def _report(self, held: Claim, outcome: Outcome) -> Claim | None:
        """Store how the job ended and, in the same transaction, claim the next one. Waits until it is stored."""
        self._listen(0)

        def store() -> Claim | None:
            with models.db.transaction():
                _VERBS[outcome.word](held, outcome.ending)
                return None if self.leaving else jobs.claim(self.id, self.host)

        try:
            return self._patiently(store)
        except StaleClaim as error:
            self._log(f"dropped a late result: {error}")
            return None

    def _order(self, held: Claim) -> Order:
        settings = config.get_all()
        timeout_ms = settings["job_timeout_sec"] * 1000 if held.timeout_ms is None else held.timeout_ms
        env = {
            **self.env,
            **(json.loads(held.env) if held.env else {}),
            "QUEUECTL_DB": self.database,
            "QUEUECTL_JOB_ID": held.id,
            "QUEUECTL_ATTEMPT": str(held.attempts + 1),
            tree.MARK: tree.mark(self.instance, held.pk, held.run),
        }
        return Order(
            command=held.command,
            env=env,
            cwd=held.cwd,
            timeout_s=timeout_ms / 1000 or None,
            grace_s=settings["kill_grace_sec"],
            output_bytes=settings["output_limit_kb"] * 1024,
        )

    def _show(self, held: Claim, stdout: Output, stderr: Output) -> None:
        try:
            jobs.show_output(held, stdout, stderr)
        except Unavailable as error:  # it is shown a second later, or at the end
            self.trouble.say(str(error))
        else:
            self.trouble.over()

    def _patiently(self, act: Callable[[], _Result]) -> _Result:
        """What `act` returns, however long the database cannot be used until then."""
        while True:
            try:
                result = act()
            except Unavailable as error:
                self._wait_for_database(error)
            else:
                self.trouble.over()
                return result

    def _wait_for_database(self, error: Unavailable) -> None:
        """Nothing is lost while the worker lives: say it, wait a second, try again."""
        self.trouble.say(str(error))
        self._listen(1.0)

    # --- the supervisor

    def _tell(self, word: str) -> None:
        busy = word == "busy"
        if busy == self.busy or self.orphaned:
            return
        self.busy = busy
        with suppress(OSError):
            self.channel.send(word.encode())

    def _listen(self, wait_s: float | None) -> None:
        """Take the messages that are there, waiting up to `wait_s` seconds (None: as long as it takes) for one."""
        ready, _, _ = select.select([self.channel, self.alarm], [], [], wait_s)
        if ready:
            self._hear()

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
            case ["cancel", pk, run] if self.held and (self.held.pk, self.held.run) == (int(pk), int(run)):
                return "cancelled"
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

    def _heed_signals(self) -> None:
        for end in (self.alarm, self.alarm_end, self.channel):
            end.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)  # the wake-up descriptor carries the number
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(self.alarm_end.fileno(), warn_on_full_buffer=False)

    def _log(self, sentence: str) -> None:
        log.say(self.id, sentence)


def _inherited_env() -> dict[str, str]:
    """The environment of a job before its own: the supervisor's, less what tells one run from another."""
    return {name: value for name, value in os.environ.items() if not name.startswith("QUEUECTL_")}
