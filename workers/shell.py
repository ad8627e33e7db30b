"""The shell that runs a command: its start, and the descriptors by which it is watched."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

SHELL = "/bin/sh"
# All that can be, not only those that are ignored here: the C library asks twice about each that is not among them.
_SIGNALS = [int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}]
_pidfd_open = getattr(os, "pidfd_open", None)  # Linux has it


# One that runs: its pid, where to read stdout and stderr, the other ends of both, and what is readable when it has ended,
# if the system has that. A tuple without names: one with names is made by a function, and this is made for each job.
Shell = tuple[int, int, int, list[int], int | None]


def start(command: str, env: Mapping[Any, Any], folder: str) -> Shell:
    """Start it in its own session, with this stdin, in the folder that has this name now.

    env: of str or bytes, as execve(2) takes them. Raises OSError; `filename` is `folder` when that cannot be entered.
    """
    os.chdir(folder)
    script = command.encode(errors="surrogateescape")  # the same in every locale
    pipes: list[int] = []
    try:
        pipes += os.pipe()
        pipes += os.pipe()
        out, out_end, err, err_end = pipes
        pid = os.posix_spawn(
            SHELL,
            [SHELL.encode(), b"-c", script],
            env,
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
        os.chdir("/")  # this process keeps no folder from being deleted or unmounted
    try:
        exit_fd = _pidfd_open(pid) if _pidfd_open else None
    except OSError:  # too many are open: it runs, and is asked now and then
        exit_fd = None
    return pid, out, err, [out_end, err_end], exit_fd


def let_go(ends: list[int]) -> None:
    """Close the command's ends of the pipes. Kept open until it ends, so that this wakes nobody for each stream too."""
    while ends:
        os.close(ends.pop())


def close(shell: Shell) -> None:
    """Close all that is open for it still. The process itself is reaped by whoever started it."""
    _, out, err, ends, exit_fd = shell
    if ends:
        let_go(ends)
    os.close(out)
    os.close(err)
    if exit_fd is not None:
        os.close(exit_fd)
