"""Where a benchmark works: a scratch folder on the disk of the project, a queue in it, a supervisor with its workers."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import models
from engine import jobs, queries
from models import Attempt, Job

BUILD = Path(models.ROOT, "build", "benchmarks")  # not the system's folder for such: that may be no disk at all
NOOP = ":"
WARM_UP_S = 0.5


class Queue:
    """A queue of the benchmark's own, opened in this process as the command line opens it."""

    def __init__(self, path: Path):
        self.path = path
        self.supervisor: subprocess.Popen | None = None
        self._bell = path.parent / "bell"
        models.connect(str(path))
        self._made_up_for = self.completed()

    def start_workers(self, count: int) -> None:
        """Start a supervisor with `count` workers; all of them live when this returns, idle if there is nothing to do."""
        folder = self.path.parent
        words = ["-m", "workers", "--count", str(count), "--db", str(self.path), "--folder", str(folder)]
        with (folder / "supervisor.log").open("ab") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, *words], cwd=models.ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: [worker["status"] in ("idle", "busy") for worker in queries.workers()] == [True] * count)

    def supervisor_pid(self) -> int:
        """The process id of the supervisor; its workers are its children."""
        assert self.supervisor is not None, "no workers were started"
        return self.supervisor.pid

    def stop_workers(self) -> None:
        """End the commands of all workers, and their supervisor."""
        if self.supervisor is not None:
            self.supervisor.send_signal(signal.SIGQUIT)
            self.supervisor.wait(timeout=60)
            self.supervisor = None

    @contextmanager
    def working(self, count: int) -> Iterator[None]:
        """Workers that have warmed up; they are ended afterwards."""
        self.start_workers(count)
        try:
            time.sleep(WARM_UP_S)
            yield
        finally:
            self.stop_workers()

    def fill(self, count: int, command: str = NOOP, then: str | None = None, **fields: Any) -> int:
        """Store `count` jobs in one transaction: no worker sees the first before all are there. The last key before.

        then: the command of one job more, the last.
        """
        before = last_key()
        commands = [*repeat(command, count), *filter(None, [then])]
        jobs.enqueue_many({"command": line, **fields} for line in commands)
        return before

    def refill(self) -> None:
        """Store as many jobs as were completed since the last call, or since this began: as many as before wait then."""
        completed = self.completed()
        self.fill(completed - self._made_up_for)
        self._made_up_for = completed

    def bell(self) -> str:
        """A command that ends `wait_for_bell`, for whoever would wait for a job without looking."""
        if not self._bell.exists():
            os.mkfifo(self._bell)
        return f"echo >'{self._bell}'"

    def wait_for_bell(self, timeout_s: float = 600.0) -> None:
        """Wait until the command of `bell` is run. It is held up until somebody waits. Raises TimeoutError."""
        bell = os.open(self._bell, os.O_RDONLY | os.O_NONBLOCK)
        try:
            rings, _, _ = select.select([bell], [], [], timeout_s)
        finally:
            os.close(bell)
        if not rings:
            raise TimeoutError(f"the last job was not run within {timeout_s} s")

    def wait_completed(self, count: int, timeout_s: float = 600.0) -> None:
        """Wait until so many jobs in all are completed. Looks seldom: whoever asks takes time from those who work."""
        wait_until(lambda: queries.counts()["completed"] >= count, timeout_s, step_s=0.1)

    def drain_rate_over(self, seconds: float, by: str = "completed") -> float:
        """Jobs a second that the workers finish, over so many seconds from now.

        by: the state whose number tells. When finished jobs are deleted meanwhile it is "pending", and nothing may
        be enqueued.
        """
        before, began = queries.counts()[by], time.monotonic()
        time.sleep(seconds)
        counts, took_s = queries.counts(), time.monotonic() - began
        assert self.has_due(), "the queue ran empty: too few jobs to measure for so long"
        return abs(counts[by] - before) / took_s

    def has_due(self) -> bool:
        """Whether a job waits that a worker could take now."""
        due = Job.select(Job.pk).where(Job.state == "pending", Job.next_run_at <= models.now_ms())
        return due.limit(1).scalar() is not None

    def completed(self) -> int:
        return queries.counts()["completed"]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="scratch-", dir=BUILD)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def queue(path: Path | None = None) -> Iterator[Queue]:
    """A queue that is empty, or the one at `path`, which stays; its workers are ended afterwards."""
    with scratch() as folder:
        opened = Queue(path or folder / "queue.db")
        try:
            yield opened
        finally:
            opened.stop_workers()
            models.disconnect()


def last_key() -> int:
    return Job.select(Job.pk).order_by(Job.pk.desc()).limit(1).scalar() or 0


def drain_rate(after: int, count: int) -> float:
    """Jobs a second of the `count` jobs with keys above `after`: from the first start to the last end, as the workers noted."""
    runs: Any = Attempt.select(Attempt.started_at, Attempt.finished_at).where(Attempt.job > after)
    noted = list(runs.where(Attempt.job <= after + count).tuples())
    assert len(noted) == count, f"{len(noted)} runs of {count} jobs"
    took_ms = max(finished for _, finished in noted) - min(started for started, _ in noted)
    return count / max(took_ms, 1) * 1000


def wait_until(is_so: Callable[[], Any], timeout_s: float = 60.0, step_s: float = 0.02) -> Any:
    """Ask until the answer is true and return it. Raises TimeoutError."""
    give_up_at = time.monotonic() + timeout_s
    while not (answer := is_so()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"still {answer!r} after {timeout_s} s")
        time.sleep(step_s)
    return answer
