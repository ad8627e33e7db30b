"""What a worker says of the processes of its runs that cannot be ended: in the log, and for everybody in its row."""

from __future__ import annotations

from engine import survivors
from engine.errors import Unavailable
from engine.jobs import Claim
from engine.survivors import Survivor
from workers import log, process

LOOK_S = 5.0  # how often a worker without a job looks whether they live still
_HAS_NO_EFFECT = {"timeout": "the timeout", "cancelled": "the cancel", "released": "the stop"}


class Stuck:
    """Those of one worker. Only processes are in it that lived when last looked at."""

    def __init__(self, worker_id: str):
        self.id = worker_id
        self.known: dict[tuple[int, int], Survivor] = {}  # by number and start
        self.is_stored = True

    def add(self, held: Claim, pid: int, word: str | None) -> None:
        """The process of this run lives on, though it was to end by a timeout, cancel or stop, or is "left" by its run."""
        says = process.why_alive(pid)
        if word == "left":
            says = f"left behind: {says}"
        elif word is not None:
            says = f"{_HAS_NO_EFFECT[word]} has no effect: {says}"
        started = process.started_of(pid)
        one = Survivor(pid, started, held.pk, held.run, says)
        if self.known.get((pid, started)) != one:
            self.known[pid, started] = one
            self.is_stored = False
            log.say(self.id, f"job {held.id}: {says}")
        self._store()

    def look(self) -> None:
        """Forget those that have ended by now."""
        ended = [name for name in self.known if not process.is_alive(*name)]
        for name in ended:
            del self.known[name]
            self.is_stored = False
        self._store()

    def _store(self) -> None:
        if self.is_stored:
            return
        try:
            survivors.store(int(self.id[1:]), list(self.known.values()))
        except Unavailable:  # then the next time; the log has it
            return
        self.is_stored = True
