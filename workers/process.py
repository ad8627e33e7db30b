"""One process as the kernel describes it: whether it lives, since when, whose it is, and why it cannot be ended."""

from __future__ import annotations

import os
from contextlib import suppress

_PROC = "/proc"
_STATE, _STARTED, _EXIT_CODE = 0, 19, 49  # fields of /proc/PID/stat after the name, see proc(5)
_UNKNOWN = [b"0"] * 64
_LONGEST = 60  # characters of a command in a sentence


def started_of(pid: int) -> int:
    """When the process started, in ticks since the machine did; with its number it names the process. 0: not known."""
    return int(_stat(pid)[_STARTED])


def is_alive(pid: int, started: int | None = None) -> bool:
    """Whether the process runs. One that has ended and only waits to be reaped does not.

    started: when it started, so that another process with its number is not taken for it; None: not known.
    """
    stat = _stat(pid)
    if stat is _UNKNOWN:
        return _answers(pid)
    if started is not None and started != int(stat[_STARTED]):
        return False
    return stat[_STATE] not in (b"Z", b"X") or _has_threads(pid)


def wait_status(pid: int) -> int:
    """How a process ended that is not reaped yet, as wait(2) would say it; 0 when that is not known."""
    return int(_stat(pid)[_EXIT_CODE])


def why_alive(pid: int) -> str:
    """Why this process cannot be ended and what to do, as the end of a sentence."""
    facts = _facts(pid)
    uid = int(facts.get("Uid", "-1 -1").split()[1])
    says = f"process {pid} ({_command(pid)}) of user {_user(uid)} cannot be ended: "
    if tracer := int(facts.get("TracerPid", "0")):
        return f"{says}process {tracer} ({_command(tracer)}) debugs it; end that process"
    if facts.get("State", "").startswith("D"):
        return f"{says}it waits for a disk or a network file system; mend that, or restart the machine"
    if uid != os.geteuid() and os.geteuid():
        return f"{says}the workers run as user {_user(os.geteuid())}; type 'sudo kill -9 {pid}'"
    return f"{says}SIGKILL has had no effect yet; look at it with 'ps -l -p {pid}'"


def _facts(pid: int) -> dict[str, str]:
    lines = _read(f"{_PROC}/{pid}/status").decode(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _command(pid: int) -> str:
    """Its command line on one line; its name where it shows none."""
    words = _read(f"{_PROC}/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace")
    shown = "".join(letter if letter.isprintable() else " " for letter in words).strip()
    shown = shown or _facts(pid).get("Name", "unknown command")
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def _user(uid: int) -> str:
    import pwd  # only for such a sentence

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid) if uid >= 0 else "unknown"


def _has_threads(pid: int) -> bool:
    """Whether another thread of the process than its first is there."""
    with suppress(OSError):
        return len(os.listdir(f"{_PROC}/{pid}/task")) > 1
    return False


def _answers(pid: int) -> bool:
    """Whether there is such a process, where the kernel lists none."""
    if _lists_us():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _stat(pid: int) -> list[bytes]:
    stat = _read(f"{_PROC}/{pid}/stat").rpartition(b")")[2].split()
    return stat if stat and _lists_us() else _UNKNOWN


def _lists_us() -> bool:
    """Whether the numbers in /proc are those of this process's namespace."""
    with suppress(OSError):
        return os.readlink(f"{_PROC}/self") == str(os.getpid())
    return False


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # it has ended
        return b""
