"""What a supervisor does besides its workers."""

from __future__ import annotations

import time

import pytest

import models
from engine import jobs
from models import Job
from workers.chores import Chores

HOUR_MS = 3_600_000


@pytest.mark.parametrize(("hours", "waits"), [(0, False), (2, True)], ids=["was here just now", "was away"])
def test_nothing_is_deleted_for_its_age_in_the_first_hour_after_a_long_pause(queue, hours, waits):
    """The machine may have started with a wrong clock."""
    job_id = jobs.enqueue({"command": "true"})
    Job.update(created_at=models.now_ms() - hours * HOUR_MS).where(Job.id == job_id).execute()
    clearing = Chores(1, ()).chores[-1]
    assert (clearing.due_at > time.monotonic() + 3000) == waits
