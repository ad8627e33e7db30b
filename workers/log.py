"""One line an event on standard error; a detached supervisor has it in supervisor.log."""

from __future__ import annotations

import os
import time
from contextlib import suppress


def say(who: str, sentence: str) -> None:
    """Write one line: when, who, what. Where nothing can be written (full disk, closed terminal), say nothing."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {who}: {sentence}".rstrip() + "\n"
    with suppress(OSError):  # a worker must not die because its log is on the disk that is full
        os.write(2, line.encode(errors="replace"))


class Trouble:
    """What keeps someone from working: said when it begins, when it changes and when it is over, not every second."""

    def __init__(self, who: str):
        self.who = who
        self.sentence: str | None = None

    def say(self, sentence: str) -> None:
        if sentence != self.sentence:
            self.sentence = sentence
            say(self.who, f"{sentence} Waiting until it can be used again.")

    def over(self) -> None:
        if self.sentence is not None:
            self.sentence = None
            say(self.who, "the database can be used again")
