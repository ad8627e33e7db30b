"""What a worker answers its supervisor, which the test plays here."""

from __future__ import annotations

import os
import socket

import pytest

import models
from engine import jobs
from models import Worker
from workers import birth


@pytest.fixture
def worker(tmp_path):
    """A real worker process and its channel; it waits for work."""
    models.connect(str(tmp_path / "queue.db"))
    row = Worker.get_by_id(Worker.insert(host="here", created_at=0).execute())
    [(_, child, _)] = birth.each_forked([row], birth.terms(models.run_folder(), "here"))
    assert child is not None
    child.channel.setblocking(True)
    child.channel.settimeout(10)
    assert heard(child.channel) == "idle"
    yield child
    child.tell("drain")
    _, status = os.waitpid(child.pid, 0)
    child.channel.close()
    models.disconnect()
    assert status == 0


def heard(channel: socket.socket) -> str:
    return channel.recv(64).decode()


def test_a_worker_woken_for_a_job_says_that_it_is_busy_and_then_idle_again(worker):
    jobs.enqueue({"command": "true"})
    worker.tell("wake")
    assert [heard(worker.channel), heard(worker.channel)] == ["busy", "idle"]


def test_a_worker_woken_in_vain_says_so(worker):
    """Another took the job first. Unless it answers, its supervisor takes it for woken and never wakes it again."""
    worker.tell("wake")
    assert heard(worker.channel) == "idle"
