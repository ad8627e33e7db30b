"""What the panel says of the memory and the processor time of workers and of what they run."""

from __future__ import annotations

import os

from engine import operations
from models import Operation, Worker
from tests.support import wait_until
from workers import usage


def test_a_process_that_works_uses_more_and_one_that_is_gone_nothing():
    before = usage.of(os.getpid())
    wait_until(lambda: sum(range(100_000)) and usage.of(os.getpid()).cpu_ms > before.cpu_ms)
    assert before.rss_kb > 1000
    assert usage.of(2**22 + 1) is None


def test_a_worker_and_its_command_are_looked_at(queue, tmp_path):
    gate = tmp_path / "gate"
    job_id = queue.add(f"head -c 30000000 /dev/zero | tail -c 30000000 | (until [ -e {gate} ]; do sleep 0.05; done)")
    (worker_id,) = queue.start(1)
    queue.wait_for(job_id, "processing")
    seen = wait_until(lambda: (row := queue.worker(worker_id)).job_rss_kb and row)
    assert seen.rss_kb > 1000
    assert seen.sampled_at >= seen.started_at
    gate.touch()
    queue.wait_for(job_id, "completed")
    wait_until(lambda: Worker.get_by_id(seen.pk).job_rss_kb is None)


class _Child:
    pk, pid, mood = 1, os.getpid(), "idle"


def test_an_idle_worker_is_looked_at_once(queue, monkeypatch):
    looks = []
    monkeypatch.setattr(usage, "of", lambda pid: looks.append(pid))
    monkeypatch.setattr(usage, "of_job", lambda pid: looks.append(pid))
    child = _Child()
    gauge = usage.Gauge([child])
    for mood, looked_at in [("idle", 1), ("idle", 0), ("busy", 2), ("busy", 2), ("idle", 1), ("idle", 0)]:
        child.mood = mood
        gauge.step()
        assert len(looks) == looked_at, mood
        looks.clear()


def test_an_operation_that_nobody_goes_on_with_is_ended_by_the_supervisor(queue):
    ids = [queue.add("true", run_at="+1d") for _ in range(3)]
    pk = operations.begin("cancel", filters={"state": "pending"}, actor="test").pk
    Operation.update(updated_at=0).execute()
    queue.start(1)
    wait_until(lambda: operations.find(pk).state != "running")
    assert {queue.state(job_id) for job_id in ids} == {"cancelled"}
