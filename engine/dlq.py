"""The dead letter queue: the jobs that failed after their last retry, and their way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine import jobs


def retry(job_id: str) -> None:
    """Put one dead job back to pending with no attempts. Raises NotFound; Refused when it is not dead."""
    jobs.retry(job_id, ("dead",))


def retry_all(after_batch: Callable[[int], Any] = lambda retried: None) -> int:
    """Put every job that is dead now back to pending, in small batches. Returns their number.

    after_batch: called with the number until then.
    """
    return jobs.retry_dead(after_batch)
