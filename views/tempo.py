"""How often open tabs may ask: as they like while they are few, less often when together they would cost too much."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

ALLOWED = 7.0  # polls a second that one process likes to answer
SHORTEST_S, LONGEST_S = 2.0, 15.0


class Tempo:
    """Gives each tab that polls the next free instant for its next poll. So they come as often as is allowed, evenly spread,
    however many they are, and nobody needs to know their number.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = Lock()
        self._last_given = clock()

    def next_in(self) -> int | None:
        """In how many seconds the tab that polls now shall ask again; None for as soon as it likes."""
        with self._lock:
            now = self._clock()
            free = max(now + SHORTEST_S, self._last_given + 1 / ALLOWED)
            self._last_given = min(free, now + LONGEST_S)
            wait_s = round(self._last_given - now)
        return wait_s if wait_s > SHORTEST_S else None
