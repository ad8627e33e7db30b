"""One line an event on standard error; a detached supervisor and its workers have it in a file that stays small.

Any of them puts the full file aside, and any of them notices by the file's name that another did, or that logrotate
did, and goes on in the new one.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from engine import ownership
from engine.errors import Unavailable

LIMIT = 1024 * 1024  # bytes of the file; as many again are kept of what was said before
REPEAT_S = 60.0  # how long a line that repeats is only counted
_KEPT = 16  # different lines whose repetitions are counted at once
_STREAMS = (1, 2)
_path: str | None = None  # of the file, where there is one


def say(who: str, sentence: str) -> None:
    """Write one line: when, who, what. Where nothing can be written (full disk, closed terminal), say nothing."""
    for line in _repeats.lines(f"{who}: {sentence}".rstrip(), time.monotonic()):
        _write(line)


def flush() -> None:
    """Write how often lines were repeated that are only counted so far: this process is about to end."""
    for line in _repeats.rest():
        _write(line)


def keep_in(path: str) -> None:
    """From here on standard output and error are the file at `path`, if they are that now."""
    global _path
    with suppress(OSError):
        if os.path.samestat(os.stat(path), os.fstat(2)):
            _path = path


def reopen() -> None:
    """Go on in the file that has the log's name now, making it if there is none. Without a file: do nothing."""
    with suppress(OSError, Unavailable):
        _follow()


def put_aside(path: str) -> None:
    """When the file at `path` is full, name it `path`.1 in the place of the one before.

    Raises OSError, also when another process does it just now.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of several that find it full, one puts it aside
        found = os.fstat(fd)
        if found.st_size > LIMIT and os.path.samestat(found, os.stat(path)):
            os.rename(path, f"{path}.1")
    finally:
        os.close(fd)


def _write(line: str) -> None:
    data = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}\n".encode(errors="replace")
    reopen()
    with suppress(OSError):  # a worker must not die because its log is on the disk that is full
        os.write(2, data)


def _follow() -> None:
    if _path is None:
        return
    with suppress(FileNotFoundError):
        here = os.stat(_path)
        if here.st_size > LIMIT:
            put_aside(_path)
        elif os.path.samestat(here, os.fstat(2)):
            return
    fd = ownership.make(_path, os.O_WRONLY | os.O_APPEND)
    try:
        for stream in _STREAMS:
            os.dup2(fd, stream)
    finally:
        os.close(fd)


class _Repeats:
    """Which lines were said lately, when first and how often since."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.pid = os.getpid()
        self.said: dict[str, tuple[float, int]] = {}  # when it was written last, how often it came since

    def lines(self, line: str, now: float) -> Iterator[str]:
        """What to write when `line` is said: itself, or nothing for one that was written less than REPEAT_S ago.

        Before that the number of repetitions of each line whose time is over.
        """
        if self.pid != os.getpid():  # a worker was forked: what its supervisor repeated is not its own
            self._clear()
        at, times = self.said.get(line, (now, -1))
        if times >= 0 and now - at < REPEAT_S:
            self.said[line] = at, times + 1
            return
        over = [old for old, (since, _) in self.said.items() if now - since >= REPEAT_S]
        crowd = list(self.said)[: max(0, len(self.said) - len(over) + 1 - _KEPT)]
        for old in dict.fromkeys((*over, *crowd)):
            yield from self._count(old)
        self.said[line] = now, 0
        yield line

    def rest(self) -> Iterator[str]:
        """The number of repetitions of every line."""
        if self.pid == os.getpid():
            for line in list(self.said):
                yield from self._count(line)

    def _count(self, line: str) -> Iterator[str]:
        _, times = self.said.pop(line)
        if times:
            yield f"{line.splitlines()[-1]} … repeated {times} times"


_repeats = _Repeats()


class Trouble:
    """What keeps someone from working: said when it begins, when it changes and when it is over, not every second."""

    def __init__(self, who: str):
        self.who = who
        self.sentence: str | None = None

    def say(self, sentence: str) -> None:
        if sentence != self.sentence:
            self.sentence = sentence
            say(self.who, f"{sentence} Waiting until it can be used again.")

    def over(self, write: Callable[[], object] = lambda: None) -> None:
        """Something could be read, or written. write: writes something and raises if that cannot be done still."""
        if self.sentence is not None:
            write()
            self.sentence = None
            say(self.who, "the database can be used again")
