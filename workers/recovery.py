"""The dead workers that are still to be cleared away: each for itself, so that one that cannot be keeps nothing waiting."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection
from typing import Any

from engine.errors import Unavailable
from models import Worker
from workers import burial, log

_RETRY_S = (1.0, 10.0)  # until the next try: after the first, the longest


class Recovery:
    """Clears away dead workers of one host, and knows when each is tried again that could not be."""

    def __init__(self, folder: str, host: str):
        self.where = {"folder": folder, "host": host}
        self.trouble = log.Trouble("supervisor")  # its own: a disk can have room for a beat and none for this
        self._at: dict[int, tuple[float, float]] = {}  # by the worker's pk: when again, and how long after the last try

    def is_due(self, pk: int) -> bool:
        """Whether it is time to try, for the first time too."""
        return pk not in self._at or time.monotonic() >= self._at[pk][0]

    def hurry(self) -> None:
        """A process has ended that may have been in the way."""
        self._at = {pk: (0.0, rest_s) for pk, (_, rest_s) in self._at.items()}

    def recover(
        self,
        pk: int,
        reason: str,
        *,
        clean: bool,
        heir_of: Callable[[Worker], dict[str, Any] | None],
        spare: Collection[int],
    ) -> bool | None:
        """Bury the worker, see `burial.bury`. None after an error, which is logged; it is tried again then, too."""
        first, longest = _RETRY_S
        rest_s = min(self._at.get(pk, (0.0, first / 2))[1] * 2, longest)
        self._at[pk] = time.monotonic() + rest_s, rest_s
        try:
            worker = Worker.get_by_id(pk)
            is_done = burial.bury(worker, reason, clean=clean, heir=heir_of(worker), spare=spare, **self.where)
        except Unavailable as error:
            self.trouble.say(str(error))
            return None
        except Exception:  # the jobs of all workers depend on this process
            log.say("supervisor", traceback.format_exc())
            return None
        self.trouble.over()
        if is_done:
            del self._at[pk]
        return is_done
