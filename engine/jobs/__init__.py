"""The life of a job. The only package that changes one; every transition is one guarded statement.

pending → processing → completed
pending → processing → failed → (after its backoff) processing … → dead
pending or failed or processing → cancelled
"""

from engine.jobs.incoming import enqueue, enqueue_many, take_in
from engine.jobs.running import (
    Claim,
    Ending,
    backoff_ms,
    cancelled,
    claim,
    complete,
    fail,
    follow_clock,
    give_back,
    lose,
    release,
    show_output,
)
from engine.jobs.steering import FINAL, RETRYABLE, cancel, delete, prune, retry, retry_dead, run_now

__all__ = [
    "FINAL",
    "RETRYABLE",
    "Claim",
    "Ending",
    "backoff_ms",
    "cancel",
    "cancelled",
    "claim",
    "complete",
    "delete",
    "enqueue",
    "enqueue_many",
    "fail",
    "follow_clock",
    "give_back",
    "lose",
    "prune",
    "release",
    "retry",
    "retry_dead",
    "run_now",
    "show_output",
    "take_in",
]
