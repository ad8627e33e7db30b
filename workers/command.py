"""Run one shell command: own session, bounded output, timeout, TERM then KILL. Knows no database.

When `run` returns, no process that the command started is alive, except what it handed to another daemon and what
the kernel does not let us end: a process of another user, one that waits for a disk. It never waits without limit.
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from engine.jobs import Ending
from engine.output import EMPTY, Output
from workers import shell, tree, wording
from workers.leftovers import CannotEnd, Leftovers
from workers.shell import Shell
from workers.stream import Stream

SHOW_EVERY_S = 1.0  # how often what a running command printed is shown
LINGER_S = 0.02  # a command that runs longer than this keeps others waiting
_LINGER_MS = int(LINGER_S * 1000)
STUCK_S = 2.0  # after SIGKILL until a command that lives still counts as one that cannot be ended
LATE_OUTPUT_S = 1.0  # how long processes that outlive the shell may still print

new = tuple.__new__  # of a tuple with names, without the function that makes it


class Order(NamedTuple):
    """What to run and within which limits. `timeout_s` None: no limit. `output_bytes`: kept of each stream."""

    command: str
    env: Mapping[Any, Any]  # of str or bytes, as execve(2) takes them
    cwd: str | None = None  # its own folder
    folder: str = "/"  # where it runs without one: where the workers were started
    timeout_s: float | None = None
    grace: Callable[[], float] = lambda: 10.0  # seconds from SIGTERM to SIGKILL; asked when it is to end
    output_bytes: int = 262_144


class Outcome(NamedTuple):
    """How it went: success, failed, timeout, or the word that `hear` gave (cancelled, released)."""

    word: str
    ending: Ending


def run(
    order: Order,
    ears: list[int],
    hear: Callable[[], str | None],
    show: Callable[[Output, Output], None],
    linger: Callable[[], None] = lambda: None,
    stuck: Callable[[int, str | None], bool] = lambda pid, word: False,
) -> Outcome:
    """Run the command to its end and say how it ended. Raises CannotEnd.

    ears: descriptors to listen on; when one is readable `hear()` is called, and a word it returns stops the
    command, becoming the outcome. show: called about once a second while the command prints. linger: called about
    once a second from LINGER_S on, as long as the command runs. stuck: called every few seconds while the process `pid`
    of the command cannot be ended, with the word that was to end it, and once for each that it leaves when it ends by
    itself ("left"). When True is returned for one that was to be ended, nothing is waited for any more.
    """
    started = time.monotonic()
    try:
        its_shell = shell.start(order.command, order.env, order.folder if order.cwd is None else order.cwd)
    except OSError as error:
        return Outcome("failed", Ending(error=_not_started(order, error), duration_ms=0))
    try:
        status, usage, is_over = _ended_soon(its_shell, order.timeout_s, ears)
        if is_over:
            return _outcome(order, started, None, status, usage)
        running = _Running(its_shell, order, started, status, usage, stuck)
        running.watch(ears, hear, show, linger)
        outcome = _outcome(order, started, running.word, running.status, running.usage, running.streams)
        if not running.left.pids:
            return outcome
        says = wording.with_left(outcome.ending.error, running.left.pids)
        return outcome._replace(ending=outcome.ending._replace(error=says))
    finally:
        shell.close(its_shell)


def _ended_soon(its_shell: Shell, timeout_s: float | None, ears: list[int]) -> tuple[int, Any, bool]:
    """Its status and usage, None if it has not ended soon; whether nothing is left to do.

    It printed nothing, left no process and nobody said a word meanwhile: so do most commands. Between two of them the
    processor's caches are another program's, and each line costs, each call of a function most.
    """
    pid, out, err, ends, exit_fd = its_shell
    if exit_fd is None or (timeout_s and timeout_s < LINGER_S):
        return 0, None, False
    poll = _listening((*ears, out, err, exit_fd))
    if poll.poll(_LINGER_MS) != [(exit_fd, select.POLLIN)]:
        return 0, None, False
    found, status, usage = os.wait4(pid, os.WNOHANG)
    if not found:
        return 0, None, False
    if not tree.is_childless():
        return status, usage, False
    shell.let_go(ends)
    *said, (_, _) = poll.poll(0)  # the last one says once more that it ended
    return status, usage, said == [(out, select.POLLHUP), (err, select.POLLHUP)]


def _outcome(
    order: Order, started: float, word: str | None, status: int, usage: Any, streams: Sequence[Stream] = ()
) -> Outcome:
    """word: why it was stopped. streams: stdout and stderr, if it printed anything."""
    took_ms = int((time.monotonic() - started) * 1000)
    code = os.waitstatus_to_exitcode(status)
    if word is None:
        word = "failed" if code else "success"
    stdout, stderr = (stream.output() for stream in streams) if streams else (EMPTY, EMPTY)
    error = None if word == "success" else wording.of_failure(order.timeout_s, word, code, stderr)
    user_ms, system_ms, max_rss_kb = int(usage[0] * 1000), int(usage[1] * 1000), usage[2]
    ending = new(Ending, (code, error, took_ms, user_ms, system_ms, max_rss_kb, stdout, stderr))
    return new(Outcome, (word, ending))


class _Running:
    """A command that takes its time, prints, leaves processes or is told to stop: from a moment after its start to its end."""

    def __init__(
        self,
        its_shell: Shell,
        order: Order,
        started: float,
        status: int,
        usage: Any,
        stuck: Callable[[int, str | None], bool],
    ):
        self.pid, out, err, self.ends, self.exit_fd = its_shell
        self.order = order
        self.started = started
        self.word: str | None = None  # why it is being stopped
        self.asked: str | None = None  # by what it was to be stopped last
        self.stuck = stuck
        self.stuck_at = math.inf
        self.left = Leftovers(stuck)
        self.ended = usage is not None
        self.status = status
        self.usage = usage
        self.streams = (Stream(out, order.output_bytes), Stream(err, order.output_bytes))

    def watch(
        self,
        ears: list[int],
        hear: Callable[[], str | None],
        show: Callable[[Output, Output], None],
        linger: Callable[[], None],
    ) -> None:
        self.kill_at = math.inf
        self.show_at = self.started + SHOW_EVERY_S
        self.linger_at = self.started + LINGER_S
        self.timeout_at = self.started + self.order.timeout_s if self.order.timeout_s else math.inf
        for stream in self.streams:
            fcntl.fcntl(stream.fd, fcntl.F_SETFL, os.O_NONBLOCK)
        stdout, stderr = self.streams
        exits = () if self.exit_fd is None else (self.exit_fd,)
        poll = _listening((*ears, stdout.fd, stderr.fd, *exits))
        while not self.ended:
            may_have_ended = self.exit_fd is None
            for fd, _ in poll.poll(self._patience_ms(show, linger)):
                if fd == stdout.fd:
                    stdout.read()
                elif fd == stderr.fd:
                    stderr.read()
                elif fd == self.exit_fd:
                    may_have_ended = True
                else:
                    self._obey(hear())
            if may_have_ended and not self._has_ended() and self.exit_fd is not None:
                self.exit_fd = None  # it has ended, but a debugger keeps it; the descriptor would stay readable
                self.stuck_at = time.monotonic()
                poll = _listening((*ears, stdout.fd, stderr.fd))
        shell.let_go(self.ends)
        self._let_it_finish_printing()
        self._end_leftovers()
        while self.left.pids and self.asked:  # it was to end and has not: to run it again would be twice at once
            linger()
            self.asked = self.left.wait(ears, hear, self.asked)
        if self._is_open():
            self._read_all(time.monotonic() + LATE_OUTPUT_S)

    def _has_ended(self) -> bool:
        if self.ended:
            return True
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid:
            self.status, self.usage, self.ended = status, usage, True
        return self.ended

    def _patience_ms(self, show: Callable[[Output, Output], None], linger: Callable[[], None]) -> int:
        """Do what is due by the clock; how long nothing else will be."""
        while True:
            now = time.monotonic()
            until = min(self.timeout_at, self.kill_at, self.stuck_at, self.show_at, self.linger_at)
            if until > now:
                break
            self._keep_time(now, show, linger)
        if self.exit_fd is None:
            until = min(until, now + 0.02)
        return math.ceil((until - now) * 1000)

    def _keep_time(self, now: float, show: Callable[[Output, Output], None], linger: Callable[[], None]) -> None:
        if now >= self.timeout_at:
            self.timeout_at = math.inf
            self._obey("timeout")
        if now >= self.kill_at:
            self.kill_at = math.inf
            self._signal(signal.SIGKILL)
            self.stuck_at = min(self.stuck_at, now + STUCK_S)
        if now >= self.stuck_at and not self._has_ended():
            self.stuck_at = now + STUCK_S
            if self.stuck(self.pid, self.asked):
                raise CannotEnd
        if now >= self.linger_at:
            self.linger_at = now + SHOW_EVERY_S
            linger()
        if now >= self.show_at:
            self.show_at = now + SHOW_EVERY_S
            self._show(show)

    def _show(self, show: Callable[[Output, Output], None]) -> None:
        if any(stream.total > stream.shown for stream in self.streams):
            for stream in self.streams:
                stream.shown = stream.total
            stdout, stderr = self.streams
            show(stdout.output(), stderr.output())

    def _obey(self, word: str | None) -> None:
        """Begin to stop the command; the first word is the outcome, a second one only hurries."""
        if word is None:
            return
        self.asked = word
        if self.word is None:
            self.word = word
            if not self._signal(signal.SIGTERM):
                self.stuck_at = time.monotonic()
            self._signal(signal.SIGCONT)  # a stopped process cannot act on TERM
        self.kill_at = min(self.kill_at, time.monotonic() + self.order.grace())

    def _signal(self, number: int) -> bool:
        """Send it to the command's process group. False when all of that is another user's."""
        try:
            os.killpg(self.pid, number)  # its own child, not yet reaped: the number is still its own
        except ProcessLookupError:
            pass
        except PermissionError:
            return False
        return True

    def _let_it_finish_printing(self) -> None:
        """Read to the end of both streams; when something still holds them open, for a moment more."""
        give_up_at = time.monotonic() + LATE_OUTPUT_S
        self._read_all(give_up_at)
        while self.word is None and self._is_open():
            left = give_up_at - time.monotonic()
            if left <= 0:
                return
            select.select([stream.fd for stream in self.streams if stream.open], [], [], left)
            self._read_all(give_up_at)

    def _is_open(self) -> bool:
        return any(stream.open for stream in self.streams)

    def _read_all(self, until: float) -> None:
        for stream in self.streams:
            stream.read_all(until)

    def _end_leftovers(self) -> None:
        if tree.is_childless():
            return
        self._signal(signal.SIGKILL)
        self.left.end(self.asked)


@lru_cache(maxsize=4)  # from one command to the next the numbers are mostly the same
def _listening(fds: tuple[int, ...]) -> select.poll:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return poll


def _not_started(order: Order, error: OSError) -> str:
    if order.cwd is not None and error.filename == order.cwd:
        return f"cannot enter the folder {order.cwd}: {error.strerror}"
    if error.filename == order.folder:
        where = f"cannot enter the folder {order.folder}, where the workers were started"
        return f"{where}: {error.strerror}; make it again, give the job a folder of its own, or start the workers in another"
    return f"could not be started: {error.strerror}"
