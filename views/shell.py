"""The lines of `queuectl` that do what the panel's buttons do, ready to paste into a shell."""

from __future__ import annotations

import shlex


def line(*words: str) -> str:
    """A call of queuectl with these words, quoted for a shell."""
    return shlex.join(("queuectl", *words))
