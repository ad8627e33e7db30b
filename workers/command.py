"""Run one shell command: own session, bounded output, timeout, TERM then KILL. Knows no database.

When `run` returns, no process that the command started is alive (except what it handed to another daemon).
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from engine.jobs import Ending
from engine.output import Output
from workers import tree
from workers.stream import Stream

SHELL = "/bin/sh"
SHOW_EVERY_S = 1.0  # how often what a running command printed is shown
LINGER_S = 0.02  # a command that runs longer than this keeps others waiting
LATE_OUTPUT_S = 1.0  # how long processes that outlive the shell may still print

# All that can be, not only those that are ignored here: the C library asks twice about each that is not among them.
_SIGNALS = [int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}]
_WORDS = {126: "found, but not executable", 127: "command not found"}


class Order(NamedTuple):
    """What to run and within which limits. `timeout_s` None: no limit. `output_bytes`: kept of each stream."""

    command: str
    env: Mapping[Any, Any]  # of str or bytes, as execve(2) takes them
    cwd: str | None = None
    timeout_s: float | None = None
    grace_s: float = 10.0
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
) -> Outcome:
    """Run the command to its end and say how it ended.

    ears: descriptors to listen on; when one is readable `hear()` is called, and a word it returns stops the
    command, becoming the outcome. show: called about once a second while the command prints. linger: called about
    once a second from LINGER_S on, as long as the command runs.
    """
    started = time.monotonic()
    try:
        running = _Running(order, started)
    except OSError as error:
        return Outcome("failed", Ending(error=_not_started(order, error), duration_ms=0))
    try:
        running.watch(ears, hear, show, linger)
        return running.outcome()
    finally:
        running.close()


class _Running:
    """A command between its start and its end."""

    def __init__(self, order: Order, started: float):
        self.order = order
        self.started = started
        self.word: str | None = None  # why it is being stopped
        self.kill_at = math.inf
        self.show_at = started + SHOW_EVERY_S
        self.linger_at = started + LINGER_S
        self.timeout_at = started + order.timeout_s if order.timeout_s else math.inf
        self.status = 0
        self.usage: Any = None
        self.pid, out, err, self.writing_ends = _spawn(order)
        self.streams = {out: Stream(out, order.output_bytes), err: Stream(err, order.output_bytes)}
        self.stdout, self.stderr = self.streams[out], self.streams[err]
        self.exit_fd = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None

    def watch(
        self,
        ears: list[int],
        hear: Callable[[], str | None],
        show: Callable[[Output, Output], None],
        linger: Callable[[], None],
    ) -> None:
        ends = () if self.exit_fd is None else (self.exit_fd,)
        poll = _listening((*ears, *self.streams, *ends))
        while True:
            may_have_ended = self.exit_fd is None
            for fd, _ in poll.poll(self._patience_ms(show, linger)):
                if fd in self.streams:
                    self.streams[fd].read()
                elif fd == self.exit_fd:
                    may_have_ended = True
                else:
                    self._obey(hear())
            if may_have_ended and self._has_ended():
                break
        self._let_go()
        self._let_it_finish_printing()
        self._end_leftovers()
        if self.stdout.open or self.stderr.open:
            self._read_all(time.monotonic() + LATE_OUTPUT_S)

    def outcome(self) -> Outcome:
        code = os.waitstatus_to_exitcode(self.status)
        word = self.word or ("success" if code == 0 else "failed")
        stdout, stderr = self.stdout.output(), self.stderr.output()
        usage = self.usage
        return Outcome(
            word,
            Ending(
                return_code=code,
                error=None if word == "success" else self._error(word, code, stderr),
                duration_ms=int((time.monotonic() - self.started) * 1000),
                user_ms=int(usage.ru_utime * 1000) if usage else None,
                system_ms=int(usage.ru_stime * 1000) if usage else None,
                max_rss_kb=usage.ru_maxrss if usage else None,
                stdout=stdout,
                stderr=stderr,
            ),
        )

    def close(self) -> None:
        self._let_go()
        for fd in self.streams:
            os.close(fd)
        if self.exit_fd is not None:
            os.close(self.exit_fd)

    def _let_go(self) -> None:
        """Close the command's ends of the pipes. Kept open until it ends, so that this wakes nobody for each stream too."""
        while self.writing_ends:
            os.close(self.writing_ends.pop())

    def _has_ended(self) -> bool:
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid:
            self.status, self.usage = status, usage
        return bool(pid)

    def _patience_ms(self, show: Callable[[Output, Output], None], linger: Callable[[], None]) -> int:
        """Do what is due by the clock; how long nothing else will be."""
        while True:
            now = time.monotonic()
            until = min(self.timeout_at, self.kill_at, self.show_at, self.linger_at)
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
        if now >= self.linger_at:
            self.linger_at = now + SHOW_EVERY_S
            linger()
        if now >= self.show_at:
            self.show_at = now + SHOW_EVERY_S
            self._show(show)

    def _show(self, show: Callable[[Output, Output], None]) -> None:
        if any(stream.total > stream.shown for stream in self.streams.values()):
            for stream in self.streams.values():
                stream.shown = stream.total
            show(self.stdout.output(), self.stderr.output())

    def _obey(self, word: str | None) -> None:
        """Begin to stop the command; the first word is the outcome, a second one only hurries."""
        if word is None:
            return
        if self.word is None:
            self.word = word
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process cannot act on TERM
        self.kill_at = min(self.kill_at, time.monotonic() + self.order.grace_s)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)  # its own child, not yet reaped: the number is still its own

    def _let_it_finish_printing(self) -> None:
        """Read to the end of both streams; when something still holds them open, for a moment more."""
        give_up_at = time.monotonic() + LATE_OUTPUT_S
        self._read_all(give_up_at)
        while self.word is None and (self.stdout.open or self.stderr.open):
            left = give_up_at - time.monotonic()
            if left <= 0:
                return
            select.select([stream.fd for stream in self.streams.values() if stream.open], [], [], left)
            self._read_all(give_up_at)

    def _read_all(self, until: float) -> None:
        self.stdout.read_all(until)
        self.stderr.read_all(until)

    def _end_leftovers(self) -> None:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return  # the kernel says that nothing is left
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        tree.end_children()

    def _error(self, word: str, code: int, stderr: Output) -> str:
        if word == "timeout":
            return f"timed out after {self.order.timeout_s:g} s"
        if word != "failed":
            return "stopped with its worker and given back" if word == "released" else word
        if code < 0:
            return f"killed by {_signal_name(-code)}"
        says = f"exit code {code}" + (f" ({_WORDS[code]})" if code in _WORDS else "")
        last = stderr.last_line()
        return f"{says}: {last}" if last else says


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@lru_cache(maxsize=4)  # from one command to the next the numbers are mostly the same
def _listening(fds: tuple[int, ...]) -> select.poll:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return poll


def _spawn(order: Order) -> tuple[int, int, int, list[int]]:
    """Start the shell in its own session, with this stdin. Its pid, where to read stdout and stderr, the other ends."""
    home = None
    if order.cwd is not None:
        home = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chdir(order.cwd)
        except OSError:
            os.close(home)
            raise
    pipes: list[int] = []
    try:
        pipes += os.pipe()
        pipes += os.pipe()
        out, out_end, err, err_end = pipes
        pid = os.posix_spawn(
            SHELL,
            [SHELL, "-c", order.command],
            order.env,
            file_actions=[(os.POSIX_SPAWN_DUP2, out_end, 1), (os.POSIX_SPAWN_DUP2, err_end, 2)],
            setsid=True,
            setsigmask=[],
            setsigdef=_SIGNALS,  # a command inherits no deafness
        )
    except OSError:
        for fd in pipes:
            os.close(fd)
        raise
    finally:
        if home is not None:
            os.chdir(home)
            os.close(home)
    fcntl.fcntl(out, fcntl.F_SETFL, os.O_NONBLOCK)
    fcntl.fcntl(err, fcntl.F_SETFL, os.O_NONBLOCK)
    return pid, out, err, [out_end, err_end]


def _not_started(order: Order, error: OSError) -> str:
    if order.cwd is not None and error.filename == order.cwd:
        return f"cannot enter the folder {order.cwd}: {error.strerror}"
    return f"could not be started: {error.strerror}"
