"""The end of a thread's questions to the database, after so much processor time."""

from __future__ import annotations

import threading
import time
from typing import Any

_STEPS = 20_000  # of SQLite's machine, between two looks at the clock


class Deadline(threading.local):
    """A limit for this thread, heeded by its connections. SQLite calls what comes of it "interrupted"."""

    def __init__(self) -> None:
        self.until: float | None = None  # of the clock of the thread's processor time

    def set(self, processor_s: float | None) -> None:
        """From now on; None: no limit."""
        self.until = None if processor_s is None else time.thread_time() + processor_s

    def watch(self, connection: Any) -> Any:
        """Let the connection end its statement when the time is over. Returns the connection."""
        connection.set_progress_handler(None if self.until is None else self._is_over, _STEPS)
        return connection

    def _is_over(self) -> bool:
        if self.until is None or time.thread_time() < self.until:
            return False
        self.until = None  # only once: the page that says so asks something, too
        return True
