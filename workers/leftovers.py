"""What a command leaves when its shell has ended: killed, and waited for where that cannot be done."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence

from workers import process, tree

LOOK_MS = 200  # between two looks at processes that cannot be ended


class CannotEnd(Exception):
    """A process of the command lives on, and nothing shall wait for its end."""


class Leftovers:
    """The processes of one command that cannot be ended. stuck: see `command.run`."""

    def __init__(self, stuck: Callable[[int, str | None], bool]):
        self.stuck = stuck
        self.pids: list[int] = []

    def end(self, word: str | None) -> None:
        """Kill all that is left. word: by what the command was to end; None: it ended by itself. Raises CannotEnd."""
        self.pids = tree.end_children()
        self._say(word)

    def wait(self, ears: Sequence[int], hear: Callable[[], str | None], word: str) -> str:
        """Wait a moment for their end, or for another word; the last one. Raises CannotEnd."""
        poll = select.poll()
        for fd in ears:
            poll.register(fd, select.POLLIN)
        if poll.poll(LOOK_MS):
            word = hear() or word
        tree.is_childless()  # reaps those that have ended
        self.pids = [pid for pid in self.pids if process.is_alive(pid)]
        self._say(word)
        return word

    def _say(self, word: str | None) -> None:
        for pid in self.pids:
            if self.stuck(pid, word or "left") and word:
                raise CannotEnd
