"""How often open tabs may ask: as they like while they are few, less often when together they would cost too much."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Lock

ALLOWED = 2.5  # polls a second that one process likes to answer, for each core: beside workers they are to cost little
SHORTEST_S, LONGEST_S = 2.0, 20.0
_MOST_CORES = 16  # more would not help: the threads of a process take turns


def usable_cores() -> int:
    """How many cores this process may use, as far as more of them let it answer more."""
    can_tell = hasattr(os, "sched_getaffinity")
    return min(len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1, _MOST_CORES)


class Tempo:
    """Gives each tab that polls the next free instant for its next poll. So they come as often as is allowed, evenly spread,
    however many they are, and nobody needs to know their number. cores: how many this process may use.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, cores: int = 1):
        self._clock = clock
        self._step_s = 1 / (ALLOWED * cores)
        self._lock = Lock()
        self._last_given = clock()

    def next_in(self) -> int | None:
        """In how many seconds the tab that polls now shall ask again; None for as soon as it likes."""
        with self._lock:
            now = self._clock()
            free = max(now + SHORTEST_S, self._last_given + self._step_s)
            self._last_given = min(free, now + LONGEST_S)
            wait_s = round(self._last_given - now)
        return wait_s if wait_s > SHORTEST_S else None
