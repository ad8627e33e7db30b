"""What a supervisor says to a worker: each wish and each cancel once, and only when it was really sent."""

from __future__ import annotations

import os
import socket

import pytest

import models
from engine import jobs
from models import Worker
from workers import locks
from workers.child import Child
from workers.supervisor import Supervision


@pytest.fixture
def supervised(tmp_path):
    """A supervision with one child, which is this process: the other end of its channel is read here."""
    models.connect(str(tmp_path / "queue.db"))
    worker = Worker.get_by_id(Worker.insert(host="here", created_at=0, started_at=1).execute())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setblocking(False)
    lock = locks.take(locks.of_supervisor(models.run_folder()))
    supervision = Supervision(lock, managed=True)
    child = supervision.children[os.getpid()] = Child(worker, os.getpid(), ours)
    yield supervision, child, theirs
    for end in (ours, theirs, supervision.ear, supervision.alarm, supervision.alarm_end):
        end.close()
    os.close(lock)
    models.disconnect()


def heard(channel: socket.socket) -> list[str]:
    said = []
    try:
        while True:
            said.append(channel.recv(64).decode())
    except BlockingIOError:
        return said


def fill(channel: socket.socket) -> None:
    try:
        while True:
            channel.send(b"wake")
    except BlockingIOError:
        return


def test_a_drain_that_finds_the_channel_full_is_sent_again(supervised):
    supervision, child, worker = supervised
    fill(child.channel)
    Worker.update(desired="drain").execute()
    supervision._read_wishes()
    assert supervision.is_behind
    heard(worker)
    supervision._read_wishes()
    supervision._read_wishes()
    assert heard(worker) == ["drain"]
    assert not supervision.is_behind


def test_a_cancel_is_sent_once_for_each_run(supervised):
    supervision, child, worker = supervised
    first, second = jobs.enqueue_many({"command": "true"} for _ in range(2))
    claims, _ = jobs.turn("w1", "here", reach=2)
    said = [f"cancel {held.pk} {held.run}" for held in claims]
    fill(child.channel)
    jobs.cancel(first)
    supervision._read_wishes()
    assert supervision.is_behind
    heard(worker)
    supervision._read_wishes()
    jobs.cancel(second)
    supervision._read_wishes()
    assert heard(worker) == said
