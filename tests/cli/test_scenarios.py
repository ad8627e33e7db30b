"""The scenarios that people run, as they type them."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import datetime

from tests.cli.conftest import ROOT, on_terminal
from tests.support import wait_until


def test_a_job_completes_with_its_output(queuectl):
    assert "ok1" in queuectl.ok("enqueue", '{"id":"ok1","command":"echo ok"}')
    queuectl.ok("worker", "start", "--count", "1")
    queuectl.ok("wait", "ok1")
    (job,) = queuectl.json("list", "--state", "completed")
    assert (job["id"], job["stdout"]) == ("ok1", "ok\n")


def test_a_failing_job_backs_off_two_and_four_seconds_and_is_dead_after_three_attempts(queuectl):
    queuectl.ok("enqueue", '{"id":"bad1","command":"bash -c \\"exit 1\\"","max_retries":2}')
    queuectl.ok("worker", "start", "--count", "1")
    assert queuectl.run("wait", "bad1").returncode == 1
    (job,) = queuectl.json("dlq", "list")
    assert (job["id"], job["attempts"], job["state"], job["return_code"]) == ("bad1", 3, "dead", 1)
    first, second, third = sorted(
        (_s(run["started_at"]), _s(run["finished_at"])) for run in queuectl.job("bad1")["runs"]
    )
    assert second[0] - first[1] >= 2
    assert third[0] - second[1] >= 4


def _s(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


def test_jobs_of_several_workers_run_once_each(queuectl, tmp_path):
    for number in range(3):
        queuectl.ok("enqueue", "--id", f"s{number}", f"sleep 0.3; echo $QUEUECTL_JOB_ID >> {tmp_path}/ran")
    queuectl.ok("worker", "start", "--count", "3")
    queuectl.ok("wait", "s0", "s1", "s2")
    assert sorted((tmp_path / "ran").read_text().split()) == ["s0", "s1", "s2"]


def test_three_jobs_of_two_seconds_run_side_by_side(queuectl, tmp_path):
    noted = tmp_path / "noted"
    for number in range(3):
        queuectl.ok("enqueue", "--id", f"s{number}", f"echo begin >> {noted}; sleep 2; echo end >> {noted}")
    queuectl.ok("worker", "start", "--count", "3")
    queuectl.ok("wait", "s0", "s1", "s2")
    assert noted.read_text().split() == ["begin"] * 3 + ["end"] * 3


def test_a_command_that_does_not_exist_ends_in_the_dlq_and_the_worker_lives_on(queuectl):
    queuectl.ok("config", "set", "backoff_base", "1")
    queuectl.ok("enqueue", '{"id":"nope","command":"__not_a_command__","max_retries":1}')
    queuectl.ok("worker", "start", "--count", "1")
    assert queuectl.run("wait", "nope").returncode == 127
    assert queuectl.json("dlq", "list")[0]["id"] == "nope"
    queuectl.ok("enqueue", "--id", "next", "true")
    queuectl.ok("wait", "next")
    assert [worker["id"] for worker in queuectl.json("status")["workers"]] == ["w1"]


def test_jobs_and_settings_outlive_the_workers(queuectl):
    queuectl.ok("config", "set", "max_retries_default", "5")
    queuectl.ok("worker", "start", "--count", "1")
    queuectl.ok("worker", "stop")
    queuectl.ok("enqueue", '{"id":"later","command":"echo later"}')
    assert queuectl.json("list", "--state", "pending")[0]["id"] == "later"
    queuectl.ok("worker", "start", "--count", "1")
    queuectl.ok("wait", "later")
    assert queuectl.job("later")["max_retries"] == 5


def test_a_job_cut_off_by_kill_runs_again(queuectl, tmp_path):
    marker = tmp_path / "second"
    queuectl.ok("enqueue", "--id", "cut", f"[ -e {marker} ] && exit; touch {marker}; sleep 60")
    queuectl.ok("worker", "start", "--count", "1")
    wait_until(marker.exists)
    (worker,) = queuectl.json("worker", "list")
    os.kill(worker["pid"], signal.SIGKILL)
    queuectl.ok("wait", "cut")
    assert [run["outcome"] for run in queuectl.job("cut")["runs"]] == ["success", "lost"]


def test_dlq_retry_puts_a_job_back_with_attempts_zero(queuectl):
    queuectl.ok("enqueue", '{"id":"job1","command":"exit 7","max_retries":0}')
    queuectl.ok("worker", "start", "--count", "1")
    assert queuectl.run("wait", "job1").returncode == 7
    queuectl.ok("worker", "stop")
    queuectl.ok("dlq", "retry", "job1")
    job = queuectl.job("job1")
    assert (job["state"], job["attempts"]) == ("pending", 0)
    assert queuectl.json("dlq", "list") == []


def test_worker_stop_waits_for_the_running_job(queuectl, tmp_path):
    gate = tmp_path / "gate"
    queuectl.ok("enqueue", "--id", "held", f"until [ -e {gate} ]; do sleep 0.05; done; echo end")
    queuectl.ok("worker", "start", "--count", "1")
    queuectl.wait_for_state("held", "processing")
    stop = queuectl.start("worker", "stop")
    wait_until(lambda: queuectl.json("status")["shutdown"])
    gate.touch()
    assert stop.communicate(timeout=30)[0].endswith("All stopped.\n")
    assert queuectl.job("held")["state"] == "completed"


def test_a_foreground_start_stays_and_term_drains_it(queuectl, tmp_path):
    gate = tmp_path / "gate"
    queuectl.ok("enqueue", "--id", "held", f"until [ -e {gate} ]; do sleep 0.05; done")
    attached = queuectl.start("worker", "start", "--count", "1", "--foreground")
    queuectl.wait_for_state("held", "processing")
    attached.send_signal(signal.SIGTERM)
    wait_until(lambda: queuectl.json("worker", "list")[0]["status"] == "draining")
    gate.touch()
    said, _ = attached.communicate(timeout=30)
    assert attached.returncode == 0
    assert "w1: stopped" in said
    assert queuectl.job("held")["state"] == "completed"


def test_an_interrupted_worker_stop_leaves_its_wish(queuectl, tmp_path):
    gate = tmp_path / "gate"
    queuectl.ok("enqueue", "--id", "held", f"until [ -e {gate} ]; do sleep 0.05; done")
    queuectl.ok("worker", "start")
    queuectl.wait_for_state("held", "processing")
    stop = queuectl.start("worker", "stop")
    assert stop.stdout.readline() == "Draining w1\n"
    stop.send_signal(signal.SIGINT)
    _, complained = stop.communicate(timeout=30)
    assert stop.returncode == 130
    assert complained.startswith("No longer waiting; the workers still end.")
    gate.touch()
    wait_until(lambda: queuectl.json("worker", "list") == [])
    assert queuectl.job("held")["state"] == "completed"


def test_the_second_signal_to_a_foreground_start_gives_the_job_back(queuectl):
    queuectl.ok("enqueue", "--id", "long", "sleep 60")
    attached = queuectl.start("worker", "start", "--foreground")
    queuectl.wait_for_state("long", "processing")
    attached.send_signal(signal.SIGINT)
    wait_until(lambda: queuectl.json("worker", "list")[0]["status"] == "draining")
    attached.send_signal(signal.SIGINT)
    attached.communicate(timeout=30)
    assert attached.returncode == 0
    job = queuectl.job("long")
    assert (job["state"], job["attempts"]) == ("pending", 0)


def test_worker_stop_on_a_terminal_shows_a_table_that_lives(queuectl):
    queuectl.ok("worker", "start", "--count", "2")
    said = on_terminal(queuectl, "worker", "stop")
    assert "w2" in said
    assert "stopped" in said
    assert said.endswith("All stopped.\r\n")


def test_a_foreground_start_ends_when_another_terminal_stops_the_workers(queuectl):
    attached = queuectl.start("worker", "start", "--count", "1", "--foreground")
    wait_until(lambda: [row["status"] for row in queuectl.json("worker", "list")] == ["idle"])
    queuectl.ok("worker", "stop")
    attached.communicate(timeout=30)
    assert attached.returncode == 0


def test_the_demo_holds_what_it_shows():
    done = subprocess.run(["sh", ROOT / "scripts" / "demo.sh"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT AS IT SHOULD BE" not in done.stdout
