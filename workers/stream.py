"""What a command prints, read as it comes and kept within bounds."""

from __future__ import annotations

import os
import time

from engine.output import EMPTY, Output

_FIRST, _CHUNK = 4096, 65_536  # most commands print little, and memory that is asked for must be cleared


class Stream:
    """One output pipe: keeps the first quarter and the last three quarters of `limit` bytes."""

    def __init__(self, fd: int, limit: int):
        self.fd = fd
        self.head_limit = limit // 4
        self.tail_limit = limit - self.head_limit
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0
        self.cut_lines = 0  # line ends in what is no longer in the tail
        self.shown = 0
        self.open = True
        self.chunk = _FIRST

    def read(self) -> bool:
        """Take one chunk; False when there is none now. At the end of the stream `open` becomes False."""
        try:
            chunk = os.read(self.fd, self.chunk)
        except BlockingIOError:
            return False
        if not chunk:
            self.open = False
            return False
        self.chunk = _CHUNK
        self.total += len(chunk)
        room = self.head_limit - len(self.head)
        if room > 0:
            self.head += chunk[:room]
            chunk = chunk[room:]
        self.tail += chunk
        if len(self.tail) > 2 * self.tail_limit:
            surplus = len(self.tail) - self.tail_limit
            self.cut_lines += self.tail.count(b"\n", 0, surplus)
            del self.tail[:surplus]
        return True

    def read_all(self, until: float) -> None:
        """Take what is there now, but not beyond the monotonic instant `until`: a writer may be as fast as we are."""
        while self.open and self.read() and time.monotonic() < until:
            pass

    def output(self) -> Output:
        if not self.total:
            return EMPTY
        surplus = max(0, len(self.tail) - self.tail_limit)
        kept = bytes(self.head + self.tail[surplus:])
        if self.total == len(kept):
            return Output(kept, self.total)
        return Output(kept, self.total, len(self.head), self.cut_lines + self.tail.count(b"\n", 0, surplus))
