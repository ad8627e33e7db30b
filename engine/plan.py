"""The attempts of a job if each fails at once: when each begins, how long it waits, and when the job is dead."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from engine.spec import LAST_MS


class Planned(NamedTuple):
    """One attempt. at: its instant in ms. wait_s: the seconds since the failure before it; None for the first."""

    number: int
    at: int
    wait_s: float | None


class Plan(NamedTuple):
    """All attempts of a job, and the instant it is dead after the last. spread: the share a wait may be longer (jitter)."""

    attempts: list[Planned]
    dead_at: int
    spread: float


def wait_s(failures: int, base: float, longest: float) -> float:
    """How long to wait after failure number `failures`, without the jitter: base ^ failures seconds, bounded."""
    try:
        return min(float(base) ** failures, longest)
    except OverflowError:
        return longest


def plan(max_retries: int, first_at: int, settings: Mapping[str, Any]) -> Plan:
    """The attempts of a job with so many retries, the first at `first_at`, with these settings."""
    base, longest = settings["backoff_base"], settings["max_backoff_sec"]
    waits = [wait_s(failures, base, longest) for failures in range(1, max_retries + 1)]
    passed = accumulate(waits, initial=0.0)
    attempts = [
        Planned(number, min(first_at + int(after * 1000), LAST_MS), wait)
        for number, (after, wait) in enumerate(zip(passed, [None, *waits], strict=True), 1)
    ]
    return Plan(attempts, attempts[-1].at, settings["backoff_jitter"])
