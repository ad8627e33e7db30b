"""Where the panel listens: on this machine alone, because everybody who opens the panel can run commands."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable
from typing import Any

Address = Any  # as gunicorn has it: (host, port), the path of a Unix socket, or the number of an open descriptor

_INSTEAD = "use 127.0.0.1 and put a proxy with TLS and authentication in front of it (docs/operations.md)"


def trouble(addresses: Iterable[Address]) -> str | None:
    """Why the panel may not listen at one of these addresses, in one sentence; None when it may and can."""
    for address in addresses:
        sentence = _foreign(address) or _taken(address)
        if sentence:
            return sentence
    return None


def exposed(listeners: Iterable[Any]) -> str | None:
    """Why others can reach one of these open sockets, in one sentence; None when none can."""
    for listener in listeners:
        address = listener.getsockname()
        sentence = _foreign(address)
        if sentence is None and isinstance(address, str) and stat.S_IMODE(os.stat(address).st_mode) & stat.S_IRWXO:
            sentence = f"Every user of this machine may open {address}; leave out --umask, or give 0o117 for its group."
        if sentence:
            return sentence
    return None


def in_words(listener: Any, prefix: str) -> str:
    """The address that a person opens, of a socket that listens."""
    address = listener.getsockname()
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{prefix}"


def _foreign(address: Address) -> str | None:
    """Why others than this machine's users could reach it."""
    if isinstance(address, int):  # judged when it is open
        return None
    if isinstance(address, (str, bytes)):
        if not address or address[:1] in ("\0", b"\0"):
            return "The panel cannot listen at a Unix socket without a path, which has no permissions; name a path."
        return None
    host, port = address[:2]
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return f"The panel cannot listen at {host!r}, which is no address of this machine; use 127.0.0.1."
    if all(ipaddress.ip_address(str(where[0]).partition("%")[0]).is_loopback for *_, where in found):
        return None
    return f"The panel does not listen at {host or '0.0.0.0'}, where other machines reach it; {_INSTEAD}."


def _taken(address: Address) -> str | None:
    if not isinstance(address, tuple):
        return None
    host, port = address[:2]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            return f"The panel cannot use port {port}: {os.strerror(errno.EADDRINUSE)}. Choose another: make run PORT={port + 1}"
        return f"The panel cannot listen at {host}, port {port}: {getattr(error, 'strerror', None) or error}."
    return None
