"""What the tries of a job will be if each fails at once: when it begins, how long it waits, when it is given up."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from engine.spec import LAST_MS


class Try(NamedTuple):
    """One try. at: its instant in ms. wait_s: how long the failure before it is waited out; None for the first."""

    number: int
    at: int
    wait_s: float | None


class Plan(NamedTuple):
    """All tries of a job, and the instant it is dead after the last. spread: the share a wait may be longer (jitter)."""

    tries: list[Try]
    dead_at: int
    spread: float


def wait_s(attempts: int, base: float, longest: float) -> float:
    """How long to wait after failure number `attempts`, without the jitter: base ^ attempts seconds, bounded."""
    try:
        return min(float(base) ** attempts, longest)
    except OverflowError:
        return longest


def plan(max_retries: int, first_at: int, settings: Mapping[str, Any]) -> Plan:
    """The tries of a job that may be retried so often, the first at `first_at`, with these settings."""
    base, longest = settings["backoff_base"], settings["max_backoff_sec"]
    waits = [wait_s(attempts, base, longest) for attempts in range(1, max_retries + 1)]
    passed = accumulate(waits, initial=0.0)
    tries = [
        Try(number, min(first_at + int(after * 1000), LAST_MS), wait)
        for number, (after, wait) in enumerate(zip(passed, [None, *waits], strict=True), 1)
    ]
    return Plan(tries, tries[-1].at, settings["backoff_jitter"])
