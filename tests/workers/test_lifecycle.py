"""Start, drain, stop: what happens to the workers and to the jobs they hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import models
import workers
from engine import config, jobs, queries
from engine.errors import InvalidInput, NotFound
from models import Worker
from tests.support import wait_until
from workers import birth, control


def test_a_started_worker_runs_what_waits_and_what_comes(queue):
    first = queue.add("echo first")
    queue.start(1)
    second = queue.add("echo second")
    assert queue.wait_for(first, "completed").return_code == 0
    queue.wait_for(second, "completed")
    assert queue.printed(second) == "second\n"


def test_start_returns_the_ids_of_so_many_separate_processes(queue):
    ids = queue.start(3)
    living = queue.workers()
    assert [worker["id"] for worker in living] == ids
    pids = {worker["pid"] for worker in living}
    assert len(pids | {os.getpid(), queue.supervisor_pid()}) == 5


def test_a_job_reads_nothing_whatever_its_supervisor_was_started_with(queue):
    job_id = queue.add("cat")
    words = [sys.executable, "-m", "workers", "--count", "1", "--db", str(queue.path)]
    with subprocess.Popen(words, cwd=models.ROOT, stdin=subprocess.PIPE) as supervisor:
        assert supervisor.stdin is not None
        supervisor.stdin.write(b"what somebody typed\n")
        supervisor.stdin.flush()
        job = queue.wait_for(job_id, "completed", "failed")
        supervisor.terminate()
    assert (job.state, queue.printed(job_id)) == ("completed", "")


def test_start_adds_to_the_workers_that_live(queue):
    queue.start(1)
    workers.start(1)
    wait_until(lambda: len(queue.workers("idle")) == 2)


@pytest.mark.parametrize("count", [0, -1, control.MOST + 1, 1.5, True])
def test_an_impossible_number_of_workers_is_refused_and_nothing_starts(queue, count):
    with pytest.raises(InvalidInput):
        workers.start(count)
    assert not queue.workers()


def test_a_drained_worker_finishes_its_job_and_takes_no_other(queue, tmp_path):
    gate = tmp_path / "gate"
    held = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done; echo finished")
    (worker_id,) = queue.start(1)
    queue.wait_for(held, "processing")
    workers.drain(worker_id)
    wait_until(lambda: queue.workers("draining"))
    waiting = queue.add("echo late")
    gate.touch()
    assert workers.wait_ended([worker_id], 20) == []
    assert queue.state(held) == "completed"
    assert queue.printed(held) == "finished\n"
    assert queue.state(waiting) == "pending"
    assert queue.worker(worker_id).status == "stopped"


def test_draining_one_worker_leaves_the_other_at_work(queue):
    first, second = queue.start(2)
    workers.drain(first)
    assert workers.wait_ended([first], 20) == []
    queue.wait_for(queue.add("echo still here"), "completed")
    assert [worker["id"] for worker in queue.workers()] == [second]


def test_a_stopped_worker_gives_its_job_back_uncounted(queue):
    job_id = queue.add("trap 'exit 9' TERM; while :; do sleep 0.05; done", max_retries=0)
    (worker_id,) = queue.start(1)
    queue.wait_for(job_id, "processing")
    workers.stop(worker_id)
    assert workers.wait_ended([worker_id], 20) == []
    job = queue.job(job_id)
    assert (job.state, job.attempts, job.crashes, job.locked_by) == ("pending", 0, 0, None)
    assert queue.outcomes(job_id) == ["released"]


def test_stop_is_stronger_than_an_earlier_drain_and_never_softened_by_a_later_one(queue):
    job_id = queue.add("sleep 60")
    (worker_id,) = queue.start(1)
    queue.wait_for(job_id, "processing")
    workers.drain(worker_id)
    wait_until(lambda: queue.workers("draining"))
    workers.stop(worker_id)
    workers.drain(worker_id)
    assert workers.wait_ended([worker_id], 20) == []
    assert queue.state(job_id) == "pending"


def test_an_unknown_or_ended_worker_is_not_found(queue):
    for worker_id in ("w999", "12", "w", "w-1", "x1"):
        with pytest.raises(NotFound):
            workers.drain(worker_id)


def test_the_supervisor_leaves_when_nobody_wants_a_worker(queue):
    ids = queue.start(1)
    workers.drain()
    assert workers.wait_ended(ids, 20) == []
    wait_until(lambda: not workers.supervisor_lives())
    assert not queries.supervisors()


def test_workers_can_be_started_again_after_all_were_stopped(queue):
    for _ in range(3):
        ids = queue.start(1)
        queue.wait_for(queue.add("true"), "completed")
        workers.drain()
        assert workers.wait_ended(ids, 20) == []


def test_several_starts_at_once_make_one_supervisor(queue):
    program = f"import models, workers; models.connect({str(queue.path)!r}); workers.start(1)"
    starters = [subprocess.Popen([sys.executable, "-c", program], cwd=models.ROOT) for _ in range(4)]
    assert [starter.wait() for starter in starters] == [0] * 4
    wait_until(lambda: len(queue.workers("idle")) == 4)
    assert len(queries.supervisors()) == 1


def test_term_to_the_supervisor_drains_and_leaves(queue):
    job_id = queue.add("sleep 0.5; echo done")
    queue.start(2)
    queue.wait_for(job_id, "processing")
    os.kill(queue.supervisor_pid(), signal.SIGTERM)
    wait_until(lambda: not workers.supervisor_lives())
    assert queue.state(job_id) == "completed"
    assert not queue.workers()


@pytest.mark.parametrize("signals", [[signal.SIGQUIT], [signal.SIGINT, signal.SIGINT]])
def test_quit_or_a_second_interrupt_gives_the_running_jobs_back(queue, signals):
    job_id = queue.add("sleep 60")
    queue.start(1)
    queue.wait_for(job_id, "processing")
    pid = queue.supervisor_pid()
    for number in signals:
        os.kill(pid, number)
        wait_until(lambda: queue.workers("draining", "stopping") or not workers.supervisor_lives())
    wait_until(lambda: not workers.supervisor_lives())
    assert queue.state(job_id) == "pending"
    assert queue.outcomes(job_id) == ["released"]


def test_a_worker_that_dies_at_birth_is_restarted_however_often_that_happens(queue):
    """A supervisor of its own, whose workers raise as soon as they live and which waits little."""
    program = f"""
import models, workers.supervisor as s
from workers import locks
models.connect({str(queue.path)!r})
s.birth.Loop.run = lambda loop: 1 / 0
s.birth.RESTART_S = (0.01, 0.05)
models.Worker.insert(host="", created_at=0).execute()
s.Supervision(locks.take(locks.of_supervisor(models.run_folder())), managed=True).run()
"""
    supervisor = subprocess.Popen([sys.executable, "-c", program], cwd=models.ROOT, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: Worker.select().where(Worker.status == "lost").count() > 12)
    assert queue.workers()
    supervisor.terminate()
    _, said = supervisor.communicate()
    assert "ZeroDivisionError" in said
    assert "w4 is worker 4 in a row to die at birth; another starts in 0.05 s" in said


def test_the_wait_after_deaths_at_birth_grows_to_five_minutes():
    assert [birth.delay_s(deaths) for deaths in (0, 1, 2, 9, 10, 1_000_000)] == [0, 1, 2, 256, 300, 300]


def test_a_claim_prefers_priority_then_age_over_several_queues(queue):
    order = [
        ("low", "a", 0),
        ("old", "b", 5),
        ("new", "a", 5),
        ("top", "c", 100),
        ("last", "c", -100),
    ]
    for name, in_queue, priority in order:
        queue.add("true", id=name, queue=in_queue, priority=priority)
        added_at = models.now_ms()
        while models.now_ms() == added_at:  # the next one is younger, if only by a millisecond
            pass
    claimed = [jobs.claim("w0", "h").id for _ in order]
    assert claimed == ["top", "old", "new", "low", "last"]
    models.Job.delete().execute()


def test_a_forced_stop_kills_what_heeds_no_signal_and_the_job_goes_back_uncounted(queue, tmp_path):
    config.set("kill_grace_sec", 3600)
    queue.start(1)
    queue.add(f"trap '' TERM; touch {tmp_path}/began; while :; do sleep 1; done", id="deaf")
    wait_until((tmp_path / "began").exists)
    workers.stop("w1")
    wait_until(lambda: queue.worker("w1").status == "stopping")
    workers.force_stop("w1")
    assert workers.wait_ended(["w1"], 20) == []
    job, ended = queue.job("deaf"), queue.worker("w1")
    assert (job.state, job.attempts, job.crashes) == ("pending", 0, 0)
    assert (ended.status, ended.reason) == ("stopped", "force-stopped")
    assert queue.marked_processes() == []


def test_a_worker_that_stands_still_can_be_force_stopped(queue):
    queue.start(1)
    os.kill(queue.worker("w1").pid, signal.SIGSTOP)
    workers.force_stop()
    assert workers.wait_ended(["w1"], 20) == []


def test_no_later_wish_softens_a_forced_stop(queue):
    queue.start(1)
    os.kill(queue.supervisor_pid(), signal.SIGSTOP)
    try:
        workers.force_stop("w1")
        workers.stop("w1")
        workers.drain()
        assert queue.worker("w1").desired == "kill"
    finally:
        os.kill(queue.supervisor_pid(), signal.SIGCONT)


def test_scaling_starts_what_lacks_and_drains_what_is_too_much(queue):
    assert workers.scale(2) == (0, ["w1", "w2"], [])
    assert workers.scale(2) == (2, [], [])
    wait_until(lambda: len(queue.workers("idle")) == 2)
    queue.add("sleep 60", id="long")
    busy = queue.wait_for("long", "processing").locked_by
    done = workers.scale(1)
    assert done.drained == [next(name for name in ("w1", "w2") if name != busy)]
    assert workers.wait_ended(done.drained, 20) == []
    assert [worker["id"] for worker in queue.workers()] == [busy]


@pytest.mark.parametrize("count", [-1, 257, True, 1.5])
def test_an_impossible_scale_is_refused(queue, count):
    with pytest.raises(InvalidInput):
        workers.scale(count)
    assert queue.workers() == []


def test_scaling_to_none_drains_all(queue):
    queue.start(2)
    assert sorted(workers.scale(0).drained) == ["w1", "w2"]
    assert workers.wait_ended(["w1", "w2"], 20) == []
