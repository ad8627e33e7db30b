"""What changed between two runs, on the command line."""

from __future__ import annotations


def test_diff_shows_what_changed_since_the_run_before(queuectl):
    queuectl.ok("config", "set", "backoff_base", "1")
    command = 'echo same; echo "try $QUEUECTL_ATTEMPT"; exit "$QUEUECTL_ATTEMPT"'
    queuectl.ok("enqueue", "--id", "job1", "--max-retries", "1", command)
    assert queuectl.run("diff", "job1").returncode == 1
    queuectl.ok("worker", "start")
    queuectl.run("wait", "job1")
    found = queuectl.json("diff", "job1")
    assert found["stdout"] == [" same", "-try 1", "+try 2"]
    assert found["stderr"] == []
    assert {"name": "exit code", "before": "1", "now": "2"} in found["facts"]
    shown = queuectl.ok("diff", "job1", "--against", "1", "--no-json")
    assert "From run 1 of job1 to run 2 of job1." in shown
    assert "- try 1\n+ try 2\n" in shown
    refused = queuectl.run("diff", "job1", "--against", "success")
    assert refused.returncode == 1
    assert "There is no run to compare job job1 with" in refused.stderr
