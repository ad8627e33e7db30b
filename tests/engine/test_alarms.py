"""Alarms ring when something is wrong, and only then."""

from __future__ import annotations

import pytest

from engine import alarms, health, queues
from engine.clock import Doubt
from models import Supervisor, Worker


@pytest.fixture(autouse=True)
def _room(monkeypatch) -> None:
    monkeypatch.setattr(health.space, "free", lambda _: 10**12)


def rings(now: int) -> list[tuple]:
    return [tuple(alarm) for alarm in alarms.ring(queues.standings(), now)]


def lives(clock, host: str = "here") -> None:
    Worker.insert(host=host, pid=1, created_at=1, started_at=1, status="running").execute()
    Supervisor.insert(host=host, pid=2, started_at=1, beat_at=clock.now).execute()


def test_nothing_rings_while_all_is_well(queue, clock):
    queue.add(run_at="+1d")
    assert rings(clock.now) == []
    lives(clock)
    queue.add()
    assert rings(clock.now) == []


def test_due_jobs_without_a_worker(queue, clock):
    queue.add()
    assert rings(clock.now) == [("no worker", "No workers are running: 1 job waits", None, None)]
    queue.add()
    assert rings(clock.now)[0][1] == "No workers are running: 2 jobs wait"


def test_a_clock_that_went_forward_and_is_not_followed_yet(queue, clock, monkeypatch):
    monkeypatch.setattr(alarms.clock, "doubt", lambda: Doubt(86_400_000, 5))
    assert rings(clock.now) == [
        ("clock ahead", "The system's clock went forward by 1 d 0 h: QueueCTL follows it at", 5, None)
    ]


def test_a_supervisor_that_is_silent_while_it_has_workers(queue, clock):
    lives(clock, "one")
    lives(clock, "two")
    beat = clock.now
    clock.forward(15)
    assert rings(clock.now) == []
    clock.forward(1)
    Supervisor.update(beat_at=clock.now).where(Supervisor.host == "two").execute()
    assert rings(clock.now) == [("silent", "The supervisor on one has not been heard of since", beat, None)]
    Worker.update(stopped_at=clock.now).execute()
    assert rings(clock.now) == []


def test_a_paused_queue_in_which_jobs_wait(queue, clock):
    queues.pause("mail", actor="test")
    assert rings(clock.now) == []
    queue.add(queue="mail")
    assert rings(clock.now) == [("paused", "The queue mail is paused: 1 job waits in it", None, "mail")]
    for name in ("a", "b", "c"):
        queues.pause(name, actor="test")
        queue.add(queue=name)
    assert rings(clock.now) == [("paused", "4 queues are paused: 4 jobs wait in them", None, None)]


@pytest.mark.parametrize(("free", "told"), [(0, 64), (1, 512)])
def test_a_disk_that_is_nearly_full(queue, clock, monkeypatch, free, told):
    monkeypatch.setattr(health.space, "free", lambda _: health.SPACE[free] - 1)
    assert rings(clock.now) == [
        ("space", f"The disk is nearly full: less than {told} MiB are free for the database", None, None)
    ]


def test_a_clock_that_was_set_back(queue, clock):
    queue.add(run_at="+1d")
    arrival = clock.now
    clock.forward(-2)
    assert rings(clock.now) == []
    clock.forward(-1)
    assert rings(clock.now) == [("clock", "The clock was set back: something happened already at", arrival, None)]


def test_many_are_told_as_at_least_so_many():
    assert [alarms.jobs(1), alarms.jobs(2500, is_exact=False)] == ["1 job", "at least 2,500 jobs"]
