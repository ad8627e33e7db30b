"""What a worker says of the runs it holds, in a file that outlives it: which have begun, and how they ended.

The file is mapped into memory: to say something is to store a few bytes there, which the kernel keeps when the process
is killed, at whatever instant. Nothing waits for the disk. A record is a head, of its length and a checksum, and marshalled
values; the head is stored last, and makes the record count. The first record names the worker's life: a file with the
name of another says nothing of this worker. What is said of most runs, that one succeeded without a word
and another begins, has a record of its own, which takes less time and room.
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

from engine import ownership
from engine.jobs import Claim, Ended, Ending
from engine.output import EMPTY, Output
from models import Worker

SIZE = 16_384  # bytes; more than a handful of ends with little output
_HEAD = Struct("=II")  # length and checksum of the record after it
ROOM = SIZE - 2048  # a record holds less than the rest beside what was printed
_FORMAT = 2  # of marshal: the same in every Python
# Its kind; pk and run of the one that begins and of the one that ended, and what is known of that.
_QUIET = Struct("=B9q")
_QUIET_KIND = 1  # no marshalled value begins with this byte


def life_of(worker: Worker, instance: str) -> str:
    """The name of this worker's life, which no other worker of any database has; "" for one of a version without names."""
    return f"{instance} {worker.life}" if worker.life else ""


class Writer:
    """The worker's side. The file names `life` at once, in the place of what lay there; its room is made with the first run."""

    def __init__(self, path: str, life: str):
        self._path = path
        self._map: mmap.mmap | None = None
        name = marshal.dumps(life, _FORMAT)
        self._head = _HEAD.pack(len(name), zlib.crc32(name)) + name
        self.used = len(self._head)  # bytes; while it is at most ROOM with what a run printed, the run's end has room
        with suppress(FileNotFoundError):
            os.unlink(path)
        with suppress(OSError):  # a full disk; then nothing is known of the worker's runs until there is room
            self._write(self._head)

    def begin(self, held: Claim, ended: Ended | None = None) -> bool:
        """Say that the job's command is about to be started, and how a run `ended`; False when that cannot be said."""
        if ended is not None:
            over, outcome, (code, error, *took, stdout, stderr), started_at = ended
            is_quiet = code == 0 and outcome == "success" and error is None and stdout is stderr is EMPTY
            if is_quiet and None not in (started_at, *took):
                return self._add(_QUIET.pack(_QUIET_KIND, held.pk, held.run, over.pk, over.run, started_at, *took))
        return self._add(marshal.dumps((held.pk, held.run, ended and _values(ended)), _FORMAT))

    def end(self, ended: Ended) -> bool:
        """Say how a run ended; False when that cannot be said."""
        return self._add(marshal.dumps((None, None, _values(ended)), _FORMAT))

    def forget(self) -> None:
        """All that was said is stored elsewhere by now."""
        if self._map is not None:
            self.used = len(self._head)
            _HEAD.pack_into(self._map, self.used, 0, 0)

    def disown(self) -> None:
        """A run begins of which nothing can be said: from now on the file says nothing of any."""
        self._map = None
        with suppress(OSError):
            os.truncate(self._path, 0)

    def _add(self, record: bytes) -> bool:
        page = self._map or self._make()
        if page is None:
            return False
        begins = self.used + _HEAD.size
        ends = begins + len(record)
        if ends + _HEAD.size > SIZE:
            return False
        _HEAD.pack_into(page, ends, 0, 0)  # nothing follows it
        page[begins:ends] = record
        _HEAD.pack_into(page, self.used, len(record), zlib.crc32(record))
        self.used = ends
        return True

    def _make(self) -> mmap.mmap | None:
        """Every byte is written once, so that a disk that fills later has room for it still."""
        with suppress(OSError):  # a full disk
            self._map = self._write(self._head.ljust(SIZE, b"\0"))
            self.used = len(self._head)
        return self._map

    def _write(self, data: bytes) -> mmap.mmap | None:
        """Write the beginning of the file; where it is mapped when that is all of it."""
        fd = ownership.make(self._path)
        try:
            return mmap.mmap(fd, SIZE) if os.write(fd, data) == SIZE else None
        finally:
            os.close(fd)


def _values(ended: Ended) -> tuple[Any, ...]:
    held, outcome, (*columns, stdout, stderr), started_at = ended
    return (held.pk, held.run, outcome, started_at, *columns, *stdout, *stderr)


class Journal:
    """What the file of a worker that died says, if it names `life` ("": if it names none)."""

    def __init__(self, path: str, life: str):
        self.begun: set[tuple[int, int]] = set()  # a job's pk and the number of its run
        self.ended: dict[tuple[int, int], list[Any]] = {}
        records = list(_records(path))
        name = records.pop(0) if records and isinstance(records[0], str) else ""
        if name != life:
            records.clear()
        self.is_known = bool(records or name == life != "")
        for record in records:
            if len(record) == 3:
                begun_pk, begun_run, end = record
                if begun_pk is not None:
                    self.begun.add((begun_pk, begun_run))
            else:  # a worker of the version before wrote them one by one
                self.begun.add(record[:2])
                end = record if len(record) > 2 else None
            if end is not None:
                pk, run, *values = end
                self.ended[pk, run] = values

    def has_begun(self, held: Claim, among: int) -> bool:
        """Whether the job's command was started, of `among` jobs that the worker held."""
        if not self.is_known and among == 1:
            return True  # nothing is known; of several none had begun, for that is said of each of several
        return (held.pk, held.run) in self.begun

    def end_of(self, held: Claim) -> Ended | None:
        """How its run ended, when that is known."""
        if (held.pk, held.run) not in self.ended:
            return None
        outcome, started_at, *columns = self.ended[held.pk, held.run]
        size = len(EMPTY)
        ending = Ending._make([*columns[: -2 * size], Output(*columns[-2 * size : -size]), Output(*columns[-size:])])
        return Ended(held, outcome, ending, started_at)


def _records(path: str) -> Iterator[Any]:
    data = b""
    with suppress(FileNotFoundError), open(ownership.reopen(path, os.O_RDONLY), "rb") as file:
        data = file.read()
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        record = data[at + _HEAD.size : at + _HEAD.size + length]
        if not length or zlib.crc32(record) != checksum:
            return
        yield _quiet_values(record) if record[0] == _QUIET_KIND else marshal.loads(record)
        at += _HEAD.size + length


def _quiet_values(record: bytes) -> tuple[Any, ...]:
    """What it would have said at length."""
    _, begun_pk, begun_run, pk, run, started_at, *took = _QUIET.unpack(record)
    return begun_pk, begun_run, (pk, run, "success", started_at, 0, None, *took, *EMPTY, *EMPTY)
