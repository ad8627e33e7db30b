"""Find and end what a command left behind: children, marked processes, holders of a lock file."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import cache, lru_cache

MARK = "QUEUECTL_RUN"
_SUBREAPER, _NAME = 36, 15  # prctl(2): PR_SET_CHILD_SUBREAPER, PR_SET_NAME
_PROC = "/proc"
_shelter: str | None = None


def adopt_orphans(name: str) -> None:
    """Become the parent of every process whose own parent dies below this one, and be called `name` in ps.

    Where the system has no such thing (macOS), orphans go to process 1 and only their group is ended.
    """
    with suppress(OSError, AttributeError):
        libc().prctl(_SUBREAPER, 1, 0, 0, 0)
        libc().prctl(_NAME, name.encode()[:15], 0, 0, 0)


@cache
def libc() -> ctypes.CDLL:
    """The C library. Loaded once, by the supervisor: a worker shares it."""
    return ctypes.CDLL(None, use_errno=True)


def shelter(path: str) -> None:
    """From here on, spare a child that holds the lock of this file: a supervisor that a job's command started.

    It is not what the job left behind but everybody's, and outlives this process.
    """
    global _shelter
    _shelter = path


def mark(instance: str, pk: int, run: int) -> str:
    """The value of QUEUECTL_RUN: names one run of one job of one database, in every process of that run."""
    return f"{instance}-{pk}-{run}"


def end_children(spare: Iterable[int] = ()) -> int:
    """Kill every child of this process but `spare`, and what they leave, until none is left; how many it were.

    Children are reaped here, so call it only when no one waits for them elsewhere.
    """
    spared = frozenset(spare)
    ended = 0
    while True:
        found = [pid for pid in _children() if pid not in spared and not _is_sheltered(pid)]
        if not found:
            return ended
        for pid in found:
            ended += _kill_child(pid)
        _reap(found)


def end_marked(values: Collection[str]) -> int:
    """Kill every process whose QUEUECTL_RUN is one of the values; how many were found."""
    wanted = {f"{MARK}={value}".encode() for value in values}
    return _end_all(lambda pid: not wanted.isdisjoint(_read(f"{_PROC}/{pid}/environ").split(b"\0")))


def holders(path: str) -> list[int]:
    """Every other process that has this file open."""
    return [pid for pid in _pids() if any(target == path for target in _open_files(pid))]


def end_holders(path: str) -> int:
    """Kill every other process that has this file open; how many were found."""
    return _end_all(lambda pid: any(target == path for target in _open_files(pid)))


def has_open(pid: int, path: str) -> bool:
    """Whether this process has the file open."""
    return any(_descriptors(pid, path))


def has_locked(pid: int, path: str) -> bool:
    """Whether this process has the file open and it is this process that holds its lock."""
    return any(b"FLOCK" in _read(f"{_PROC}/{pid}/fdinfo/{name}") for name in _descriptors(pid, path))


def _descriptors(pid: int, path: str) -> Iterator[str]:
    """The names of the descriptors by which this process has the file open."""
    with suppress(OSError):
        wanted = os.stat(path)
        for name in os.listdir(f"{_PROC}/{pid}/fd"):
            with suppress(OSError):
                if os.path.samestat(os.stat(f"{_PROC}/{pid}/fd/{name}"), wanted):
                    yield name


def _is_sheltered(pid: int) -> bool:
    return _shelter is not None and has_locked(pid, _shelter)


def has_no_child() -> bool:
    """Reap what has ended; whether nothing is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def sees_itself() -> bool:
    """Whether /proc numbers processes as this one does: not after `unshare --pid` without a /proc of its own."""
    with suppress(OSError):
        return os.readlink(f"{_PROC}/self") == str(os.getpid())
    return False


def is_childless() -> bool:
    """Whether the kernel says that no child is left. One that has ended is reaped, and was one.

    Asked after each command: to read two empty lists takes half the time of an error, which is the other answer.
    """
    lists = _own_lists(os.getpid())
    for fd in lists:
        if os.pread(fd, 1, 0):
            break
    else:
        if lists:
            return True
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@lru_cache(maxsize=1)
def _own_lists(me: int) -> list[int]:
    """Where the kernel lists the children of each thread of this process; nowhere on some systems.

    Opened once by each process: by a worker when all its threads are there. An orphan becomes the first one's.
    """
    threads = f"{_PROC}/self/task"
    with suppress(OSError):
        return [os.open(f"{threads}/{thread}/children", os.O_RDONLY | os.O_CLOEXEC) for thread in os.listdir(threads)]
    return []


def descendants(pid: int) -> Iterator[int]:
    """The children of this process, theirs, and so on."""
    for child in _children(pid):
        yield child
        yield from descendants(child)


def _children(pid: int | None = None) -> list[int]:
    """The direct children of a process (None: this one), the dead not yet reaped included."""
    pid = pid or os.getpid()
    threads = f"{_PROC}/{pid}/task"
    if os.path.exists(f"{threads}/{pid}/children"):
        if not sees_itself():
            return []  # these numbers are other processes' here
        with suppress(FileNotFoundError):
            lists = [_read(f"{threads}/{thread}/children") for thread in os.listdir(threads)]
            return [int(child) for each in lists for child in each.split()]
    import psutil  # only where the kernel lists no children

    with suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def _kill_child(pid: int) -> int:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # our own child and not reaped: the number cannot be another's
        return 1
    return 0


def _reap(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _end_all(matches: Callable[[int], bool]) -> int:
    """Kill all that match. The match is checked again on a handle, so a reused number is never hit."""
    ended = 0
    for pid in _pids():
        if not matches(pid):
            continue
        with suppress(OSError), _handle(pid) as handle:
            if matches(pid):
                handle.kill()
                ended += 1
    return ended


class _handle:
    """A process held by pidfd where the kernel has that, else by number."""

    def __init__(self, pid: int):
        self.pid = pid
        self.fd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None

    def kill(self) -> None:
        if self.fd is None:
            os.kill(self.pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(self.fd, signal.SIGKILL)

    def __enter__(self) -> _handle:
        return self

    def __exit__(self, *_: object) -> None:
        if self.fd is not None:
            os.close(self.fd)


def _pids() -> Iterator[int]:
    me = os.getpid()
    if not sees_itself():
        return
    with suppress(FileNotFoundError):
        yield from (int(name) for name in os.listdir(_PROC) if name.isdigit() and int(name) != me)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it has ended, or is another user's
        return b""


def _open_files(pid: int) -> Iterator[str]:
    folder = f"{_PROC}/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            yield os.readlink(f"{folder}/{name}")


def wait_until(question: Callable[[], bool], limit_s: float, step_s: float = 0.01) -> bool:
    """Ask again and again for at most `limit_s` seconds; the last answer."""
    give_up_at = time.monotonic() + limit_s
    while not question():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(step_s)
    return True
