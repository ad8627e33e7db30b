"""The runs of a job, one line each: when, how long (also as a bar), where, and how it ended in words."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from engine.wording import exit_meaning
from models import Attempt
from views import words

OUTCOMES = {
    "running": ("processing", "running"),
    "success": ("completed", "succeeded"),
    "failed": ("failed", "failed"),
    "timeout": ("failed", "timed out"),
    "cancelled": ("cancelled", "cancelled"),
    "released": ("pending", "given back"),
    "lost": ("dead", "worker lost"),
}
BAR = 100  # the length of the bar of the longest run


def lines(attempts: list[Attempt]) -> list[dict[str, Any]]:
    """The runs, in the order given (newest first), each with a bar as long as it took beside the others."""
    longest = max((run.duration_ms or 0 for run in attempts), default=0)
    return [_line(run, earlier, longest) for run, earlier in zip_longest(attempts, attempts[1:])]


def _line(run: Attempt, earlier: Attempt | None, longest: int) -> dict[str, Any]:
    state, outcome = OUTCOMES[run.outcome]
    return {
        "run": run.run,
        "worker": run.worker,
        "host": run.host,
        "started_at": run.started_at,
        "waited_ms": _waited(run, earlier),
        "duration_ms": run.duration_ms,
        "running": run.outcome == "running",
        "bar": _bar(run, longest),
        "state": state,
        "outcome": outcome,
        "exit": words.exit_words(run.return_code),
        "details": _details(run),
        "cpu_ms": None if run.user_ms is None else run.user_ms + (run.system_ms or 0),
        "max_rss_kb": run.max_rss_kb,
    }


def _waited(run: Attempt, earlier: Attempt | None) -> int | None:
    """How long after the end of the run before it began."""
    if earlier is None or earlier.finished_at is None or earlier.run != run.run - 1:
        return None
    return max(0, run.started_at - earlier.finished_at)


def _bar(run: Attempt, longest: int) -> int:
    if run.outcome == "running":
        return BAR
    return max(1, round(BAR * (run.duration_ms or 0) / longest)) if longest else 1


def _details(run: Attempt) -> list[str]:
    """What is known of the end beyond its outcome and exit code: what the code means, what the command said."""
    if run.outcome in ("success", "running"):
        return []
    meaning = exit_meaning(run.outcome, run.return_code)
    said = run.error or ""
    if said.startswith("exit code"):
        said = said.partition(": ")[2]
    told = [] if run.outcome == "timeout" and said else [meaning]
    return [text for text in (*told, "" if said and said in meaning else said) if text]
