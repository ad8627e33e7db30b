"""What changed between two runs."""

from __future__ import annotations

import pytest

from engine import comparison, jobs, queries
from engine.comparison import Line
from engine.jobs import Ending
from engine.output import Output
from tests.engine.conftest import DONE, FAILED


def marks(before: str, now: str) -> list[str]:
    return [f"{line.mark}{line.text}" for line in comparison.changes(before, now).lines]


def test_the_same_is_no_change():
    assert comparison.changes("a\nb\n", "a\nb\n") == ([], False)


def test_a_change_is_shown_with_what_is_around_it():
    old = "".join(f"line {number}\n" for number in range(20))
    assert marks(old, old.replace("line 9", "line nine")) == [
        "…6 unchanged",
        *(" line 6", " line 7", " line 8"),
        *("-line 9", "+line nine"),
        *(" line 10", " line 11", " line 12"),
        "…7 unchanged",
    ]


@pytest.mark.parametrize(
    ("before", "now", "shown"),
    [
        ("", "new\n", ["+new"]),
        ("old\n", "", ["-old"]),
        ("a\nb\n", "a\nb\nc\n", [" a", " b", "+c"]),
        ("b\nc\n", "a\nb\nc\n", ["+a", " b", " c"]),
        ("a\na\n", "a\n", [" a", "-a"]),
    ],
)
def test_lines_that_came_and_went(before, now, shown):
    assert marks(before, now) == shown


def test_whatever_changed_both_sides_can_be_made_from_it():
    old = [str(number * 7 % 5) for number in range(60)]
    new = [str(number * 3 % 5) for number in range(50)]
    lines = comparison._all_lines(old, new)
    assert [line.text for line in lines if line.mark in " -"] == old
    assert [line.text for line in lines if line.mark in " +"] == new


def test_of_long_texts_the_ends_are_compared_and_it_is_said():
    old = "".join(f"{number}\n" for number in range(5000))
    found = comparison.changes(old, old + "last\n")
    assert found.cut
    assert found.lines[-1] == Line("+", "last")
    assert len(comparison.changes("x" * 300_000, "y" * 300_000).lines[0].text) == comparison.LINE_CHARACTERS


def printed(text: str) -> Ending:
    return FAILED._replace(stdout=Output(text.encode(), len(text)))


def test_a_run_is_compared_with_the_one_before_or_any_other(queue, no_jitter):
    queue.add("job")
    for text in ("one", "two", "three"):
        jobs.fail(queue.claim(), printed(text))
        queue.clock.forward(60)
    job = queue.job("job")
    newest = queries.attempt(job)
    assert comparison.other(job, newest).attempt.run == 2
    assert comparison.other(job, newest, "1").attempt.run == 1
    assert comparison.other(job, newest, "9") is None
    assert comparison.other(job, newest, "nonsense").attempt.run == 2
    assert comparison.other(job, queries.attempt(job, 1)) is None
    assert comparison.other(job, None) is None


def test_the_last_success_is_one_of_the_same_command_in_the_same_folder(queue):
    for job_id, fields in {
        "older": {"command": "make", "cwd": "/srv"},
        "right": {"command": "make", "cwd": "/srv"},
        "elsewhere": {"command": "make", "cwd": "/tmp"},
        "without": {"command": "make"},
        "unlike": {"command": "make all", "cwd": "/srv"},
    }.items():
        queue.add(job_id, **fields)
        jobs.complete(queue.claim(), DONE)
    queue.add("job", command="make", cwd="/srv")
    jobs.fail(queue.claim(), FAILED)
    job = queue.job("job")
    assert comparison.other(job, queries.attempt(job), "success").job.id == "right"
    queue.add("first", command="never ran before")
    jobs.fail(queue.claim(), FAILED)
    job = queue.job("first")
    assert comparison.other(job, queries.attempt(job), "success") is None


def test_a_success_that_is_remembered_is_found_whatever_came_since(queue, monkeypatch):
    monkeypatch.setattr(comparison, "LOOKED_AT", 0)
    queue.add("good", command="make")
    jobs.complete(queue.claim(), DONE._replace(duration_ms=1500))
    queue.add("job", command="make")
    jobs.fail(queue.claim(), FAILED)
    job = queue.job("job")
    assert comparison.last_success(job, queries.attempt(job)).job.id == "good"
    good = queue.job("good")
    assert comparison.last_success(good, queries.attempt(good)) is None
    jobs.delete("good")
    assert comparison.last_success(job, queries.attempt(job)) is None


def test_facts_are_what_differs(queue, no_jitter):
    queue.add("job")
    jobs.fail(queue.claim("w1"), FAILED)
    queue.clock.forward(60)
    jobs.fail(queue.claim("w2"), FAILED._replace(return_code=137, duration_ms=1500))
    new, old = queries.attempts(queue.job("job"))
    assert comparison.facts(old, new) == [
        ("exit code", "1", "137 (killed by SIGKILL, often because memory ran out)"),
        ("duration", "5 ms", "1.5 s"),
        ("worker", "w1", "w2"),
    ]
