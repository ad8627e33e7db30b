"""Tell the supervisor of this host that something changed, so that nobody has to poll for it.

One byte on a Unix datagram socket beside the database, sent after the commit. Losing it costs at most the
supervisor's next look (half a second); a missing supervisor costs nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import models
from engine import ownership

SOCKET = "supervisor.sock"

unheard = False  # whether a nudge met no one where a supervisor has been


def nudge() -> None:
    """Wake the supervisor once the present transaction is committed (at once outside of one)."""
    models.db.after_commit(_send)


def listen(folder: str) -> socket.socket:
    """The supervisor's end, non-blocking. Only the holder of the supervisor lock may call it."""
    ear = _socket()
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, SOCKET))
    _with_short_path(folder, ear.bind)
    ownership.give_socket(os.path.join(folder, SOCKET))
    return ear


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _send() -> None:
    global unheard
    with _socket() as mouth:
        try:
            _with_short_path(f"{models.db.database}.run", lambda path: mouth.sendto(b"!", path))
        except ConnectionRefusedError:
            unheard = True
        except OSError:  # there never was a supervisor, or its buffer is full and it will look anyway
            pass


def _with_short_path(folder: str, act: Callable[[str], Any]) -> None:
    """Call act(path); a folder too long for a socket address (108 bytes) is reached by its descriptor."""
    path = os.path.join(folder, SOCKET)
    if len(os.fsencode(path)) < 100:
        act(path)
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        act(f"/proc/self/fd/{fd}/{SOCKET}")
    finally:
        os.close(fd)
