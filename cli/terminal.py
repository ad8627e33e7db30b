"""What a person sees on a terminal: text of jobs may colour it, and cannot steer it.

Everything that is printed passes here, whatever command prints it; only what redraws itself writes past it.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Any, TextIO

from engine import visible


class Guarded(TextIOWrapper):
    """A terminal that lets colours pass and shows all other control characters instead of obeying them."""

    def __init__(self, terminal: TextIOWrapper):
        encoding = terminal.encoding if terminal.encoding.lower() not in ("ascii", "us-ascii") else "utf-8"
        super().__init__(terminal.buffer, encoding=encoding, errors=terminal.errors, line_buffering=True)
        self.past = terminal

    def write(self, text: str) -> int:
        super().write(visible.coloured(text))
        return len(text)


def guard() -> None:
    """From here on nothing that is printed steers the terminal; pipes and files get every byte."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper) and stream.isatty():
            stream.flush()
            setattr(sys, name, Guarded(stream))


def past_guard(stream: TextIO) -> Any:
    """The stream for what moves the cursor itself; nothing that a job wrote may go there unless it is `visible.plain`."""
    return stream.past if isinstance(stream, Guarded) else stream
