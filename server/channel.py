"""A connection as gunicorn's threads see it: a request that is there already, and an answer that waits for no reader."""

from __future__ import annotations

import errno
import select
import socket

from server.arrival import Arrival

MOST_UNSENT = 1024 * 1024  # of an answer that is made while it is sent; larger than any page
_PIECE = 64 * 1024


class Channel:
    """The socket of one connection, which never blocks but for the reader of a long answer.

    stall_s: how long such a reader may take nothing.
    """

    def __init__(self, sock: socket.socket, stall_s: float):
        sock.setblocking(False)
        self.sock = sock
        self.stall_s = stall_s
        self.arrival = Arrival()
        self.unsent = bytearray()
        self._request = b""
        self._read = 0
        self._starved = False  # more was read than had arrived

    # --- for the loop

    def receive(self) -> bool:
        """Take what the client has sent; False when it has closed the connection."""
        try:
            data = self.sock.recv(_PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.arrival.add(data)
        return bool(data)

    def begin(self) -> None:
        """Hand the complete request to who reads next."""
        self._request, self._read = self.arrival.take(), 0

    def flush(self) -> None:
        """Send what the client takes now. Raises OSError when it takes nothing any more."""
        try:
            while self.unsent:
                del self.unsent[: self.sock.send(self.unsent[:_PIECE])]
        except BlockingIOError:
            return

    @property
    def is_clean(self) -> bool:
        """Whether the request was read to its end, and not beyond."""
        return self._read == len(self._request) and not self._starved

    @property
    def holds(self) -> int:
        """Bytes that wait here for the client, or will."""
        return len(self.unsent) + self.arrival.needs

    # --- for gunicorn, as of a socket

    def recv(self, size: int) -> bytes:
        piece = self._request[self._read : self._read + size]
        self._read += len(piece)
        self._starved = self._starved or not piece
        return piece

    def sendall(self, data: bytes) -> None:
        """Send, or keep what the client does not take yet. Waits only while too much is kept. Raises OSError."""
        while len(self.unsent) > MOST_UNSENT:
            if not self._takes_more():
                self.unsent.clear()
                raise ConnectionResetError(errno.ECONNRESET, "The client reads nothing of its answer.")
            self.flush()
        self.unsent += data
        self.flush()

    def _takes_more(self) -> bool:
        poll = select.poll()  # select() takes no descriptor beyond 1,023
        poll.register(self.sock, select.POLLOUT)
        return bool(poll.poll(self.stall_s * 1000))

    def fileno(self) -> int:
        return self.sock.fileno()

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def settimeout(self, value: float | None) -> None:
        """It never blocks."""

    def shutdown(self, how: int) -> None:
        self.sock.shutdown(how)

    def close(self) -> None:
        self.unsent.clear()
        self.sock.close()
