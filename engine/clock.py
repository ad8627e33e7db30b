"""What time it is: the system's clock, unless it went forward without a reason.

The difference between the system's clock and the time since boot changes only when the clock is set: corrections by NTP
change the rate of both. A step back is followed at once. A step forward by more than a minute is followed when it has
stood for an hour; until then time goes on from before the step, so that nothing runs early and nothing is deleted for
its age. All processes of a host share what they know in one file of the run folder.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from engine import ownership

STEP_MS = 60_000  # a longer step forward is doubted
STANDS_MS = 3_600_000  # how long a step must stand before it is followed
_NOTED_MS = 1000  # a smaller change of the difference is not worth writing down
_LOOK_MS = 1000  # in doubt: until the file is read again, for another process may have ended the doubt
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # counts while the machine sleeps


class _Known(NamedTuple):
    """Milliseconds. offset: the clock minus the time since boot, as followed.

    doubted: the offset that is not followed yet, None when there is none; since: the time since boot when it began.
    """

    offset: int
    doubted: int | None = None
    since: int = 0


class Doubt(NamedTuple):
    """The system's clock is `ahead_ms` ahead of the time in use; QueueCTL follows it at the instant `until`."""

    ahead_ms: int
    until: int


_file: str | None = None
_known: _Known | None = None
_looked_at = 0


def keep_in(folder: str) -> None:
    """Share what is known with the processes that keep it in the same folder. It need not exist."""
    global _file, _known
    file = os.path.join(folder, "clock")
    if file != _file:
        _file, _known = file, None


def now_ms() -> int:
    """The present instant: milliseconds since 1970, UTC."""
    wall, since_boot = _read_clocks()
    known = _known
    if known is not None and known.doubted is None and abs(wall - since_boot - known.offset) <= _NOTED_MS:
        return wall
    return since_boot + _follow(wall - since_boot, since_boot).offset


def doubt() -> Doubt | None:
    """How the system's clock differs from the time that is followed, None when it does not."""
    wall, since_boot = _read_clocks()
    known = _follow(wall - since_boot, since_boot)
    if known.doubted is None:
        return None
    return Doubt(known.doubted - known.offset, known.offset + known.since + STANDS_MS)


def follow_now() -> None:
    """A person says that the system's clock is right: follow it at once."""
    wall, since_boot = _read_clocks()
    _note(_Known(wall - since_boot))


def _read_clocks() -> tuple[int, int]:
    """The system's clock and the time since boot, in milliseconds."""
    return time.time_ns() // 1_000_000, time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000


def _follow(offset: int, since_boot: int) -> _Known:
    """Take notice of the present offset. Returns what is followed from now on."""
    known = _latest(offset, since_boot)
    is_step = offset > known.offset + STEP_MS
    if is_step and (known.doubted is None or abs(offset - known.doubted) > STEP_MS):
        follows = _Known(known.offset, offset, since_boot)
    elif is_step and since_boot < known.since + STANDS_MS:
        return known
    else:
        follows = _Known(offset)
    if follows.doubted != known.doubted or abs(follows.offset - known.offset) > _NOTED_MS:
        _note(follows)
    return follows


def _latest(offset: int, since_boot: int) -> _Known:
    """What this process and the others of the host know; the present offset where nothing is known."""
    global _known, _looked_at
    if _known is None or since_boot >= _looked_at + _LOOK_MS:
        _looked_at = since_boot
        _known = _read() or _known
    if _known is None:
        _note(_Known(offset))
    return _known or _Known(offset)


def _read() -> _Known | None:
    """What the processes of this host last wrote since it was booted; None when there is nothing to go by."""
    if _file is None:
        return None
    try:
        with open(_file) as file:
            boot, *numbers = file.read(200).split()
        if boot != _boot():
            return None
        offset, doubted, since = map(int, numbers)
    except (OSError, ValueError):
        return None
    return _Known(offset, doubted if since else None, since)


def _note(known: _Known) -> None:
    global _known
    _known = known
    if _file is None:
        return
    fresh = f"{_file}.{os.getpid()}"
    with suppress(OSError):  # a full disk, or a user who may only read: this process knows it all the same
        with suppress(FileNotFoundError):
            os.unlink(fresh)  # of a process that was killed
        ownership.create(fresh, os.path.dirname(fresh))
        with open(fresh, "w") as file:
            file.write(f"{_boot()} {known.offset} {known.doubted or 0} {known.since}\n")
        os.replace(fresh, _file)


def _boot() -> str:
    """The random name of this boot, "-" where the kernel gives none."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
    return "-"
