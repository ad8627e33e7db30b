"""How many jobs are in each state, by queue: where many change at once, counted in one go.

Triggers count every other change of a job. What is counted here is what they leave out: jobs that are stored, and runs
that succeeded. Always inside the transaction of the change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from engine import dialect
from models import db


def stored(jobs: Iterable[tuple[str, str]]) -> None:
    """These jobs, each a queue and a state, are new."""
    _add(Counter(jobs))


def completed(queues: Iterable[str]) -> None:
    """A job that was processing succeeded, in each of these queues."""
    for queue, n in Counter(queues).items():
        _add({(queue, "processing"): -n, (queue, "completed"): n})


def _add(changes: dict[tuple[str, str], int]) -> None:
    for (queue, state), n in changes.items():
        db.execute_sql(dialect.COUNT_JOBS, (queue, state, n))
