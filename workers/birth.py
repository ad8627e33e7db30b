"""Make a worker process: forked from the supervisor, so that all workers share its memory."""

from __future__ import annotations

import _thread
import fcntl
import os
import signal
import socket
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from typing import Any, NamedTuple, NoReturn

import models
from engine import config
from engine.errors import Unavailable
from models import Worker, db
from workers import environment, hand, journal, locks, log, loop, tree
from workers.child import Child
from workers.environment import Surroundings
from workers.hand import Hand
from workers.loop import Loop

TOGETHER = 16  # workers forked at once: this process has the descriptors of as many open
RESTART_S = (1, 300)  # until another is started in the place of one that died at birth: the first, the longest
REHEARSALS = 12  # after as many runs the interpreter has changed its code as far as it will
_LARGE = 100_000  # whoever asks for so many bytes has the C library tidy what is free: once here, not in each worker
INHERITED_FD = 20  # or above: what a job inherits lies beyond the descriptors 3 to 9 that shell scripts use


class Taken(Exception):
    """A living process holds a lock of the worker that was to be born; the sentence names it."""


class Terms(NamedTuple):
    """What a worker is told, so that it need not ask: what it does not touch it shares with the others."""

    folder: str  # of the locks
    host: str
    instance: str
    is_full: bool  # each result is on the disk before the next job begins
    around: Surroundings  # what its jobs start with


def terms(folder: str, host: str, around: Surroundings | None = None) -> Terms:
    """Those of the workers that are forked now. around: None: the surroundings of this process."""
    return Terms(folder, host, models.instance(), config.get("durability") == "full", around or environment.own())


class Unborn(NamedTuple):
    """A worker about to be forked. All it needs is made, so that little of the memory it will share changes any more."""

    worker: Worker
    told: Terms
    loop: Loop
    locks: tuple[int, int]
    ours: socket.socket
    its_own: ExitStack  # closes what is the worker's alone


def each_forked(workers: Sequence[Worker], told: Terms) -> Iterator[tuple[Worker, Child | None, str]]:
    """Fork the processes of these workers; for each what it became, or None and why it could not be, in words.

    The locks of each are held from before it exists. They have the handlers of signals that the caller has, but hear
    of no child. No connection crosses the fork: the caller's is closed and opens again when it is next used.
    """
    for first in range(0, len(workers), TOGETHER):
        unborn: list[Unborn] = []
        for worker in workers[first : first + TOGETHER]:
            try:
                unborn.append(_prepare(worker, told))
            except OSError as error:
                yield worker, None, _in_vain(error)
            except Taken as error:
                yield worker, None, str(error)
        models.disconnect()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        made = _fork(unborn)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for one, (pid, why) in zip(unborn, made, strict=True):
            one.its_own.close()
            if pid:
                yield one.worker, Child(one.worker, pid, one.ours), ""
            else:
                one.ours.close()
                yield one.worker, None, why


def rehearse(folder: str, host: str, around: Surroundings | None = None) -> None:
    """Run what a worker runs for each job, a few times, before workers share this memory.

    The interpreter writes into code that runs for the first times. Each worker would have its own copy of all that.
    """
    if not tree.has_no_child():  # a run ends by ending every child that is left
        return
    with suppress(Unavailable, OSError):  # then the workers are a little larger
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        its_hand = Hand(folder, 0, "")
        with ours, theirs, closing(Loop("w0", host, models.instance(), theirs, its_hand, around)) as loop:
            loop.rehearse(REHEARSALS)
    locks.forget(locks.of_hand(folder, 0))


def _prepare(worker: Worker, told: Terms) -> Unborn:
    """Raises OSError when the system gives no descriptor, Taken when a process that lives has one of the locks."""
    with ExitStack() as opened:
        paths = (locks.of_worker(told.folder, worker.pk), locks.of_jobs(told.folder, worker.pk))
        held = (_take(paths[0], opened), _take(paths[1], opened))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.enter_context(theirs)
        with ExitStack() as unborn:
            unborn.enter_context(ours)
            limit = 1 if told.is_full else hand.LIMIT
            its_hand = Hand(told.folder, worker.pk, journal.life_of(worker, told.instance), limit)
            its_loop = Loop(worker.id, told.host, told.instance, theirs, its_hand, told.around)
            opened.callback(its_loop.close)
            unborn.pop_all()
        ours.setblocking(False)
        return Unborn(worker, told, its_loop, held, ours, opened.pop_all())


def _fork(unborn: Sequence[Unborn]) -> list[tuple[int, str]]:
    """The process id of each, or 0 and why there is none.

    One right after the other: a page of memory that this process changes between two forks they do not share.
    """
    bytearray(_LARGE)
    made: list[tuple[int, str]] = []
    for one in unborn:
        try:
            pid = os.fork()
        except OSError as error:
            made.append((0, _in_vain(error)))
            continue
        if pid == 0:
            _live(one)
        made.append((pid, ""))
    return made


def _in_vain(error: OSError) -> str:
    return f"the system makes no process: {error.strerror}"


def _take(path: str, opened: ExitStack) -> int:
    lock = locks.take(path)
    if lock is None:
        who = ", ".join(map(str, tree.holders(path))) or "unknown"
        raise Taken(f"its lock {path} is held by another process ({who})")
    opened.callback(os.close, lock)
    return lock


def _live(one: Unborn) -> NoReturn:
    """In the new process: drop all that is the supervisor's or another worker's, work, and never return.

    It works in a second thread, to which the C library gives memory of its own. The first would take every little piece
    from another page that was shared until then.
    """
    try:
        os.umask(one.told.around.umask)  # for its jobs; its own files say their mode
        os.setsid()  # a Ctrl-C in the terminal is for the supervisor alone
        signal.set_wakeup_fd(-1)
        presence = db.obj.presence
        _close_all_but({0, 1, 2, *one.loop.descriptors, *one.locks, *([] if presence is None else [presence])})
        _read_nothing()
        _, jobs_lock = one.locks
        fcntl.fcntl(jobs_lock, fcntl.F_DUPFD, INHERITED_FD)  # a copy that the jobs inherit
        os.close(jobs_lock)
        tree.adopt_orphans(f"queuectl-{one.worker.id}")
        tree.shelter(locks.of_supervisor(one.told.folder))
        one.loop.heed_signals()
        _thread.start_new_thread(_work, (one,))
        while True:
            signal.pause()
    except BaseException:
        _fail(one)


def _work(one: Unborn) -> NoReturn:
    try:
        _open(one.told.is_full)
        one.loop.run()
        log.flush()
        models.disconnect()
        os._exit(0)
    except BaseException:
        _fail(one)


def _fail(one: Unborn) -> NoReturn:
    try:
        log.say(one.worker.id, f"fails: {traceback.format_exc()}")
    finally:
        os._exit(1)


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


def heir_of(worker: Worker, early_deaths: int, host: str) -> dict[str, Any]:
    """The wish for the worker that takes this one's place, later and later the more die at birth."""
    wait_s = delay_s(early_deaths)
    if early_deaths > 1:
        in_a_row = f"is worker {early_deaths} in a row to die at birth"
        log.say("supervisor", f"{worker.id} {in_a_row}; another starts in {wait_s:g} s")
    now = models.now_ms()
    deaths = {"early_deaths": early_deaths, "start_after": now + int(wait_s * 1000)}
    return {"host": host, "created_at": now, "heir_of": worker.pk, **deaths}


def delay_s(deaths: int) -> float:
    """How long to wait before the next worker is started, after so many deaths at birth in a row."""
    first, longest = RESTART_S
    return min(first * 2.0 ** min(deaths - 1, 30), longest) if deaths else 0


def in_words(code: int) -> str:
    """How a worker ended, by its exit code (negative: a signal)."""
    if code == 0:
        return "ended as asked"
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
