"""How workers and supervisors come to be when something is in the way, and who follows those that died."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import socket
import subprocess
import sys

import psutil
import pytest

import models
import workers
from models import Worker
from tests.support import wait_until
from workers import birth, locks, loop, tree


def test_a_worker_whose_lock_a_living_process_holds_is_not_started_until_it_is_free(queue):
    path = locks.of_jobs(models.run_folder(), 1)
    lock = locks.take(path)
    queue.run_workers("--count", "1")
    wait_until(
        lambda: f"w1 cannot be started, its lock {path} is held by another process ({os.getpid()})" in queue.logged()
    )
    assert not queue.workers("idle")
    os.close(lock)
    wait_until(lambda: queue.workers("idle"))


@pytest.mark.parametrize("fails", ["the first lock", "the second lock", "the channel", "the alarm", "the fork"])
def test_a_birth_that_fails_leaves_no_descriptor_open(queue, monkeypatch, fails):
    def fail(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    take, pair = locks.take, socket.socketpair
    match fails:
        case "the first lock":
            monkeypatch.setattr(locks, "take", fail)
        case "the second lock":
            monkeypatch.setattr(locks, "take", lambda path: fail() if "jobs" in path else take(path))
        case "the channel":
            monkeypatch.setattr(birth.socket, "socketpair", fail)
        case "the alarm":
            monkeypatch.setattr(loop.socket, "socketpair", lambda *family: fail() if not family else pair(*family))
        case "the fork":
            monkeypatch.setattr(birth.os, "fork", fail)
    row = Worker.get_by_id(Worker.insert(host="here", created_at=0, stopped_at=1).execute())
    before = os.listdir("/proc/self/fd")
    assert list(birth.each_forked([row], birth.terms(models.run_folder(), "here"))) == [
        (row, None, "the system makes no process: Too many open files")
    ]
    models.db.connect(reuse_if_open=True)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.fixture
def rehearsed(tmp_path):
    """Rehearses here, as a supervisor does before it forks; the pids of the commands that ran."""
    models.connect(str(tmp_path / "queue.db"))
    ran = []
    spawn = os.posix_spawn

    def rehearse() -> list[int]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "posix_spawn", lambda *words, **named: ran.append(spawn(*words, **named)) or ran[-1])
            birth.rehearse(models.run_folder(), "here")
        return ran

    yield rehearse
    models.disconnect()


def test_a_rehearsal_leaves_no_trace(rehearsed):
    rehearsed()  # the first in a process opens what stays open, as the list of its children
    opened, version = len(os.listdir("/proc/self/fd")), models.db.version()
    assert len(rehearsed()) == 2 * birth.REHEARSALS
    assert tree.has_no_child()
    assert len(os.listdir("/proc/self/fd")) == opened
    assert not [name for name in os.listdir(models.run_folder()) if name.startswith("w0")]
    assert (models.Attempt.select().count(), models.db.version()) == (0, version)


def test_whoever_has_a_child_does_not_rehearse_and_the_child_lives_on(rehearsed):
    with subprocess.Popen(["sleep", "300"]) as child:
        assert rehearsed() == []
        assert child.poll() is None
        child.kill()


def test_a_rehearsal_that_fails_keeps_nobody_from_working(rehearsed, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(birth.socket, "socketpair", fail)
    assert rehearsed() == []


def test_a_supervisor_that_a_job_started_outlives_the_job(queue, tmp_path):
    """Its own supervisor is dead: the job's command finds none, starts one, and the worker ends what the job left."""
    gate = tmp_path / "gate"
    starts = shlex.join([sys.executable, f"{models.ROOT}/queuectl.py", "worker", "start"])
    job_id = queue.add(f"sleep 300 & until [ -e {gate} ]; do sleep 0.02; done; {starts}")
    queue.start(1)
    queue.wait_for(job_id, "processing")
    first = queue.supervisor_pid()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not workers.supervisor_lives())
    gate.touch()
    queue.wait_for(job_id, "completed")
    wait_until(lambda: queue.worker("w1").stopped_at)
    second = queue.supervisor_pid()
    assert second != first
    assert not any(name.startswith(("QUEUECTL_RUN", "QUEUECTL_JOB")) for name in psutil.Process(second).environ())
    queue.wait_for(queue.add("true"), "completed")
    assert queue.supervisor_pid() == second
    assert queue.outcomes(job_id) == ["success"]


def test_only_the_process_that_holds_the_lock_is_taken_for_the_supervisor(queue, tmp_path):
    path = str(tmp_path / "lock")
    lock = locks.take(path)
    with open(path) as opened, subprocess.Popen(["sleep", "300"], stdin=opened) as other:
        assert tree.has_open(other.pid, path)
        assert not tree.has_locked(other.pid, path)
        other.kill()
    assert tree.has_locked(os.getpid(), path)
    os.close(lock)


def test_a_command_that_stays_with_its_workers_follows_whoever_takes_their_place(queue):
    line = [sys.executable, f"{models.ROOT}/queuectl.py", "--db", str(queue.path), "worker", "start", "--foreground"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as command:
        wait_until(lambda: queue.workers("idle"))
        os.kill(queue.worker("w1").pid, signal.SIGKILL)
        wait_until(lambda: [worker["id"] for worker in queue.workers("idle")] == ["w2"])
        assert command.stdout is not None
        said = ""
        while "w2: idle\n" not in said:
            said += command.stdout.readline() or pytest.fail(f"it left, saying {said}")
        command.send_signal(signal.SIGTERM)
        said += command.stdout.read()
    assert command.returncode == 0
    assert "w2: stopped" in said


@pytest.mark.parametrize("seconds", ["nan", "-1", "NaN"])
def test_a_wait_for_what_is_no_number_of_seconds_is_refused(queue, seconds):
    job_id = queue.add("true")
    refused = queue.command("wait", job_id, "--timeout", seconds)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1


def test_an_environment_entry_without_a_name_is_left_out(queue):
    queue.run_workers("--count", "1", under=("env", "=odd=1"))
    queue.wait_for(queue.add("env"), "completed")
    assert "Traceback" not in queue.logged()
