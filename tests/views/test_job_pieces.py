"""The lines of a job's page: for a shell, and of its runs."""

from __future__ import annotations

import shlex

import pytest

from models import Attempt
from views import shell, timeline


def test_a_line_is_quoted_for_a_shell():
    words = ("enqueue", 'it\'s "quoted" $HOME `x`\nsecond line', "--tag", "a b")
    assert shlex.split(shell.line(*words)) == ["queuectl", *words]


def run(number: int, outcome: str = "failed", **columns) -> Attempt:
    columns = {"worker": "w1", "host": "here", "started_at": number * 10_000, "duration_ms": 100} | columns
    return Attempt(job=1, run=number, outcome=outcome, **columns)


def test_bars_are_to_scale_and_never_nothing():
    runs = [run(3, duration_ms=50), run(2, duration_ms=1), run(1, duration_ms=1000)]
    assert [line["bar"] for line in timeline.lines(runs)] == [5, 1, 100]
    assert [line["bar"] for line in timeline.lines([run(1, duration_ms=0)])] == [1]


def test_a_line_says_how_long_the_job_had_waited():
    runs = [run(2, started_at=5000), run(1, started_at=1000, finished_at=2000)]
    assert [line["waited_ms"] for line in timeline.lines(runs)] == [3000, None]


@pytest.mark.parametrize(
    ("outcome", "code", "error", "details"),
    [
        ("success", 0, None, []),
        ("failed", 1, "exit code 1: no such file", ["no such file"]),
        (
            "failed",
            127,
            "exit code 127 (command not found): sh: x: not found",
            ["command not found", "sh: x: not found"],
        ),
        ("failed", -9, "killed by SIGKILL", ["killed by SIGKILL, often because memory ran out"]),
        (
            "failed",
            None,
            "cannot enter the folder /x: No such file",
            ["could not be started", "cannot enter the folder /x: No such file"],
        ),
        ("timeout", -15, "timed out after 2 s", ["timed out after 2 s"]),
        ("lost", None, "worker w1 died", ["its worker died; no retry spent", "worker w1 died"]),
        ("cancelled", -15, "cancelled", ["ended because the job was cancelled"]),
        (
            "released",
            None,
            "stopped with its worker and given back",
            ["ended with its worker and given back; no retry spent", "stopped with its worker and given back"],
        ),
    ],
)
def test_an_end_is_explained_once(outcome, code, error, details):
    (line,) = timeline.lines([run(1, outcome, return_code=code, error=error)])
    assert line["details"] == details
