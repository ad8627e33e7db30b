"""Start the shell that runs a command."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

SHELL = "/bin/sh"
# All that can be, not only those that are ignored here: the C library asks twice about each that is not among them.
_SIGNALS = [int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}]


def start(command: str, env: Mapping[Any, Any], cwd: str | None) -> tuple[int, int, int, tuple[int, ...]]:
    """Start it in its own session, with this stdin. Its pid, where to read stdout and stderr, the other ends of both.

    env: of str or bytes, as execve(2) takes them. Raises OSError; `filename` is `cwd` when that cannot be entered.
    """
    home = None
    if cwd is not None:
        home = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chdir(cwd)
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
            [SHELL, "-c", command],
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
        if home is not None:
            os.chdir(home)
            os.close(home)
    return pid, out, err, (out_end, err_end)
