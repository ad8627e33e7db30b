"""How much of an HTTP request has arrived. What it means is read by gunicorn, once it is complete."""

from __future__ import annotations

import re

MOST_HEAD = 64 * 1024
MOST_BODY = 1024 * 1024 + 64 * 1024  # a little more than the panel takes, which says so itself
_MOST_SIZE_LINE = 8 * 1024  # of a chunk

_END_OF_HEAD = re.compile(rb"\r\n\r\n|(?<!\r)\n")  # a bare line feed: gunicorn refuses it
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_HEALTH = re.compile(rb"(GET|HEAD) [^ ?]*/healthz[ ?]")


class Arrival:
    """The bytes of a connection, and how many of them are the request that comes first.

    length: None until it is complete. is_whole: False when it was cut, so that the connection cannot go on after it.
    head: where the body begins; None while the head has not ended.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self._start()

    def _start(self) -> None:
        self.length: int | None = None
        self.is_whole = True
        self.head: int | None = None
        self._at = 0  # looked at as far as here
        self._is_chunked = False

    def add(self, data: bytes) -> None:
        self.data += data
        self.look()

    def look(self) -> None:
        """Find the end of the request in what is there."""
        if self.head is None:
            self._find_head()
        if self.head is not None and self.length is None:
            if self._is_chunked:
                self._find_last_chunk()
            elif len(self.data) >= self._at:
                self.length = self._at

    def take(self) -> bytes:
        """The complete request; what came after it stays."""
        taken = bytes(self.data[: self.length])
        del self.data[: self.length]
        self._start()
        return taken

    @property
    def is_too_long(self) -> bool:
        """Whether it was cut in its head for its length."""
        return self.head is None and len(self.data) >= MOST_HEAD

    @property
    def needs(self) -> int:
        """Bytes that the request may take before it is complete."""
        if self.head is None or self.length is not None:
            return len(self.data)
        return self.head + MOST_BODY if self._is_chunked else self._at

    @property
    def expects_word(self) -> bool:
        """Whether the client waits for a word before it sends the body."""
        return self.length is None and self.head is not None and bool(_EXPECTS.search(self.data, 0, self.head))

    @property
    def asks_health(self) -> bool:
        return bool(_HEALTH.match(self.data))

    def _find_head(self) -> None:
        found = _END_OF_HEAD.search(self.data, max(0, self._at - 3), MOST_HEAD)
        if found is None:
            self._at = len(self.data)
            if self._at >= MOST_HEAD:
                self._cut()
        elif found[0] == b"\n":
            self._cut()
        else:
            self.head = self._at = found.end()
            self._read_head(self.head)

    def _read_head(self, head: int) -> None:
        """Learn how the body ends. What says so twice has none here: gunicorn refuses it."""
        lengths = _LENGTH.findall(self.data, 0, head)
        chunked = _CHUNKED.findall(self.data, 0, head)
        if len(lengths) + len(chunked) != 1:
            return
        self._is_chunked = bool(chunked)
        if lengths:
            self._at = head + int(lengths[0])
            if int(lengths[0]) > MOST_BODY:  # refused by what its head says
                self._cut()

    def _find_last_chunk(self) -> None:
        """Walk from chunk to chunk. What is malformed is complete: gunicorn refuses it."""
        while self.length is None and len(self.data) >= self._at:
            end = self.data.find(b"\r\n", self._at, self._at + _MOST_SIZE_LINE)
            if end < 0:
                if len(self.data) - self._at >= _MOST_SIZE_LINE:
                    self._cut()
                return
            size = re.match(rb"[0-9a-fA-F]{1,8}(?=[ \t]*(;|$))", self.data[self._at : end])
            if size is None or self._at - (self.head or 0) > MOST_BODY:
                self._cut()
            elif int(size[0], 16):
                self._at = end + 2 + int(size[0], 16) + 2
            else:
                self._find_end_of_trailers(end)
                return

    def _find_end_of_trailers(self, end: int) -> None:
        found = self.data.find(b"\r\n\r\n", end)
        if found >= 0:
            self.length = found + 4
        elif len(self.data) - end > MOST_HEAD:
            self._cut()

    def _cut(self) -> None:
        self.is_whole, self.length = False, len(self.data)
