"""A wish for workers is made true, kept for the next supervisor, or refused; then it leaves nothing behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import models
import workers
from engine.errors import Refused, Unavailable
from models import Worker
from tests.support import wait_until
from workers import control, locks

VERBS = {
    "start": lambda: workers.start(2),
    "scale up": lambda: workers.scale(5),
    "scale down": lambda: workers.scale(0),
    "drain": workers.drain,
    "stop one": lambda: workers.stop("w2"),
    "force-stop": workers.force_stop,
}


@pytest.fixture
def unstartable(tmp_path):
    """A database of three workers, one of which drains, on which no supervisor can start: its log is a folder."""
    models.connect(str(tmp_path / "queue.db"))
    for desired in ("run", "run", "drain"):
        Worker.insert(host="", created_at=1, desired=desired).execute()
    os.mkdir(control.log_path())
    yield tmp_path / "queue.db"
    models.disconnect()


@pytest.mark.parametrize("verb", VERBS)
def test_a_refused_wish_leaves_nothing(unstartable, verb):
    with pytest.raises(Unavailable, match=r"supervisor\.log is not a regular file"):
        VERBS[verb]()
    assert [worker.desired for worker in Worker.select().order_by(Worker.pk)] == ["run", "run", "drain"]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def draining(queue, gate: Path, pid: int) -> None:
    """The supervisor was told to end, and its worker runs a job until the gate is there."""
    job_id = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done")
    queue.wait_for(job_id, "processing")
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: queue.workers("draining"))


def test_a_start_while_a_detached_supervisor_drains_is_kept_for_the_next(queue, gate):
    queue.start(1)
    draining(queue, gate, queue.supervisor_pid())
    workers.start(1)
    next_id = queue.add("true")
    gate.touch()
    queue.wait_for(next_id, "completed")
    assert [worker["id"] for worker in queue.workers()] == ["w2"]


def test_a_start_while_a_service_drains_is_refused(queue, gate):
    service = queue.run_idle_workers()
    draining(queue, gate, service.pid)
    for wish in (workers.start, lambda: workers.scale(4)):
        with pytest.raises(Refused, match=f"process {service.pid}. was told to end and starts no workers"):
            wish()
    gate.touch()
    assert service.wait(20) == 0
    assert not queue.workers()


def killed(queue) -> None:
    """The supervisor that a command began is dead, and so are its workers, who had nothing to do."""
    queue.start(1)
    os.kill(queue.supervisor_pid(), signal.SIGKILL)
    wait_until(lambda: queue.workers("lost"))
    os.utime(locks.of_supervisor(models.run_folder()), (0, 0))  # it did not begin a moment ago


@pytest.mark.parametrize(
    ("words", "where"),
    [(("enqueue", "--id", "next", "pwd"), "after"), (("status",), "before")],
)
def test_a_command_replaces_a_detached_supervisor_that_died(queue, tmp_path, words, where):
    killed(queue)
    if where == "before":
        queue.add("pwd", id="next")
    done = queue.command(*words, cwd=tmp_path)
    assert done.returncode == 0
    assert f"had died; another was started in {os.getcwd()}." in done.stderr
    queue.wait_for("next", "completed")
    assert queue.printed("next") == f"{os.getcwd()}\n"


def test_a_command_that_waits_replaces_a_supervisor_that_dies_meanwhile(queue):
    killed(queue)
    queue.add("true", id="next")
    assert queue.command("wait", "next", "--timeout", "20").returncode == 0


def test_a_page_replaces_a_detached_supervisor_that_died(queue):
    killed(queue)
    queue.add("true", id="next")
    assert queue.panel().get("/jobs").status_code == 200
    queue.wait_for("next", "completed")


def test_scaling_to_as_many_as_died_with_their_supervisor_brings_them_back(queue):
    killed(queue)
    assert workers.scale(1) == (1, [], [])
    wait_until(lambda: queue.workers("idle"))
