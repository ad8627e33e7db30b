"""The dead letter queue: the jobs that failed after their last retry, and their way back."""

from __future__ import annotations

from engine import jobs


def retry(job_id: str) -> None:
    """Put one dead job back to pending with no attempts. Raises NotFound; Refused when it is not dead."""
    jobs.retry(job_id, ("dead",))


def retry_all() -> int:
    """Put every job that is dead now back to pending, in small batches; how many it were."""
    return jobs.retry_dead()
