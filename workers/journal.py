"""What a worker says of the runs it holds, in a file that outlives it: which have begun, and how they ended.

The file is mapped into memory: to say something is to store a few bytes there, which the kernel keeps when the process
is killed, at whatever instant. Nothing waits for the disk. A record is a head, of its length and a checksum, and marshalled
values; the head is stored last, and makes the record count.
"""

from __future__ import annotations

import marshal
import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct
from typing import Any

from engine.jobs import Claim, Ended, Ending
from engine.output import Output

SIZE = 32_768  # bytes; more than a handful of ends with little output
_HEAD = Struct("=II")  # length and checksum of the record after it
_FORMAT = 2  # of marshal: the same in every Python


class Writer:
    """The worker's side. The file is made when there is something to say."""

    def __init__(self, path: str):
        self._path = path
        self._map: mmap.mmap | None = None
        self._used = 0

    def begin(self, held: Claim) -> bool:
        """Say that the job's command is about to be started; False when that cannot be said."""
        return self._add((held.pk, held.run))

    def end(self, run: Ended) -> bool:
        """Say how it ended; False when that cannot be said."""
        held, outcome, (*columns, stdout, stderr) = run
        return self._add((held.pk, held.run, outcome, held.started_at, *columns, *stdout, *stderr))

    def forget(self) -> None:
        """All that was said is stored elsewhere by now."""
        if self._map is not None:
            _HEAD.pack_into(self._map, 0, 0, 0)
            self._used = 0

    def _add(self, values: tuple[Any, ...]) -> bool:
        page = self._map or self._make()
        if page is None:
            return False
        record = marshal.dumps(values, _FORMAT)
        begins = self._used + _HEAD.size
        ends = begins + len(record)
        if ends + _HEAD.size > SIZE:
            return False
        _HEAD.pack_into(page, ends, 0, 0)  # nothing follows it
        page[begins:ends] = record
        _HEAD.pack_into(page, self._used, len(record), zlib.crc32(record))
        self._used = ends
        return True

    def _make(self) -> mmap.mmap | None:
        """Every byte is written once, so that a disk that fills later has room for it still."""
        with suppress(OSError):  # a full disk
            fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                if os.write(fd, bytes(SIZE)) == SIZE:
                    self._map = mmap.mmap(fd, SIZE)
            finally:
                os.close(fd)
        return self._map


class Journal:
    """What the file of a worker that died says."""

    def __init__(self, path: str):
        self.begun: set[tuple[int, int]] = set()  # a job's pk and the number of its run
        self.ended: dict[tuple[int, int], list[Any]] = {}
        for pk, run, *end in _records(path):
            self.begun.add((pk, run))
            if end:
                self.ended[pk, run] = end

    def has_begun(self, held: Claim, among: int) -> bool:
        """Whether the job's command was started, of `among` jobs that the worker held."""
        if not self.begun and among == 1:
            return True  # it held one at a time and wrote nothing
        return (held.pk, held.run) in self.begun

    def end_of(self, held: Claim) -> Ended | None:
        """How its run ended, when that is known."""
        if (held.pk, held.run) not in self.ended:
            return None
        outcome, started_at, *columns = self.ended[held.pk, held.run]
        ending = Ending._make([*columns[:-6], Output(*columns[-6:-3]), Output(*columns[-3:])])
        return Ended(held._replace(started_at=started_at), outcome, ending)


def _records(path: str) -> Iterator[tuple[Any, ...]]:
    data = b""
    with suppress(FileNotFoundError), open(path, "rb") as file:
        data = file.read()
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        record = data[at + _HEAD.size : at + _HEAD.size + length]
        if not length or zlib.crc32(record) != checksum:
            return
        yield marshal.loads(record)
        at += _HEAD.size + length
