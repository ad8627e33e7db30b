"""Clocks that are set, processes that are suspended, numbers of processes that are used again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import models
import workers
from engine import config, jobs, queries
from engine.errors import StaleClaim
from models import Job, Worker
from tests.faults.conftest import is_running, run_of
from tests.support import wait_until
from workers import locks, orphans, tree

HOUR_MS = 3600 * 1000


FOLLOWED = "models.now_ms = lambda: time.time_ns() // 1_000_000 + int(offset.read_text())"
STEPPED = """
from engine import clock, retention
read_clocks = clock._read_clocks
clock._read_clocks = lambda: (read_clocks()[0] + int(offset.read_text()), read_clocks()[1])
retention._REST_S = 0.1
"""


class Clock:
    """The wall clock of a supervisor and its workers: the true one and an offset, read from a file at every look.

    how: the clock they follow is moved (as a step that has stood for long), or the one of the system.
    """

    def __init__(self, folder: Path, how: str = FOLLOWED):
        self.file = folder / "offset"
        self.set(0)
        self.program = f"""
import pathlib, time, models, workers.supervisor as s
from workers import locks
offset = pathlib.Path({str(self.file)!r})
{how}
models.connect({str(folder / "queue.db")!r}, durable=False)
models.Worker.insert(host="", created_at=models.now_ms()).execute()
s.Supervision(locks.take(locks.of_supervisor(models.run_folder())), managed=True).run()
"""

    def set(self, offset_ms: int) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(offset_ms))
        os.replace(fresh, self.file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def far(queue, clock, monkeypatch) -> None:
    """This process enqueues by the same clock as the workers: an hour ahead, until it is set right."""
    clock.set(HOUR_MS)
    true_now = models.now_ms
    monkeypatch.setattr(models, "now_ms", lambda: true_now() + int(clock.file.read_text()))
    queue.run_workers(program=clock.program)
    wait_until(lambda: queue.workers("idle"))


def test_a_step_forward_deletes_nothing_and_runs_nothing_early(queue, tmp_path):
    clock = Clock(tmp_path, STEPPED)
    queue.run_workers(program=clock.program)
    later = queue.add("true", run_at="+1d")
    kept = queue.add("true")
    queue.wait_for(kept, "completed")
    clock.set(40 * 24 * HOUR_MS)
    wait_until(lambda: "the system's clock went forward by 40 d" in queue.logged())
    old = queue.add("true")
    queue.wait_for(old, "completed")
    Job.update(finished_at=models.now_ms() - 8 * 24 * HOUR_MS).where(Job.id == old).execute()
    wait_until(lambda: not Job.select().where(Job.id == old).exists())  # what is old by the time before the step goes
    assert (queue.state(kept), queue.state(later)) == ("completed", "pending")
    clock.set(0)
    wait_until(lambda: "the system's clock is followed again" in queue.logged())
    queue.wait_for(queue.add("true"), "completed")


def test_a_clock_set_forward_makes_due_what_it_says_is_due(queue, clock):
    queue.run_workers(program=clock.program)
    later = queue.add("echo later", run_at="+30m")
    wait_until(lambda: queue.workers("idle"))
    assert queue.state(later) == "pending"
    clock.set(HOUR_MS)
    queue.wait_for(later, "completed")
    queue.wait_for(queue.add("echo now"), "completed")


def test_a_clock_set_back_delays_neither_what_was_due_nor_what_comes(queue, clock, far, tmp_path):
    gate = tmp_path / "gate"
    held = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done")
    queue.wait_for(held, "processing")
    was_due = queue.add("echo was due")
    clock.set(0)
    wait_until(lambda: "the clock was set back by 3600 s; 1 waiting jobs follow it" in queue.logged())
    gate.touch()
    queue.wait_for(held, "completed")
    queue.wait_for(was_due, "completed")
    queue.wait_for(queue.add("echo new"), "completed")
    assert 0 <= run_of(queue, held).duration_ms < HOUR_MS
    assert queue.job(held).duration_ms < HOUR_MS


def test_a_clock_set_back_lengthens_no_backoff_and_moves_no_chosen_instant(queue, clock, far):
    config.set("backoff_base", 1)
    held = queue.add("exit 1", max_retries=1)
    chosen = queue.add("true", run_at="+2h")
    instant = queue.job(chosen).next_run_at
    wait_until(lambda: queue.outcomes(held) == ["failed"])
    clock.set(0)
    assert queue.wait_for(held, "dead").attempts == 2
    assert queue.job(chosen).next_run_at == instant


def test_a_clock_that_was_set_back_while_nobody_supervised_is_noticed_at_the_start(queue, clock, far):
    (supervisor,) = queue.runs
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0
    waiting = queue.add("echo waited")
    clock.set(0)
    queue.run_workers(program=clock.program)
    queue.wait_for(waiting, "completed")


def test_a_clock_that_ran_ahead_under_an_earlier_supervisor_lengthens_no_backoff(queue, clock):
    """No job arrived by the clock that ran ahead: only the beats of the supervisor that is gone tell of it."""
    config.set("backoff_base", 1)
    failing = queue.add("exit 1", max_retries=1)
    clock.set(HOUR_MS)
    queue.run_workers(program=clock.program)
    wait_until(lambda: queue.outcomes(failing) == ["failed"])
    (supervisor,) = queue.runs
    supervisor.kill()
    supervisor.wait()
    clock.set(0)
    queue.run_workers(program=clock.program)
    assert queue.wait_for(failing, "dead").attempts == 2


def test_what_has_followed_the_clock_once_does_not_follow_it_twice(queue, monkeypatch):
    true_now = models.now_ms()
    monkeypatch.setattr(models, "now_ms", lambda: true_now + HOUR_MS)
    failing = queue.add("exit 1")
    held = jobs.claim("w1", "here")
    jobs.fail(held, jobs.Ending(return_code=1))
    waits_ms = queue.job(failing).next_run_at - models.now_ms()
    assert waits_ms > 0
    assert jobs.follow_clock(true_now + HOUR_MS, true_now) == 1
    assert jobs.follow_clock(true_now + HOUR_MS, true_now + 1) == 0
    assert queue.job(failing).next_run_at == true_now + waits_ms


def test_the_pages_show_no_time_below_nothing_when_their_clock_is_behind(queue, clock, far):
    held = queue.add("sleep 60")
    queue.wait_for(held, "processing")
    ended = queue.add("true")
    Job.update(state="completed", finished_at=models.now_ms()).where(Job.id == ended).execute()
    clock.set(0)
    panel = queue.panel()
    for page in ("/", "/jobs", f"/jobs/{held}", f"/jobs/{ended}", "/workers"):
        answer = panel.get(page)
        assert answer.status_code == 200
        assert "-1 h" not in answer.text
        assert "\N{MINUS SIGN}" not in answer.text
    models.connect(str(queue.path))


def test_a_worker_and_a_supervisor_suspended_for_long_lose_nothing_and_nobody_takes_their_place(queue, tmp_path):
    """There is no lease on one host: the kernel holds their locks for as long as they are, awake or not."""
    gate = tmp_path / "gate"
    job_id = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done; echo done")
    queue.start(1)
    queue.wait_for(job_id, "processing")
    supervisor, worker = queue.supervisor_pid(), queue.workers()[0]["pid"]
    for pid in (supervisor, worker):
        os.kill(pid, signal.SIGSTOP)
    long_ago = models.now_ms() - 24 * HOUR_MS
    models.Supervisor.update(beat_at=long_ago).execute()
    Job.update(locked_at=long_ago).execute()
    workers.ensure_supervisor()
    refused = queue.command("worker", "stop", "--no-wait")
    assert refused.returncode == 0
    gate.touch()
    wait_until(lambda: not queue.marked_processes())
    assert (queue.state(job_id), len(queries.supervisors())) == ("processing", 1)
    for pid in (worker, supervisor):  # the supervisor would wake the worker, which leaves then
        os.kill(pid, signal.SIGCONT)
    queue.wait_for(job_id, "completed")
    assert queue.outcomes(job_id) == ["success"]


def test_a_result_that_comes_after_the_job_was_given_to_another_is_dropped(queue):
    job_id = queue.add("true")
    late = jobs.claim("w1", "here")
    jobs.lose(late.pk, late.run, "w1", "here", "worker w1 was suspended too long")
    held = jobs.claim("w2", "there")
    with pytest.raises(StaleClaim):
        jobs.complete(late, jobs.Ending(return_code=0))
    assert (held.run, queue.state(job_id), queue.job(job_id).locked_by) == (2, "processing", "w2")
    jobs.complete(held, jobs.Ending(return_code=0))
    assert queue.outcomes(job_id) == ["lost", "success"]


# --- numbers used again


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is none of ours; it must live through the test."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    lives = process.poll() is None
    process.kill()
    process.wait()
    assert lives


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1])
@pytest.mark.parametrize("held", [True, False], ids=["lock held", "lock free"])
def test_a_recorded_pid_that_is_another_process_now_is_not_signalled(queue, stranger, number, held):
    """Also not while the worker lives under another number, as in another pid namespace."""
    row = Worker.get_by_id(Worker.insert(host="here", pid=stranger, created_at=0, started_at=1).execute())
    folder = models.run_folder()
    lock = locks.take(locks.of_worker(folder, row.pk)) if held else None
    orphans.send(row, number, folder)
    assert is_running(stranger)
    if lock is not None:
        os.close(lock)
    Worker.delete().execute()


def test_a_process_that_got_the_number_of_a_marked_one_is_not_killed(stranger, monkeypatch):
    """Between the look and the signal the marked process ends and its number goes to another."""
    wanted = f"{tree.MARK}=x-1-1"
    looks = iter([wanted.encode()])
    real = tree._read
    monkeypatch.setattr(tree, "_pids", lambda: iter([stranger]))
    monkeypatch.setattr(tree, "_read", lambda path: next(looks, None) or real(path))
    assert tree.end_marked(["x-1-1"]) == []
    assert is_running(stranger)


def test_after_a_reboot_stale_files_and_foreign_pids_keep_nobody_from_working(queue, stranger, tmp_path):
    """As the power failure left it: a job in the hands of a worker, its pid another's now, locks that nobody holds."""
    job_id = queue.add("echo again")
    row = Worker.insert(host="here", pid=stranger, created_at=0, started_at=1, status="running").execute()
    models.Supervisor.insert(host="here", pid=stranger, started_at=0, beat_at=0).execute()
    held = jobs.claim(f"w{row}", "here")
    folder = models.run_folder()
    for path in (locks.of_supervisor(folder), locks.of_worker(folder, row), locks.of_jobs(folder, row)):
        Path(path).touch()
    Path(folder, "supervisor.sock").touch()
    Path(folder, "w99.lock").touch()
    queue.run_workers("--count", "1")
    assert queue.wait_for(job_id, "completed").crashes == 1
    assert queue.outcomes(job_id) == ["lost", "success"]
    assert queries.attempts(queue.job(job_id))[-1].error == f"worker {held.worker} died: its supervisor died"
