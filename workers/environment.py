"""What a job starts with: the environment, folder and umask of the user who started the workers.

What is on the way from there to here adds variables of its own. They are left out: a job that runs make, a Python
program or a server would take them for its own. docs/lifecycle.md has the list.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from engine.errors import Unavailable

_ALWAYS = (
    rb"QUEUECTL_.*|GUNICORN_.*|HONCHO_.*|SUPERVISOR_(?:ENABLED|GROUP_NAME|PROCESS_NAME|SERVER_URL)"
    rb"|NOTIFY_SOCKET|LISTEN_(?:FDS|PID|FDNAMES|PIDFDID)|WATCHDOG_(?:USEC|PID)|MAINPID|MANAGERPID(?:FDID)?"
    rb"|SYSTEMD_EXEC_PID|INVOCATION_ID|JOURNAL_STREAM|CREDENTIALS_DIRECTORY|MEMORY_PRESSURE_(?:WATCH|WRITE)"
)
# What is left out only where the first variable shows that the program which sets the others is on the way.
_WITH = {
    b"MAKELEVEL": rb"MAKELEVEL|MAKEFLAGS|MFLAGS|MAKEOVERRIDES|MAKE_TERMOUT|MAKE_TERMERR|ARGS",
    b"HONCHO_PROCESS_NAME": rb"PORT|WORKERS|PYTHONUNBUFFERED",
    b"SERVER_SOFTWARE": rb"SERVER_SOFTWARE|PORT|SECRET_KEY|FLASK_.*|WEB_CONCURRENCY|FORWARDED_ALLOW_IPS",
}


class Surroundings(NamedTuple):
    """What a job starts with where it says nothing else."""

    env: Mapping[bytes, bytes]
    folder: str  # by its name: it is entered at each run
    umask: int


_given_umask: int | None = None  # until this process took one of its own


def own() -> Surroundings:
    """Those of this process."""
    return Surroundings(inherited(), here(), umask())


def keep_private(given_umask: int | None = None) -> None:
    """From here on what this process makes is for its user alone. Jobs get the umask it had, or the one that is given."""
    global _given_umask
    if _given_umask is None:
        had = os.umask(0o077)
        _given_umask = had if given_umask is None else given_umask


def umask() -> int:
    """The umask for jobs."""
    if _given_umask is not None:
        return _given_umask
    had = os.umask(0o077)
    os.umask(had)
    return had


def inherited(environ: Mapping[bytes, bytes] = os.environb) -> dict[bytes, bytes]:
    """What of this process's environment a job gets, and a supervisor that this process starts."""
    ours = re.compile(b"|".join([_ALWAYS, *(names for sign, names in _WITH.items() if sign in environ)]))
    found = {name: value for name, value in environ.items() if name and not ours.fullmatch(name)}
    if b"LC_CTYPE" in found and _is_coerced():
        del found[b"LC_CTYPE"]
    _leave_venv(found)
    return found


def encoded(env: Mapping[str, str]) -> dict[bytes, bytes]:
    """The variables of a job itself, in the same bytes in every locale."""
    return {name.encode(): value.encode(errors="surrogateescape") for name, value in env.items()}


def _is_coerced() -> bool:
    """Whether Python itself set LC_CTYPE at its start (PEP 538): the kernel still knows what it was started with."""
    with suppress(OSError), open("/proc/self/environ", "rb") as file:
        return not any(line.startswith(b"LC_CTYPE=") for line in file.read().split(b"\0"))
    return False


def _leave_venv(env: dict[bytes, bytes]) -> None:
    """The programs of our virtual environment come last in PATH, so that only `queuectl` is found there."""
    if sys.prefix == sys.base_prefix:
        return
    if _is_same(env.get(b"VIRTUAL_ENV", b""), os.fsencode(sys.prefix)):
        del env[b"VIRTUAL_ENV"]
        env.pop(b"VIRTUAL_ENV_PROMPT", None)
    if path := env.get(b"PATH"):
        programs = os.path.dirname(os.fsencode(sys.executable))
        others = [folder for folder in path.split(b":") if not _is_same(folder, programs)]
        env[b"PATH"] = b":".join([*others, programs])


def _is_same(path: bytes, other: bytes) -> bool:
    return bool(path) and os.path.realpath(path) == os.path.realpath(other)


def here() -> str:
    """The folder of this process by the name under which the user entered it: a link that is set to another folder later
    names that one. Raises Unavailable when it was deleted.
    """
    try:
        named, real = os.environ.get("PWD", ""), os.getcwd()
    except FileNotFoundError:
        raise Unavailable(
            "The folder this command was started in no longer exists; change to another and try again."
        ) from None
    with suppress(OSError):
        if os.path.isabs(named) and os.path.normpath(named) == named and os.path.samefile(named, real):
            return named
    return real
