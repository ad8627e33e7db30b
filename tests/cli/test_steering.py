"""The commands that steer one job, and why a job that waits is not running."""

from __future__ import annotations


def test_show_says_why_a_job_is_not_running(queuectl):
    queuectl.ok("enqueue", "--id", "later", "--run-at", "2099-01-01T00:00:00Z", "true")
    assert queuectl.json("show", "later")["why"] == [
        "It is not to run before 2099-01-01T00:00:00Z.",
        "No worker is running; it runs when one is started.",
    ]
    shown = queuectl.ok("show", "later", "--no-json")
    assert "Why isn't it running? It is not to run before 2099-01-01T00:00:00Z. No worker" in shown


def test_show_explains_how_a_run_ended(queuectl):
    queuectl.ok("enqueue", "--id", "job1", "--max-retries", "0", "no-such-program")
    queuectl.ok("worker", "start")
    queuectl.run("wait", "job1")
    shown = queuectl.json("show", "job1")
    assert [run["meaning"] for run in shown["runs"]] == ["command not found"]
    assert shown["why"] == []


def test_run_now_lets_a_job_wait_no_longer(queuectl):
    queuectl.ok("enqueue", "--id", "later", "--run-at", "+1d", "true")
    assert queuectl.ok("run-now", "later") == "later is due now.\n"
    refused = queuectl.run("run-now", "later")
    assert refused.returncode == 1
    assert "is due already" in refused.stderr
