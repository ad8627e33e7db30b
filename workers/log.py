"""One line an event on standard error; a detached supervisor has it in supervisor.log."""

from __future__ import annotations

import sys
import time


def say(who: str, sentence: str) -> None:
    """Write one line: when, who, what."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {who}: {sentence}".rstrip(), file=sys.stderr, flush=True)
