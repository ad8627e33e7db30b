"""A database of its own for each test, and the promise that no process is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import models
import workers
from engine import jobs, queries
from models import Job, Worker
from tests.support import wait_until


class Queue:
    """A real database with real workers, and the questions the tests ask of them."""

    def __init__(self, path: Path):
        self.path = path
        models.connect(str(path))

    def add(self, command: str, **fields) -> str:
        return jobs.enqueue({"command": command, **fields})

    def job(self, job_id: str) -> Job:
        return queries.find(job_id)

    def state(self, job_id: str) -> str:
        return self.job(job_id).state

    def wait_for(self, job_id: str, *states: str, timeout_s: float = 20.0) -> Job:
        return wait_until(lambda: (job := self.job(job_id)).state in states and job, timeout_s)

    def printed(self, job_id: str, stream: str = "stdout") -> str:
        return queries.output(queries.attempt(self.job(job_id)), stream).text()

    def outcomes(self, job_id: str) -> list[str]:
        return [run.outcome for run in reversed(queries.attempts(self.job(job_id)))]

    def workers(self, *statuses: str) -> list[dict]:
        return [worker for worker in queries.workers() if not statuses or worker["status"] in statuses]

    def worker(self, worker_id: str) -> Worker:
        return Worker.get_by_id(int(worker_id[1:]))

    def start(self, count: int = 1) -> list[str]:
        ids = workers.start(count)
        wait_until(lambda: len(self.workers("idle", "busy")) >= count)
        return ids

    def supervisor_pid(self) -> int:
        return wait_until(lambda: [row.pid for row in queries.supervisors() if workers.supervisor_lives()])[-1]

    def marked_processes(self) -> list[int]:
        """Processes of jobs of this database that are alive now."""
        mark = b"QUEUECTL_RUN=" + models.Meta.get_by_id("instance").value.encode() + b"-"
        return [pid for pid in _pids() if any(line.startswith(mark) for line in _environ(pid))]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


@pytest.fixture
def queue(tmp_path):
    opened = Queue(tmp_path / "queue.db")
    yield opened
    left = workers.wait_ended(workers.stop(), 30)
    wait_until(lambda: not workers.supervisor_lives())
    stray = opened.marked_processes()
    models.disconnect()
    assert not left
    assert not stray
