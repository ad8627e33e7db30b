"""Jobs that flood, hide, multiply or turn on their worker: bounded, ended to the last process, and told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import models
from engine import config, jobs
from tests.faults.conftest import is_running, run_of
from tests.support import wait_until
from workers import control

MEGABYTE = 1024 * 1024


@pytest.fixture
def worker(queue):
    queue.start(1)
    return queue


def python(program: str) -> str:
    """A command that runs this program."""
    return f"exec \"{sys.executable}\" -c '{program}'"


def high_water_kb(pid: int) -> int:
    """The most memory the process has ever had resident (VmHWM)."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])


# --- output


def test_300_megabytes_at_full_speed_cost_neither_memory_nor_disk(worker):
    pid = worker.workers("idle")[0]["pid"]
    before = high_water_kb(pid)
    job_id = worker.add("head -c 314572800 /dev/zero; echo end")
    worker.wait_for(job_id, "completed", timeout_s=60)
    run = run_of(worker, job_id)
    assert (run.stdout_bytes, len(run.stdout)) == (300 * MEGABYTE + 4, 256 * 1024)
    assert bytes(run.stdout).endswith(b"\0end\n")
    assert high_water_kb(pid) - before < 8 * 1024
    assert sum(os.path.getsize(f"{worker.path}{end}") for end in ("", "-wal")) < 16 * MEGABYTE


def test_a_line_without_an_end_and_bytes_of_every_value_are_kept_and_shown(worker):
    job_id = worker.add(python("import os; os.write(1, bytes(range(256)) * 400)"))
    worker.wait_for(job_id, "completed")
    assert bytes(run_of(worker, job_id).stdout) == bytes(range(256)) * 400
    shown = worker.command("logs", job_id)
    assert (shown.returncode, shown.stderr) == (0, "")
    panel = worker.panel()
    for page in (f"/jobs/{job_id}", f"/jobs/{job_id}/output/stdout", "/jobs"):
        assert panel.get(page).status_code < 500
    models.connect(str(worker.path))


def test_a_job_that_closes_its_output_and_lives_on_is_waited_for_without_burning_time(worker, tmp_path):
    gate, ticks = tmp_path / "gate", tmp_path / "ticks"
    job_id = worker.add(
        f"echo before; exec >&- 2>&-; until [ -e {gate} ]; do echo >> {ticks}; sleep 0.05; done; exit 3", max_retries=0
    )
    pid = worker.worker(worker.wait_for(job_id, "processing").locked_by).pid
    wait_until(lambda: worker.printed(job_id) == "before\n")
    turns = _switches(pid)
    lived = ticks.stat().st_size
    wait_until(lambda: ticks.stat().st_size >= lived + 10)
    assert _switches(pid) - turns < 20
    gate.touch()
    assert worker.wait_for(job_id, "dead").return_code == 3


def _switches(pid: int) -> int:
    """How often its threads were switched to something else."""
    stated = "".join(status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(int(line.split()[1]) for line in stated.splitlines() if "ctxt_switches" in line)


# --- processes that would stay

DAEMON = """
import os, time
if os.fork():
    time.sleep({stay})
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.environ.clear()
open("{told}", "w").write(str(os.getpid()))
os.closerange(0, 4096)
time.sleep(300)
"""


@pytest.mark.parametrize("end", ["its own end", "cancel", "worker killed"])
def test_a_daemon_without_session_descriptors_or_parent_ends_with_its_job(worker, tmp_path, end):
    told = tmp_path / "daemon.pid"
    program = tmp_path / "daemon.py"
    program.write_text(DAEMON.format(told=told, stay=0.2 if end == "its own end" else 300))
    job_id = worker.add(f"exec '{sys.executable}' '{program}'")
    wait_until(lambda: told.exists() and told.read_text())
    daemon = int(told.read_text())
    if end == "cancel":
        jobs.cancel(job_id)
    elif end == "worker killed":
        config.set("max_crashes", 1)
        os.kill(worker.worker(worker.job(job_id).locked_by).pid, signal.SIGKILL)
    state = {"its own end": "completed", "cancel": "cancelled", "worker killed": "dead"}[end]
    worker.wait_for(job_id, state)
    assert not is_running(daemon)


def test_a_tree_of_200_processes_ends_with_its_job(worker):
    job_id = worker.add(
        "i=0; while [ $i -lt 20 ]; do (j=0; while [ $j -lt 9 ]; do sleep 300 & j=$((j+1)); done; wait) & i=$((i+1)); "
        "done; wait"
    )
    wait_until(lambda: len(worker.marked_processes()) >= 200)
    jobs.cancel(job_id)
    worker.wait_for(job_id, "cancelled")
    assert worker.marked_processes() == []


def test_a_job_in_a_process_group_of_its_own_that_ignores_term_is_ended_to_the_last_process(worker):
    config.set("kill_grace_sec", 0.2)
    program = (
        "import os, signal, time; os.fork() or os.setpgid(0, 0); signal.signal(15, signal.SIG_IGN); time.sleep(300)"
    )
    job_id = worker.add(python(program))
    worker.wait_for(job_id, "processing")
    wait_until(lambda: len(worker.marked_processes()) == 2)
    jobs.cancel(job_id)
    worker.wait_for(job_id, "cancelled")
    assert worker.marked_processes() == []


FULL_HOUSE = """
import os, resource, time
if os.getuid() == 0:
    os.setuid(61234)
resource.setrlimit(resource.RLIMIT_NPROC, (40, 40))
made = 0
try:
    while made < 100:
        if os.fork() == 0:
            time.sleep(300)
            os._exit(0)
        made += 1
except BlockingIOError:
    print("no more", flush=True)
os._exit(7)
"""


def test_a_job_that_fills_its_process_limit_fails_by_itself_and_leaves_nothing(worker, tmp_path):
    program = tmp_path / "full_house.py"
    program.write_text(FULL_HOUSE)
    job_id = worker.add(f"exec '{sys.executable}' '{program}'", max_retries=0)
    assert worker.wait_for(job_id, "dead").return_code == 7
    assert worker.printed(job_id) == "no more\n"
    assert worker.marked_processes() == []
    worker.wait_for(worker.add("true"), "completed")


# --- turning on the worker


def test_a_job_that_stops_its_worker_is_named_in_the_log_and_can_be_stopped(queue):
    queue.run_idle_workers()
    job_id = queue.add("kill -STOP $PPID; sleep 300")
    wait_until(lambda: "w1 was stopped by a signal" in queue.logged())
    assert queue.state(job_id) == "processing"
    assert queue.command("worker", "stop", "--now").returncode == 0
    assert queue.outcomes(job_id) == ["released"]


@pytest.mark.parametrize("wish", ["cancel", "drain"])
def test_a_stopped_worker_hears_what_it_is_told(queue, wish):
    queue.run_idle_workers()
    job_id = queue.add("kill -STOP $PPID; [ $QUEUECTL_ATTEMPT = 1 ]" + ("; sleep 300" if wish == "cancel" else ""))
    wait_until(lambda: "w1 was stopped by a signal" in queue.logged())
    if wish == "cancel":
        jobs.cancel(job_id)
    else:
        assert queue.command("worker", "drain").returncode == 0
    queue.wait_for(job_id, "cancelled" if wish == "cancel" else "completed")


def test_a_job_that_signals_every_ancestor_it_finds_ends_neither_supervisor_nor_queue(queue):
    supervisor = queue.run_idle_workers()
    config.set("max_crashes", 1)
    job_id = queue.add("kill -TERM $PPID; kill -HUP $PPID; kill -USR1 $PPID; sleep 0.1")
    queue.wait_for(job_id, "completed", "dead")
    queue.wait_for(queue.add("true"), "completed")
    assert supervisor.poll() is None


@pytest.mark.parametrize(
    "words", [["queuectl.py", "worker", "start", "--count", "1000"], ["-m", "workers", "--count", "1000"]]
)
def test_a_thousand_workers_are_refused_with_the_limit(queue, words):
    env: dict[str, Any] = {**os.environ, "QUEUECTL_DB": str(queue.path)}
    said = subprocess.run([sys.executable, *words], cwd=models.ROOT, env=env, capture_output=True, text=True)
    assert said.returncode in (1, 2)
    assert said.stderr.startswith(f"At most {control.MOST} workers can live on one host;")
    assert said.stderr.count("\n") == 1
    assert not queue.workers()
