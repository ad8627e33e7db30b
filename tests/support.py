"""What several kinds of tests share. Tests wait for conditions, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
from engine import queries, search
from engine.search import Page


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


def new_database(path: Path) -> Path:
    """Make an empty database at `path`, in one file, for tests that each work on a copy of it."""
    models.connect(str(path))
    models.db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    models.disconnect()
    return path


def dead_page(*, before: str | None = None, after: str | None = None, limit: int = 50, **chosen: str) -> Page:
    """A page of the dead letter queue, as the panel asks for it."""
    return queries.along(search.by_death(), chosen, before=before, after=after, limit=limit)
