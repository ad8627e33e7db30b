"""Make a worker process: forked from the supervisor, so that all workers share its memory."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

import models
from engine import config
from models import Worker, db
from workers import hand, locks, log, loop, tree
from workers.hand import Hand
from workers.loop import Loop

INHERITED_FD = 20  # or above: what a job inherits lies beyond the descriptors 3 to 9 that shell scripts use


class Taken(Exception):
    """A living process holds a lock of the worker that was to be born; the sentence names it."""


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
        self.told: str | None = None  # drain, stop
        self.status: int | None = None  # how it ended, as wait(2) says it

    def tell(self, message: str) -> None:
        with suppress(OSError):  # it has just died; the next round reaps it
            if message == "kill" and self.status is None:
                os.kill(self.pid, signal.SIGKILL)
                return
            self.channel.send(message.encode())
            if self.status is None:
                os.kill(self.pid, signal.SIGCONT)  # someone may have stopped it, and it would never hear


class Terms(NamedTuple):
    """What a worker is told of the database, so that it need not ask: what it does not touch it shares with the others."""

    instance: str
    is_full: bool  # each result is on the disk before the next job begins


def terms() -> Terms:
    """Those of the workers that are forked now."""
    return Terms(models.instance(), config.get("durability") == "full")


def each_forked(
    workers: Sequence[Worker], folder: str, host: str, told: Terms
) -> Iterator[tuple[Worker, Child | None, str]]:
    """Fork the processes of these workers; for each what it became, or None and why it could not be, in words.

    One right after the other: a page of memory that this process changes between two forks they do not share.
    """
    for worker in workers:
        try:
            yield worker, fork(worker, folder, host, told), ""
        except OSError as error:
            yield worker, None, f"the system makes no process: {error.strerror}"
        except Taken as error:
            yield worker, None, str(error)


def fork(worker: Worker, folder: str, host: str, told: Terms) -> Child:
    """Fork the process of this worker. Its locks are held from before it exists; no connection crosses the fork.

    The caller's connection is closed and opens again when it is next used. Raises OSError when the system makes
    no process, Taken when a process that lives has one of the locks.
    """
    with ExitStack() as opened:
        held = [_take(path(folder, worker.pk), opened) for path in (locks.of_worker, locks.of_jobs)]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.enter_context(theirs)
        with ExitStack() as unborn:
            unborn.enter_context(ours)
            models.disconnect()
            pid = os.fork()
            if pid == 0:
                _live(worker, folder, host, told, theirs, held)
            unborn.pop_all()
    ours.setblocking(False)
    return Child(worker, pid, ours)


def _take(path: str, opened: ExitStack) -> int:
    lock = locks.take(path)
    if lock is None:
        who = ", ".join(map(str, tree.holders(path))) or "unknown"
        raise Taken(f"its lock {path} is held by another process ({who})")
    opened.callback(os.close, lock)
    return lock


def _live(worker: Worker, folder: str, host: str, told: Terms, channel: socket.socket, held: list[int]) -> None:
    """In the new process: drop all that is the supervisor's, work, and never return."""
    code = 1
    try:
        os.setsid()  # a Ctrl-C in the terminal is for the supervisor alone
        signal.set_wakeup_fd(-1)
        _close_all_but({0, 1, 2, channel.fileno(), *held})
        _read_nothing()
        _, jobs_lock = held
        fcntl.fcntl(jobs_lock, fcntl.F_DUPFD, INHERITED_FD)  # a copy that the jobs inherit
        os.close(jobs_lock)
        tree.adopt_orphans(f"queuectl-{worker.id}")
        tree.shelter(locks.of_supervisor(folder))
        _open(told.is_full)
        limit = 1 if told.is_full else hand.LIMIT
        Loop(worker.id, host, told.instance, channel, Hand(folder, worker.pk, limit)).run()
        models.disconnect()
        code = 0
    except BaseException:
        log.say(worker.id, f"fails: {traceback.format_exc()}")
    finally:
        os._exit(code)


def _open(is_full: bool) -> None:
    """Open the supervisor's database, whose schema it has seen to, for this process."""
    db.obj.patience_s = loop.PATIENCE_S
    db.connect()
    db.execute_sql(f"PRAGMA synchronous = {'FULL' if is_full else 'NORMAL'}")


def _read_nothing() -> None:
    """For this process and all its jobs, which inherit it."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _close_all_but(keep: set[int]) -> None:
    low = 0
    for fd in sorted(keep):
        if fd > low:  # CPython takes closerange(0, 0) for "all"
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def in_words(code: int) -> str:
    """How a worker ended, by its exit code (negative: a signal)."""
    if code == 0:
        return "ended as asked"
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
