"""What running a command means: its output, its end, its limits, its environment."""

from __future__ import annotations

import signal
import sys
import time

import pytest

import models
from engine import config, jobs, queries
from tests.support import wait_until


@pytest.fixture
def worker(queue):
    queue.start(1)
    return queue


def test_every_run_stores_code_output_and_duration(worker):
    job_id = worker.add("echo out; echo err >&2; exit 3", max_retries=0)
    job = worker.wait_for(job_id, "dead")
    assert (job.return_code, job.attempts) == (3, 1)
    assert job.duration_ms >= 0
    assert (worker.printed(job_id), worker.printed(job_id, "stderr")) == ("out\n", "err\n")
    assert job.last_error == "exit code 3: err"


def test_a_command_that_does_not_exist_fails_and_the_worker_lives_on(worker):
    job = worker.wait_for(worker.add("__not_a_command__", max_retries=0), "dead")
    assert job.return_code == 127
    assert "command not found" in job.last_error
    worker.wait_for(worker.add("true"), "completed")


def test_a_failed_job_waits_for_its_backoff_and_is_tried_again(worker, tmp_path):
    config.set("backoff_base", 1)
    marker = tmp_path / "second"
    job_id = worker.add(f"[ -e {marker} ] || {{ touch {marker}; exit 1; }}", max_retries=2)
    job = worker.wait_for(job_id, "completed")
    assert job.attempts == 1
    assert worker.outcomes(job_id) == ["failed", "success"]


def test_a_job_is_dead_after_its_last_retry(worker):
    config.set("backoff_base", 1)
    job_id = worker.add("exit 1", max_retries=2)
    assert worker.wait_for(job_id, "dead").attempts == 3
    assert worker.outcomes(job_id) == ["failed"] * 3


def test_a_timeout_ends_the_whole_tree_and_counts_as_a_failure(worker):
    job_id = worker.add("sleep 300 & (setsid sleep 301 &) ; sleep 302", timeout_sec=0.3, max_retries=0)
    job = worker.wait_for(job_id, "dead")
    assert job.last_error == "timed out after 0.3 s"
    assert worker.outcomes(job_id) == ["timeout"]
    assert worker.marked_processes() == []


def test_a_command_that_ignores_term_is_killed_after_the_grace(worker):
    config.set("kill_grace_sec", 0.2)
    job_id = worker.add("trap '' TERM; while :; do sleep 0.05; done", timeout_sec=0.2, max_retries=0)
    job = worker.wait_for(job_id, "dead")
    assert job.return_code == -signal.SIGKILL


def test_the_grace_is_that_of_the_moment_of_the_stop(worker, tmp_path):
    config.set("kill_grace_sec", 3600)
    job_id = worker.add(f"trap '' TERM; touch {tmp_path}/began; while :; do sleep 0.05; done")
    wait_until((tmp_path / "began").exists)
    config.set("kill_grace_sec", 0.2)
    jobs.cancel(job_id)
    worker.wait_for(job_id, "cancelled")


def test_the_default_timeout_comes_from_the_config(worker):
    config.set("job_timeout_sec", 0.2)
    assert worker.wait_for(worker.add("sleep 60", max_retries=0), "dead").last_error == "timed out after 0.2 s"
    worker.wait_for(worker.add("sleep 0.4", timeout_sec=0), "completed")


def test_cancel_ends_a_running_command_and_spares_its_worker(worker):
    job_id = worker.add("sleep 60", max_retries=5)
    worker.wait_for(job_id, "processing")
    assert jobs.cancel(job_id) == "processing"
    assert worker.wait_for(job_id, "cancelled").attempts == 0
    worker.wait_for(worker.add("true"), "completed")
    assert worker.worker("w1").stopped_at is None


def test_output_shows_while_the_command_runs(worker, tmp_path):
    gate = tmp_path / "gate"
    job_id = worker.add(f"echo early; until [ -e {gate} ]; do sleep 0.05; done; echo late")
    wait_until(lambda: worker.state(job_id) == "processing" and worker.printed(job_id) == "early\n")
    gate.touch()
    worker.wait_for(job_id, "completed")
    assert worker.printed(job_id) == "early\nlate\n"


def test_long_output_keeps_its_beginning_and_its_end_within_the_limit(worker):
    config.set("output_limit_kb", 4)
    job_id = worker.add("seq 1 100000")
    worker.wait_for(job_id, "completed")
    run = queries.attempt(worker.job(job_id))
    assert len(run.stdout) == 4096
    assert run.stdout_bytes == sum(len(f"{n}\n") for n in range(1, 100_001))
    text = worker.printed(job_id)
    assert text.startswith("1\n2\n")
    assert text.endswith("99999\n100000\n")
    assert f"{run.stdout_bytes - 4096:,} bytes left out" in text


def test_output_that_fits_exactly_is_whole(worker):
    config.set("output_limit_kb", 4)
    job_id = worker.add("head -c 4096 /dev/zero | tr '\\0' x")
    worker.wait_for(job_id, "completed")
    assert worker.printed(job_id) == "x" * 4096


def test_bytes_that_are_no_text_are_kept_as_they_are(worker):
    job_id = worker.add(r"printf '\377\000\n\303'")
    worker.wait_for(job_id, "completed")
    assert bytes(queries.attempt(worker.job(job_id)).stdout) == b"\xff\x00\n\xc3"


def test_what_a_command_leaves_behind_is_ended_with_it(worker):
    job_id = worker.add("(sleep 300 >/dev/null 2>&1 &) ; setsid sleep 301 >/dev/null 2>&1 & echo hi")
    worker.wait_for(job_id, "completed")
    assert worker.printed(job_id) == "hi\n"
    assert worker.marked_processes() == []


def test_a_leftover_that_holds_the_output_delays_the_end_by_a_moment_only(worker):
    job_id = worker.add("sleep 300 & echo hi")
    job = worker.wait_for(job_id, "completed")
    assert job.duration_ms < 300_000
    assert worker.printed(job_id) == "hi\n"


def test_a_leftover_that_floods_the_output_cannot_hold_the_worker(worker):
    job_id = worker.add("yes & exit 0")
    worker.wait_for(job_id, "completed")
    assert worker.marked_processes() == []


def test_a_job_knows_who_it_is_and_gets_its_own_environment(worker, tmp_path):
    job_id = worker.add(
        'echo "$QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT $QUEUECTL_DB $GREETING $(pwd)"',
        env={"GREETING": "hëllo"},
        cwd=str(tmp_path),
        id="who-am-i",
    )
    worker.wait_for(job_id, "completed")
    assert worker.printed(job_id) == f"who-am-i 1 {worker.path} hëllo {tmp_path}\n"


def test_a_missing_folder_is_a_failure_that_names_it(worker):
    job = worker.wait_for(worker.add("true", cwd="/no/such/folder", max_retries=0), "dead")
    assert job.last_error == "cannot enter the folder /no/such/folder: No such file or directory"
    assert worker.wait_for(worker.add("pwd"), "completed")
    assert job.return_code is None


def test_a_command_reads_nothing_and_has_the_usual_signals(worker):
    job_id = worker.add("cat; grep -E 'Sig(Ign|Blk)' /proc/self/status")
    worker.wait_for(job_id, "completed")
    lines = worker.printed(job_id).splitlines()
    assert [line.split(":")[0] for line in lines] == ["SigBlk", "SigIgn"]
    for line in lines:
        deaf = int(line.split()[1], 16)
        assert [number for number in signal.valid_signals() if deaf >> (number - 1) & 1] == []


def test_a_delayed_job_does_not_run_before_its_time(worker):
    due = models.now_ms() + 700
    instant = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(due // 1000))}.{due % 1000:03}Z"
    job_id = worker.add("true", run_at=instant)
    worker.wait_for(job_id, "completed")
    assert queries.attempt(worker.job(job_id)).started_at >= due


def test_many_jobs_on_many_workers_run_once_each(queue, tmp_path):
    ledger = tmp_path / "ledger"
    ids = jobs.enqueue_many({"command": f'echo "$QUEUECTL_JOB_ID" >> {ledger}'} for _ in range(300))
    queue.start(4)
    wait_until(lambda: queries.counts()["completed"] == 300, 60)
    assert sorted(ledger.read_text().split()) == sorted(ids)
    assert models.Attempt.select().count() == 300
    assert len({run.worker for run in models.Attempt.select(models.Attempt.worker)}) > 1


def test_a_job_may_enqueue_another_by_the_command_line(worker):
    command = f'"{sys.executable}" "{models.ROOT}/queuectl.py" enqueue \'{{"id": "child", "command": "echo born"}}\''
    worker.wait_for(worker.add(command), "completed")
    worker.wait_for("child", "completed")
