"""A database of its own for each test, and a clock that only the test moves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import models
from engine import config, jobs, queries
from engine.jobs import Claim, Ending
from models import Attempt, Job
from tests.support import new_database

FAILED = Ending(return_code=1, error="exit code 1", duration_ms=5)
DONE = Ending(return_code=0, duration_ms=5)


class Clock:
    """What models.now_ms answers. Begins in 2025 and stands still."""

    def __init__(self) -> None:
        self.now = 1_760_000_000_000

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


class Queue:
    """A queue without processes: the tests themselves are the workers."""

    def __init__(self, path: Path, clock: Clock):
        self.path = path
        self.clock = clock

    def add(self, job_id: str | None = None, **fields) -> str:
        named = {"id": job_id} if job_id else {}
        return jobs.enqueue({"command": "true", **named, **fields})

    def claim(self, worker: str = "w1") -> Claim:
        held = jobs.claim(worker, "host")
        assert held is not None, "nothing was due"
        return held

    def job(self, job_id: str) -> Job:
        return queries.find(job_id)

    def state(self, job_id: str) -> str:
        return self.job(job_id).state

    def outcomes(self, job_id: str) -> list[str]:
        return [run.outcome for run in reversed(queries.attempts(self.job(job_id)))]

    def bring_to(self, state: str, job_id: str = "job") -> Claim | None:
        """A job in this state; the claim of its last run, None when it never ran."""
        if state == "dead":
            self.add(job_id, max_retries=0)
        else:
            self.add(job_id)
        if state in ("pending", "cancelled"):
            if state == "cancelled":
                jobs.cancel(job_id)
            return None
        held = self.claim()
        if state == "completed":
            jobs.complete(held, DONE)
        elif state in ("failed", "dead"):
            jobs.fail(held, FAILED)
        assert self.state(job_id) == state
        return held

    def snapshot(self, job_id: str) -> tuple:
        """Everything stored about a job and its runs, to show that nothing was changed."""
        rows = Job.select().where(Job.id == job_id).tuples()
        runs = Attempt.select().join(Job).where(Job.id == job_id).order_by(Attempt.run).tuples()
        return tuple(rows), tuple(runs)


def counted() -> dict[tuple[str, str], int]:
    """What the counters say, without the zeros."""
    rows = models.db.execute_sql("SELECT queue, state, sum(n) FROM counter GROUP BY queue, state HAVING sum(n) <> 0")
    return {(queue, state): n for queue, state, n in rows}


def really() -> dict[tuple[str, str], int]:
    """The same, counted one by one."""
    rows = models.db.execute_sql("SELECT queue, state, count(*) FROM job GROUP BY queue, state")
    return {(queue, state): n for queue, state, n in rows}


@pytest.fixture
def clock(monkeypatch) -> Clock:
    stands = Clock()
    monkeypatch.setattr(models, "now_ms", stands)
    return stands


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """A new database, made once; each test works on a copy of its own."""
    return new_database(tmp_path_factory.mktemp("template") / "queue.db")


@pytest.fixture
def queue(tmp_path, empty_database, clock):
    path = tmp_path / "queue.db"
    shutil.copy(empty_database, path)
    models.connect(str(path), durable=False)
    yield Queue(path, clock)
    models.disconnect()


@pytest.fixture
def no_jitter(queue) -> None:
    config.set("backoff_jitter", 0)
