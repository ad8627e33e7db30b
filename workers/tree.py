"""Find and end what a command left behind: children, marked processes, holders of a lock file."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import cache, lru_cache

from workers.process import is_alive, started_of

MARK = "QUEUECTL_RUN"
_SUBREAPER, _NAME = 36, 15  # prctl(2): PR_SET_CHILD_SUBREAPER, PR_SET_NAME
PATIENCE_S = 1.0  # for children that were killed; one that lives on then is reported and spared
_PROC = "/proc"
_shelter: str | None = None
_spared: dict[int, int] = {}  # children that could not be ended: when each started, for a number can come again


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


def end_children(spare: Iterable[int] = (), patience_s: float = PATIENCE_S) -> list[int]:
    """Kill every child of this process but `spare`, and what they leave. Returns those that live after `patience_s`.

    Each of those is returned once; later calls spare it. Children are reaped here, so call it only when no one waits
    for them elsewhere.
    """
    spared = frozenset(spare)
    give_up_at = time.monotonic() + patience_s
    pause_s = 0.0005
    while found := [pid for pid in _children() if pid not in spared and not _is_spared(pid)]:
        for pid in found:
            _kill_child(pid)
        left = [pid for pid in found if not _reap(pid)]
        if left and time.monotonic() > give_up_at:
            _spared.update({pid: started_of(pid) for pid in left})
            return [pid for pid in left if is_alive(pid)]
        if left:
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.01)
    return []


def spare(pid: int, started: int) -> None:
    """From here on, spare this child, which is known to be one that cannot be ended."""
    _spared[pid] = started


def end_marked(values: Collection[str]) -> list[int]:
    """Kill every process whose QUEUECTL_RUN is one of the values; those that were found alive."""
    wanted = {f"{MARK}={value}".encode() for value in values}
    return _end_all(lambda pid: not wanted.isdisjoint(_read(f"{_PROC}/{pid}/environ").split(b"\0")))


def holders(path: str) -> list[int]:
    """Every other process that has this file open."""
    return [pid for pid in _pids() if any(target == path for target in _open_files(pid))]


def end_holders(path: str) -> list[int]:
    """Kill every other process that has this file open; those that were found alive."""
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


def _is_spared(pid: int) -> bool:
    if pid in _spared and _spared[pid] == started_of(pid):
        return True
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
    if _spared:
        left = [pid for pid in _children() if not _reap(pid)]
        if not left:
            _spared.clear()
        return all(_is_spared(pid) for pid in left)
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


def _kill_child(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the latter: it became another user's
        os.kill(pid, signal.SIGKILL)  # our own child and not reaped: the number cannot be another's


def _reap(pid: int) -> bool:
    """Whether the child has ended and is reaped. Waits for none: one in the kernel or held by a debugger may take for ever."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _end_all(matches: Callable[[int], bool]) -> list[int]:
    """Kill all that match; those. The match is checked again on a handle, so a reused number is never hit."""
    found: list[int] = []
    for pid in _pids():
        if not matches(pid):
            continue
        with suppress(OSError), _handle(pid) as handle:
            if matches(pid):
                found.append(pid)
                handle.kill()
    return found


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
