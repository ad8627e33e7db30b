"""A full disk: a sentence for people, patience in the workers, and nothing lost.

Two kinds, as the machine allows: a file system of six megabytes (where mounting is permitted) and processes that
may make no file longer (anywhere). The second always runs.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import models
from engine import jobs
from engine.errors import Unavailable
from tests.faults.conftest import Faulty, close
from tests.support import wait_until

SIZE = "6m"


class SmallDisk:
    """A file system of its own, filled to the last byte."""

    sentence = "is full; free some space and try again."

    def __init__(self, folder: Path):
        self.folder = folder
        self.filler = folder / "filler"

    def fill(self, queue: Faulty, *pids: int) -> None:
        models.db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        with open(self.filler, "ab", buffering=0) as filler:
            for size in (65_536, 1):
                _until_refused(lambda size=size: filler.write(bytes(size)))

    def free(self, queue: Faulty, *pids: int) -> None:
        self.filler.unlink(missing_ok=True)

    @contextmanager
    def here(self) -> Iterator[None]:
        yield

    def for_commands(self) -> dict[str, Any]:
        return {}


class NoLongerFiles:
    """Every process of ours may write no byte to a file, by RLIMIT_FSIZE: no root, no mount."""

    sentence = "reports an error or a full quota; free some space and check it."

    def __init__(self, folder: Path):
        self.folder = folder
        _, self.hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, queue: Faulty, *pids: int) -> None:
        self._limit(queue, pids, 0)

    def free(self, queue: Faulty, *pids: int) -> None:
        self._limit(queue, pids, self.hard)

    @contextmanager
    def here(self) -> Iterator[None]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self.hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.hard, self.hard))

    def for_commands(self) -> dict[str, Any]:
        return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, self.hard))}

    def _limit(self, queue: Faulty, pids: tuple[int, ...], limit: int) -> None:
        for supervisor in (*pids, *(run.pid for run in queue.runs)):
            for pid in (supervisor, *(child.pid for child in psutil.Process(supervisor).children())):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, self.hard))


def _until_refused(write: Callable[[], Any]) -> None:
    try:
        while True:
            write()
    except OSError:
        return


def _mount(folder: Path) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "queuectl-test", str(folder)]
    return os.geteuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0


def _can_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        mounted = _mount(Path(folder))
        if mounted:
            subprocess.run(["umount", folder], check=True)
    return mounted


@pytest.fixture(params=[*([SmallDisk] if _can_mount() else []), NoLongerFiles], ids=lambda kind: kind.__name__)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = request.param is SmallDisk and _mount(folder)
    yield request.param(folder)
    if mounted:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def queue(disk: Any) -> Iterator[Faulty]:
    opened = Faulty(disk.folder / "queue.db")
    yield opened
    disk.free(opened)
    close(opened)


def test_enqueue_on_a_full_disk_is_refused_in_a_sentence_by_the_command_line_and_the_panel(queue, disk):
    panel = queue.panel()
    token = panel.token()
    kept = queue.add("echo before")
    disk.fill(queue)
    said = queue.command("enqueue", "echo refused", **disk.for_commands())
    with disk.here():
        answer = panel.client.post("/enqueue", data={"csrf_token": token, "command": "echo refused"})
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == f"The disk that holds {queue.path} {disk.sentence}\n"
    assert answer.status_code == 503
    assert disk.sentence in answer.text
    disk.free(queue)
    assert queue.command("enqueue", "--id", "after", "echo after").returncode == 0
    assert [job.id for job in models.Job.select().order_by(models.Job.pk)] == [kept, "after"]
    assert queue.is_sound()


def test_a_worker_that_cannot_claim_waits_and_goes_on_when_there_is_space(queue, disk):
    supervisor = queue.run_idle_workers()
    supervisor.send_signal(signal.SIGSTOP)  # nobody is woken before the disk is full
    job_id = queue.add("echo claimed")
    before = queue.workers()
    disk.fill(queue)
    supervisor.send_signal(signal.SIGCONT)
    wait_until(lambda: f"w1: The disk that holds {queue.path} {disk.sentence}" in queue.logged())
    assert queue.state(job_id) == "pending"
    disk.free(queue)
    queue.wait_for(job_id, "completed")
    assert queue.outcomes(job_id) == ["success"]
    assert [worker["pid"] for worker in queue.workers()] == [worker["pid"] for worker in before]
    assert supervisor.poll() is None
    assert queue.is_sound()


def test_output_and_result_of_a_job_wait_in_its_worker_until_there_is_space(queue, disk, tmp_path):
    early, late = tmp_path / "early", tmp_path / "late"
    supervisor = queue.run_idle_workers()
    job_id = queue.add(
        f"until [ -e {early} ]; do sleep 0.05; done; seq 1 20000; until [ -e {late} ]; do sleep 0.05; done"
    )
    pid = queue.worker(queue.wait_for(job_id, "processing").locked_by).pid
    disk.fill(queue)
    early.touch()
    wait_until(lambda: f"w1: The disk that holds {queue.path} {disk.sentence}" in queue.logged())  # what it printed
    late.touch()
    wait_until(lambda: not queue.marked_processes())
    wait_until(lambda: _has_waited(pid, times=1))  # for the result to be stored
    assert queue.state(job_id) == "processing"
    disk.free(queue)
    queue.wait_for(job_id, "completed")
    assert queue.printed(job_id).splitlines() == [str(number) for number in range(1, 20_001)]
    assert "w1: the database can be used again" in queue.logged()
    assert queue.logged().count("w1: The disk that holds") == 1
    assert (queue.outcomes(job_id), queue.job(job_id).crashes) == (["success"], 0)
    assert supervisor.poll() is None
    assert queue.is_sound()


def test_a_log_on_the_full_disk_ends_neither_supervisor_nor_worker(queue, disk, tmp_path):
    gate = tmp_path / "gate"
    queue.start(1)
    job_id = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done")
    pid = queue.worker(queue.wait_for(job_id, "processing").locked_by).pid
    disk.fill(queue, queue.supervisor_pid())
    gate.touch()
    wait_until(lambda: not queue.marked_processes())
    wait_until(lambda: _has_waited(pid, times=1))
    disk.free(queue, queue.supervisor_pid())
    queue.wait_for(job_id, "completed")
    assert (queue.outcomes(job_id), queue.worker("w1").pid) == (["success"], pid)
    assert queue.is_sound()


def _has_waited(pid: int, times: int, seen: dict[int, int] = {}) -> bool:  # noqa: B006 - where each began
    """Whether the process, any of its threads, has gone to sleep so many times since it was first asked about."""
    threads = [psutil.Process(thread.id) for thread in psutil.Process(pid).threads()]
    switches = sum(thread.num_ctx_switches().voluntary for thread in threads)
    return switches >= seen.setdefault(pid, switches) + times


def test_a_batch_that_fills_the_disk_is_refused_as_a_whole(tmp_path):
    """A full disk ends the transaction in SQLite at once: what comes after must not be stored alone."""
    database = models.connect(str(tmp_path / "queue.db"))
    pages = database.execute_sql("PRAGMA page_count").fetchone()[0]
    database.execute_sql(f"PRAGMA max_page_count = {pages + 100}")
    with pytest.raises(Unavailable, match="is full"):
        jobs.enqueue_many({"command": f"echo {'x' * 50_000}"} for _ in range(20))
    assert models.Job.select().count() == 0
    jobs.enqueue({"command": "echo fits"})
    assert [job.command for job in models.Job.select()] == ["echo fits"]
    models.disconnect()
