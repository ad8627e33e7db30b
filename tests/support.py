"""What several kinds of tests share. Tests wait for conditions, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(predicate: Callable[[], Any], timeout_s: float = 20.0, step_s: float = 0.02) -> Any:
    """Ask until the answer is true and return it; fail the test when that takes longer than `timeout_s`."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > give_up_at:
            raise AssertionError(f"still {answer!r} after {timeout_s} s")
        time.sleep(step_s)
