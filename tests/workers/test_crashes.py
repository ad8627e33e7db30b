"""kill -9 anywhere: no job is lost, none runs twice at once, nothing is left alive."""

from __future__ import annotations

import os
import signal

import workers
from engine import config, jobs
from models import Worker
from tests.support import wait_until


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _worker_pid(queue, job_id: str) -> int:
    return queue.worker(queue.job(job_id).locked_by).pid


def test_the_job_of_a_killed_worker_runs_again_at_once_and_spends_no_retry(queue, tmp_path):
    marker = tmp_path / "second"
    job_id = queue.add(f"[ -e {marker} ] && echo again && exit; touch {marker}; sleep 60", max_retries=0)
    queue.start(1)
    queue.wait_for(job_id, "processing")
    wait_until(marker.exists)
    _kill(_worker_pid(queue, job_id))
    job = queue.wait_for(job_id, "completed")
    assert (job.attempts, job.crashes, job.run) == (0, 1, 2)
    assert queue.outcomes(job_id) == ["lost", "success"]
    assert queue.printed(job_id) == "again\n"


def test_a_killed_worker_is_replaced_and_its_end_has_a_reason(queue):
    (worker_id,) = queue.start(1)
    _kill(queue.worker(worker_id).pid)
    (heir,) = wait_until(lambda: [worker for worker in queue.workers("idle") if worker["id"] != worker_id])
    assert queue.worker(heir["id"]).heir_of == int(worker_id[1:])
    lost = queue.worker(worker_id)
    assert (lost.status, lost.reason) == ("lost", "killed by SIGKILL")


def test_no_process_of_a_lost_run_lives_when_the_next_run_begins(queue, tmp_path):
    """The kernel is the witness: every process of the job holds a lock that the next run must get at once."""
    lock = tmp_path / "witness"
    overlap = tmp_path / "overlap"
    job_id = queue.add(
        f"exec 9>{lock}; flock -n 9 || touch {overlap}; setsid sleep 300 & (setsid sleep 300 &) ; "
        f"[ $QUEUECTL_RUN = ${{QUEUECTL_RUN%-1}}-1 ] && sleep 300; exit 0"
    )
    queue.start(1)
    queue.wait_for(job_id, "processing")
    wait_until(lambda: len(queue.marked_processes()) >= 3)
    _kill(_worker_pid(queue, job_id))
    queue.wait_for(job_id, "completed")
    assert not overlap.exists()


def test_a_job_that_kills_its_worker_is_dead_after_max_crashes(queue):
    config.set("max_crashes", 2)
    job_id = queue.add("kill -9 $PPID; sleep 60")
    queue.start(1)
    job = queue.wait_for(job_id, "dead")
    assert (job.crashes, job.attempts) == (2, 0)
    assert "given up after 2 crashes" in job.last_error


def test_workers_of_a_killed_supervisor_finish_their_job_and_the_next_supervisor_takes_over(queue, tmp_path):
    gate = tmp_path / "gate"
    job_id = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done; echo finished")
    (worker_id,) = queue.start(1)
    queue.wait_for(job_id, "processing")
    _kill(queue.supervisor_pid())
    wait_until(lambda: not workers.supervisor_lives())
    workers.ensure_supervisor()
    wait_until(lambda: queue.workers("draining"))
    gate.touch()
    queue.wait_for(job_id, "completed")
    assert queue.outcomes(job_id) == ["success"]
    wait_until(lambda: [worker for worker in queue.workers("idle") if worker["id"] != worker_id])


def test_when_all_are_killed_the_next_supervisor_gives_the_jobs_back(queue, tmp_path):
    marker = tmp_path / "second"
    job_id = queue.add(f"[ -e {marker} ] && exit; touch {marker}; setsid sleep 300 & sleep 300")
    queue.start(2)
    queue.wait_for(job_id, "processing")
    wait_until(marker.exists)
    for pid in (queue.supervisor_pid(), *(worker["pid"] for worker in queue.workers())):
        _kill(pid)
    wait_until(lambda: not workers.supervisor_lives())
    assert queue.state(job_id) == "processing"
    workers.ensure_supervisor()
    assert queue.wait_for(job_id, "completed").crashes == 1
    wait_until(lambda: len(queue.workers("idle")) == 2)


def test_a_running_job_of_an_orphan_can_be_cancelled_and_its_worker_stopped(queue):
    first = queue.add("sleep 60")
    queue.start(2)
    second = queue.add("sleep 60")
    queue.wait_for(first, "processing")
    queue.wait_for(second, "processing")
    holder = queue.job(second).locked_by
    _kill(queue.supervisor_pid())
    wait_until(lambda: not workers.supervisor_lives())
    workers.ensure_supervisor()
    jobs.cancel(first)
    queue.wait_for(first, "cancelled")
    workers.stop(holder)
    assert workers.wait_ended([holder], 20) == []
    assert queue.state(second) in ("pending", "processing")
    assert queue.outcomes(second)[0] == "released"


def test_an_orphan_whose_birth_was_never_noted_can_be_stopped(queue):
    """Its supervisor died between the fork and the row; the worker lives and runs a job."""
    job_id = queue.add("sleep 60")
    (worker_id,) = queue.start(1)
    queue.wait_for(job_id, "processing")
    pid = queue.worker(worker_id).pid
    _kill(queue.supervisor_pid())
    wait_until(lambda: not workers.supervisor_lives())
    Worker.update(pid=None).where(Worker.pk == int(worker_id[1:])).execute()
    workers.stop(worker_id)
    assert workers.wait_ended([worker_id], 10) == []
    assert queue.worker(worker_id).pid == pid
    assert queue.outcomes(job_id) == ["released"]


def test_a_cancel_that_meets_a_crash_still_cancels(queue):
    job_id = queue.add("trap '' TERM; while :; do sleep 0.05; done")
    queue.start(1)
    queue.wait_for(job_id, "processing")
    jobs.cancel(job_id)
    _kill(_worker_pid(queue, job_id))
    queue.wait_for(job_id, "cancelled")


def test_a_killed_job_fails_with_the_signal_as_its_reason(queue):
    queue.start(1)
    job = queue.wait_for(queue.add("kill -9 $$", max_retries=0), "dead")
    assert job.last_error == "killed by SIGKILL"
    assert job.return_code == -9


def test_a_stopped_worker_is_not_taken_for_dead(queue):
    job_id = queue.add("sleep 0.3; echo done")
    queue.start(1)
    queue.wait_for(job_id, "processing")
    pid = _worker_pid(queue, job_id)
    os.kill(pid, signal.SIGSTOP)
    other = queue.add("true")
    workers.start(1)
    queue.wait_for(other, "completed")
    assert queue.state(job_id) == "processing"
    os.kill(pid, signal.SIGCONT)
    queue.wait_for(job_id, "completed")
    assert queue.outcomes(job_id) == ["success"]
