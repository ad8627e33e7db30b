"""How a command ended, in words."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from engine.output import Output
from workers import process

_WORDS = {126: "found, but not executable", 127: "command not found"}


def of_failure(timeout_s: float | None, word: str, code: int, stderr: Output) -> str:
    """Why a run did not succeed. word: failed, timeout, cancelled or released; code: negative for a signal."""
    if word == "timeout":
        return f"timed out after {timeout_s:g} s"
    if word != "failed":
        return "stopped with its worker and given back" if word == "released" else word
    if code < 0:
        return f"killed by {_signal_name(-code)}"
    says = f"exit code {code}" + (f" ({_WORDS[code]})" if code in _WORDS else "")
    line = stderr.failure_line()
    return f"{says}: {line}" if line else says


def with_left(error: str | None, pids: Sequence[int]) -> str:
    """The same (None: it succeeded) of a run that left these processes, which cannot be ended."""
    left = f"left behind: {'; '.join(map(process.why_alive, pids))}"
    return f"{error}; {left}" if error else left


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
