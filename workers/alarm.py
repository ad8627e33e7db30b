"""Signals of the supervisor: each only leaves its number on a descriptor."""

from __future__ import annotations

import signal
import socket
from collections.abc import Collection


def heed(numbers: Collection[signal.Signals], alarm: socket.socket, its_end: socket.socket) -> None:
    """From here on `alarm` says which of these signals came, and that a child ended. They may be blocked before."""
    for end in (alarm, its_end):
        end.setblocking(False)
    signal.set_wakeup_fd(its_end.fileno(), warn_on_full_buffer=False)
    for number in (*numbers, signal.SIGCHLD, signal.SIGUSR1):  # the last for workers, who inherit this
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
