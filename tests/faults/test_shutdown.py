"""Every way to be ended: what runs finishes or goes back to the queue, and the history says which."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

import models
import workers
from engine import queries
from tests.faults.conftest import is_running, kill_tree, run_of
from tests.support import wait_until


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def held(queue, gate: Path) -> str:
    """A job that a worker runs until the gate is there."""
    job_id = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done; echo finished")
    queue.wait_for(job_id, "processing")
    return job_id


# --- one process after the other


def test_term_to_a_worker_lets_it_finish_its_job_and_another_takes_its_place(queue, gate):
    supervisor = queue.run_idle_workers()
    job_id = held(queue, gate)
    os.kill(queue.worker("w1").pid, signal.SIGTERM)
    waiting = queue.add("echo later")
    gate.touch()
    queue.wait_for(job_id, "completed")
    queue.wait_for(waiting, "completed")
    assert run_of(queue, waiting).worker == "w2"
    wait_until(lambda: queue.worker("w1").status == "stopped")
    assert (queue.outcomes(job_id), queue.worker("w1").reason) == (["success"], "ended as asked")
    assert supervisor.poll() is None


def test_term_to_the_panel_ends_it_and_touches_no_worker(queue, gate, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PORT": str(port), "QUEUECTL_DB": str(queue.path)}
    with open(tmp_path / "panel.log", "wb") as log:
        line = [sys.executable, "-m", "gunicorn", "--workers", "1", "app:create_app()"]
        panel = subprocess.Popen(line, cwd=models.ROOT, env=env, stdout=log, stderr=log)
    wait_until(lambda: _answers(port))
    started = queue.start(1)  # by a detached supervisor, as the panel's button does
    job_id = held(queue, gate)
    panel.send_signal(signal.SIGTERM)
    assert panel.wait(20) == 0
    gate.touch()
    queue.wait_for(job_id, "completed")
    assert [worker["id"] for worker in queue.workers()] == started
    assert "Traceback" not in (tmp_path / "panel.log").read_text()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.parametrize("words", [["wait", "held"], ["logs", "held", "--follow"]], ids=lambda words: words[0])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_waits_ends_at_a_signal_without_a_traceback_and_the_job_goes_on(queue, gate, words, number):
    queue.start(1)
    queue.add(f"echo begun; until [ -e {gate} ]; do sleep 0.05; done", id="held")
    queue.wait_for("held", "processing")
    wait_until(lambda: queue.printed("held") == "begun\n")
    pipe = subprocess.PIPE
    waiting = subprocess.Popen(
        [sys.executable, "queuectl.py", "--db", queue.path, *words],
        cwd=models.ROOT,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    wait_until(lambda: _has_open(waiting.pid, str(queue.path)))
    waiting.send_signal(number)
    _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == (130 if number == signal.SIGINT else -number)
    assert said.strip() == ("Interrupted." if number == signal.SIGINT else "")
    gate.touch()
    queue.wait_for("held", "completed")


def _has_open(pid: int, path: str) -> bool:
    return path in [file.path for file in psutil.Process(pid).open_files()]


# --- as a service manager does it


def test_a_service_that_is_stopped_in_time_has_finished_its_jobs(queue, gate):
    """SIGTERM to the main process alone (KillMode=mixed)."""
    supervisor = queue.run_idle_workers(2)
    job_id = held(queue, gate)
    supervisor.send_signal(signal.SIGTERM)
    wait_until(lambda: len(queue.workers("draining")) == 1 and len(queue.workers()) == 1)
    assert queue.state(job_id) == "processing"
    waiting = queue.add("echo waits for the next start")
    gate.touch()
    assert supervisor.wait(20) == 0
    assert (queue.outcomes(job_id), queue.state(waiting)) == (["success"], "pending")


def test_a_service_killed_at_its_limit_gives_its_jobs_back_at_the_next_start(queue, gate):
    """SIGTERM, then, after TimeoutStopSec, SIGKILL to the whole tree."""
    supervisor = queue.run_idle_workers(2)
    job_id = held(queue, gate)
    supervisor.send_signal(signal.SIGTERM)
    wait_until(lambda: queue.workers("draining"))
    kill_tree(supervisor.pid)
    assert queue.state(job_id) == "processing"
    queue.run_workers("--count", "2")
    wait_until(lambda: queue.job(job_id).run == 2)
    gate.touch()
    job = queue.wait_for(job_id, "completed")
    assert (job.attempts, job.crashes) == (0, 1)
    assert queue.outcomes(job_id) == ["lost", "success"]
    assert "its supervisor died" in queries.attempts(job)[-1].error
    wait_until(lambda: len(queue.workers("idle", "busy")) == 2)


# --- as a container does it


def _namespace() -> tuple[str, ...]:
    """What makes the supervisor process 1 of a pid namespace; nothing where that is not permitted."""
    kept = ("--pid", "--fork", "--kill-child", "--mount-proc")
    for words in (("unshare", *kept), ("unshare", "--user", "--map-root-user", *kept)):
        try:
            line = [*words, sys.executable, "-c", "import models"]  # it may be permitted and yet be of no use
            if subprocess.run(line, cwd=models.ROOT, capture_output=True).returncode == 0:
                return words
        except FileNotFoundError:
            break
    return ()


NAMESPACE = _namespace()


def _inner(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The supervisor itself: the child of `unshare`, or the process where there is no namespace."""
    return psutil.Process(process.pid).children()[0] if NAMESPACE else psutil.Process(process.pid)


def test_a_container_that_is_stopped_finishes_its_jobs(queue, gate):
    """`docker stop`: SIGTERM to process 1, which is the supervisor. Without namespaces: to the supervisor."""
    container = queue.run_idle_workers(under=NAMESPACE)
    job_id = held(queue, gate)
    _inner(container).send_signal(signal.SIGTERM)
    wait_until(lambda: queue.workers("draining"))
    gate.touch()
    assert container.wait(20) == 0
    assert (queue.outcomes(job_id), queue.workers()) == (["success"], [])


def test_a_container_that_is_killed_gives_its_jobs_back_to_the_next_one(queue, gate):
    """`docker kill`: all its processes die at once. Their numbers mean nothing to the next, so none is asked."""
    container = queue.run_idle_workers(under=NAMESPACE)
    job_id = held(queue, gate)
    tree = [*_inner(container).children(recursive=True)]
    if NAMESPACE:
        _inner(container).kill()  # the kernel kills the rest of the namespace
    else:
        kill_tree(container.pid)
    container.wait(20)
    psutil.wait_procs(tree, 20)
    assert (queue.state(job_id), workers.supervisor_lives()) == ("processing", False)
    queue.run_workers("--count", "1", under=NAMESPACE)
    wait_until(lambda: queue.job(job_id).run == 2)
    gate.touch()
    queue.wait_for(job_id, "completed")
    assert queue.outcomes(job_id) == ["lost", "success"]


def test_process_1_of_a_container_reaps_what_daemons_leave(queue):
    container = queue.run_idle_workers(under=NAMESPACE)
    job_id = queue.add("(setsid sleep 0.1 &) ; (setsid true &) ; exit 0")
    queue.wait_for(job_id, "completed")
    left = [child for child in _inner(container).children(recursive=True) if child.status() == psutil.STATUS_ZOMBIE]
    assert left == []


# --- as a reboot does it


def test_after_a_reboot_all_that_ran_runs_again_and_all_that_waited_waits(queue, gate):
    """Everything dies at once, and the run folder is as it was: locks that nobody holds, a socket nobody hears."""
    supervisor = queue.run_idle_workers(2)
    first, second = held(queue, gate), held(queue, gate)
    waiting = queue.add("echo waits", run_at="+1h")
    folder = Path(models.run_folder())
    kill_tree(supervisor.pid)
    stale = {path.name for path in folder.iterdir()}
    assert {"supervisor.lock", "supervisor.sock", "w1.lock", "w2.lock"} <= stale
    assert queue.marked_processes() == []
    again = queue.run_workers("--count", "2")
    wait_until(lambda: [queue.job(job_id).run for job_id in (first, second)] == [2, 2])
    gate.touch()
    for job_id in (first, second):
        queue.wait_for(job_id, "completed")
        assert queue.outcomes(job_id) == ["lost", "success"]
    assert queue.state(waiting) == "pending"
    assert is_running(again.pid)
    panel = queue.panel()
    assert "its supervisor died" in panel.get(f"/jobs/{first}").text
    models.connect(str(queue.path))
