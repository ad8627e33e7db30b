"""A worker as the supervisor that forked it sees it: what the worker says, and what it was told."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from models import Job, Worker
from workers import process

Run = tuple[int, int, int]  # of a job: its pk, the number of the run, when it was claimed


class Child:
    """A worker that this process forked, seen from outside."""

    def __init__(self, worker: Worker, pid: int, channel: socket.socket):
        self.pk = worker.pk
        self.id = worker.id
        self.pid = pid
        self.channel = channel
        self.early_deaths = worker.early_deaths
        self.born = time.monotonic()
        self.mood = "starting"  # starting, idle, waking, busy
        self.told: str | None = None  # drain, stop, kill
        self.cancelled: set[Run] = set()  # of those that it holds: the cancel was sent
        self.status: int | None = None  # how it ended, as wait(2) says it
        self.is_open = True  # the channel: it may say something still
        self.is_stuck = False  # dead, and a process of its job cannot be ended

    def hear(self) -> Iterator[str]:
        """What it has said since."""
        try:
            while message := self.channel.recv(64):
                yield message.decode()
        except BlockingIOError:
            return
        except ConnectionError:
            pass
        self.is_open = False  # dead: its end would stay readable

    def has_ended(self) -> bool:
        """Whether it is dead; `status` says how then. A debugger can keep the dead from being reaped."""
        if self.status is None and not self.is_open and not process.is_alive(self.pid):
            self.status = process.wait_status(self.pid)
        return self.status is not None

    @property
    def is_idle(self) -> bool:
        """Whether it lives and waits for work."""
        return self.mood == "idle" and self.is_open and self.status is None

    def tell(self, message: str) -> bool:
        """Send a message. False when the channel is full: the worker has not run for long, and must be told later."""
        if self.status is not None:
            return True
        try:
            if message == "kill":
                os.kill(self.pid, signal.SIGKILL)
                return True
            # First, or it could undo a stop by the job that the message begins. It may be stopped and would never hear.
            os.kill(self.pid, signal.SIGCONT)
            self.channel.send(message.encode())
        except BlockingIOError:
            return False
        except OSError:  # it has just died; the next round reaps it
            pass
        return True

    def wish(self, wish: str) -> bool:
        """Tell the worker to drain, stop or be killed, once. False as `tell`."""
        if self.told != wish:
            if not self.tell(wish):
                return False
            self.told = wish
        return True

    def cancel(self, runs: set[Run]) -> bool:
        """Tell the worker which of its runs are to be cancelled, each once: it remembers them. False as `tell`."""
        self.cancelled &= runs
        for run in runs - self.cancelled:
            pk, number, _ = run
            if not self.tell(f"cancel {pk} {number}"):
                return False
            self.cancelled.add(run)
        return True


def runs_to_cancel() -> dict[int, set[Run]]:
    """The runs that are to be cancelled, by the pk of the worker that holds them."""
    asked: Any = Job.select(Job.locked_by, Job.pk, Job.run, Job.locked_at)
    found: dict[int, set[Run]] = {}
    for worker, *run in asked.where(Job.state == "processing", Job.cancel_requested).tuples():
        found.setdefault(int(worker[1:]), set()).add(tuple(run))
    return found
