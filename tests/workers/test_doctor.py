"""What doctor finds about processes, by their locks; and a standstill."""

from __future__ import annotations

import os
import signal

import pytest

import models
import workers
from engine import alarms, backup, jobs, queues, roster, waiting
from engine.errors import Refused
from engine.health import OK, PROBLEM, WARNING
from models import Supervisor, Worker
from tests.support import wait_until
from workers import doctor, locks, standstill, tree


def _found(queue) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in doctor.examine(str(queue.path))}


def _dead_worker(queue, job_id: str = "job") -> Worker:
    """A worker that died with its supervisor while it ran a job."""
    worker = Worker.create(host="h", created_at=0, started_at=1, status="running")
    queue.add("true", id=job_id)
    jobs.claim(worker.id, "h")
    return worker


def _lock_file(worker: Worker) -> str:
    path = locks.of_worker(models.run_folder(), worker.pk)
    os.close(locks.take(path))
    return path


def test_where_there_is_no_database_none_is_made(tmp_path):
    path = tmp_path / "none.db"
    first = doctor.examine(str(path))[0]
    assert (first.check, first.verdict) == ("database", OK)
    assert doctor.mend(str(path)) == []
    assert os.listdir(tmp_path) == []


def test_what_is_no_database_is_a_problem(tmp_path):
    path = tmp_path / "text.db"
    path.write_text("hello" * 1000)
    first = doctor.examine(str(path))[0]
    assert (first.check, first.verdict) == ("database", PROBLEM)
    assert "restore" in first.advice


def test_all_is_well_while_workers_work(queue):
    queue.start(2)
    queue.add("sleep 60", id="job")
    queue.wait_for("job", "processing")
    found = _found(queue)
    checks = ("supervisor", "waiting jobs", "running jobs", "workers", "lock files", "list of processes", "counters")
    assert {name: found[name] for name in checks} == dict.fromkeys(checks, OK)


def test_waiting_jobs_without_a_worker_are_found(queue):
    queue.add("true", run_at="+1h")
    assert _found(queue)["waiting jobs"] == OK
    queue.add("true")
    assert _found(queue)["waiting jobs"] == WARNING


def test_a_job_whose_worker_is_dead_is_found_and_named(queue):
    _dead_worker(queue)
    findings = {finding.check: finding for finding in doctor.examine(str(queue.path))}
    assert (findings["running jobs"].verdict, findings["workers"].verdict) == (PROBLEM, WARNING)
    assert "job" in findings["running jobs"].says


def test_workers_that_are_wanted_without_a_supervisor_are_a_problem(queue):
    queue.start(2)
    os.kill(queue.supervisor_pid(), signal.SIGKILL)
    wait_until(lambda: len(queue.workers("lost")) == 2)  # without a job they leave at once
    job = queue.job(queue.add("true"))
    found = {finding.check: finding for finding in doctor.examine(str(queue.path))}
    assert found["supervisor"].verdict == PROBLEM
    assert found["supervisor"].says == "none lives, but 2 workers are wanted"
    assert found["waiting jobs"].verdict == found["workers"].verdict == WARNING
    assert found["waiting jobs"].says == "some are due, and no worker lives"
    assert [reason.cause for reason in waiting.reasons(job)] == ["no worker"]
    assert [alarm.text for alarm in alarms.ring(queues.standings(), models.now_ms())] == [
        "No workers are running: 1 job waits"
    ]
    assert [(crew.wanted, crew.ready) for crew in roster.crews()] == [(2, 0)]


def test_workers_that_die_at_birth_again_and_again_are_a_problem(queue):
    row = Worker.insert(host="here", created_at=1, early_deaths=4, start_after=models.now_ms() + 60_000).execute()
    found = {finding.check: finding for finding in doctor.examine(str(queue.path))}["workers"]
    assert (found.verdict, found.says) == (PROBLEM, f"4 in a row died as soon as they were started; w{row} is the next")
    Worker.delete().execute()


def test_a_job_whose_processes_live_on_is_not_abandoned(queue):
    worker = _dead_worker(queue)
    held = locks.take(locks.of_jobs(models.run_folder(), worker.pk))
    assert _found(queue)["running jobs"] == OK
    os.close(held)


def test_a_supervisor_that_is_stopped_is_found(queue):
    queue.start()
    pid = queue.supervisor_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        Supervisor.update(beat_at=models.now_ms() - 60_000).execute()
        assert _found(queue)["supervisor"] == PROBLEM
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_beat_ahead_of_the_clock_is_found(queue):
    queue.start()
    pid = queue.supervisor_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        Supervisor.update(beat_at=models.now_ms() + 60_000).execute()
        assert _found(queue)["supervisor"] == WARNING
    finally:
        os.kill(pid, signal.SIGCONT)


def test_stale_lock_files_are_found_and_removed_but_no_other(queue):
    ended = Worker.create(host="h", created_at=0, started_at=1, stopped_at=2)
    alive = Worker.create(host="h", created_at=0, started_at=None)
    stale, living = _lock_file(ended), _lock_file(alive)
    foreign = os.path.join(models.run_folder(), f"w{alive.pk + 1}.hand")  # of a database that was here before
    open(foreign, "w").close()
    assert _found(queue)["lock files"] == WARNING
    assert doctor.mend(str(queue.path)) == ["Removed 2 stale lock files."]
    assert [os.path.exists(path) for path in (stale, living, foreign)] == [False, True, False]
    assert _found(queue)["lock files"] == OK


def test_a_file_of_a_worker_that_is_spawned_meanwhile_is_not_removed(queue):
    held = locks.take(locks.of_worker(models.run_folder(), 1))
    journal = locks.of_hand(models.run_folder(), 1)
    open(journal, "w").close()
    assert doctor._remove_locks({"w1.hand": 1}) == 0
    assert os.path.exists(journal)
    os.close(held)


def test_a_lock_that_is_held_is_not_stale(queue):
    ended = Worker.create(host="h", created_at=0, started_at=1, stopped_at=2)
    held = locks.take(locks.of_worker(models.run_folder(), ended.pk))
    assert doctor.mend(str(queue.path)) == []
    os.close(held)


def test_a_standstill_is_refused_while_a_supervisor_lives(queue):
    queue.start()
    with pytest.raises(Refused, match="A supervisor works on"), standstill.standstill(str(queue.path)):
        pass


def test_a_standstill_is_refused_while_an_orphaned_worker_runs_a_job(queue):
    queue.start()
    queue.add("sleep 60", id="job")
    queue.wait_for("job", "processing")
    os.kill(queue.supervisor_pid(), signal.SIGKILL)
    wait_until(lambda: not workers.supervisor_lives())
    with pytest.raises(Refused, match="still runs a job"), standstill.standstill(str(queue.path)):
        pass
    assert not workers.supervisor_lives()


def test_no_supervisor_begins_during_a_standstill(queue):
    with standstill.standstill(str(queue.path)):
        assert workers.supervisor_lives()  # its lock is taken, so whoever asks believes that one does
    assert not workers.supervisor_lives()


def test_the_supervisor_deletes_what_is_old(queue):
    long_ago = models.now_ms() - 8 * 24 * 3_600_000
    queue.add("true", id="old")
    held = jobs.claim("w1", "h")
    jobs.complete(held, jobs.Ending(return_code=0))
    models.db.execute_sql("UPDATE job SET created_at = ?, finished_at = ?", (long_ago, long_ago))
    queue.add("true", id="new")  # else the queue was at rest for so long that nothing is deleted in the first hour
    queue.start()
    wait_until(lambda: [job.id for job in models.Job.select()] == ["new"])


def test_a_list_of_processes_that_is_not_its_own_is_told(queue, monkeypatch):
    assert _found(queue)["list of processes"] == OK
    monkeypatch.setattr(tree, "sees_itself", lambda: False)
    assert _found(queue)["list of processes"] == WARNING


# --- a restore


def _restored(queue, tmp_path, monkeypatch, meanwhile=lambda: None) -> None:
    """The queue is put back to where it is; `meanwhile` is called just before the restore lets workers begin again."""
    copy = str(tmp_path / "copy.db")
    backup.write(copy)
    models.disconnect()
    restore = backup.restore

    def and_meanwhile(source: str, path: str) -> backup.Restored:
        done = restore(source, path)
        meanwhile()
        return done

    monkeypatch.setattr(backup, "restore", and_meanwhile)
    standstill.restore(copy, str(queue.path))


def test_a_restore_removes_what_earlier_workers_left(queue, tmp_path, monkeypatch):
    for path in locks.all_of(models.run_folder(), 7):
        open(path, "w").close()
    _restored(queue, tmp_path, monkeypatch)
    assert not any(os.path.exists(path) for path in locks.all_of(models.run_folder(), 7))
    assert not workers.supervisor_lives()


def test_workers_that_are_wanted_during_a_restore_begin_after_it(queue, tmp_path, monkeypatch):
    _restored(queue, tmp_path, monkeypatch, workers.start)
    wait_until(lambda: len(queue.workers("idle")) == 1)
