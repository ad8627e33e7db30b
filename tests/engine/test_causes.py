"""Why the dead are dead, and a list of jobs as a spreadsheet takes it."""

from __future__ import annotations

import csv
import io

import pytest

from engine import causes, jobs, queries, sheet
from engine.errors import NotFound
from tests.engine.conftest import FAILED
from tests.support import dead_page


def die(queue, job_id: str, error: str) -> None:
    queue.add(job_id, max_retries=0)
    jobs.fail(queue.claim(), FAILED._replace(error=error))


def test_the_dead_are_put_together_by_what_they_died_of(queue, clock):
    for number in range(7):
        clock.forward(1)
        die(queue, f"db{number}", f"exit code 1: host db-{number} is down")
    die(queue, "slow", "timed out after 5 s")
    first, second = causes.found().causes
    assert (first.deaths, first.pattern) == (7, "exit code 1: host * is down")
    assert (first.example, first.last_at) == ("exit code 1: host db-6 is down", clock.now)
    assert second.deaths == 1
    assert {job.id for job in dead_page(error=first.pattern).jobs} == {f"db{number}" for number in range(7)}


def test_a_look_at_many_dead_says_how_many_it_saw(queue, monkeypatch):
    monkeypatch.setattr(causes, "_STEP", 2)
    monkeypatch.setattr(causes, "_LOOK_S", 0)
    for number in range(5):
        die(queue, f"j{number}", "exit code 1")
    found = causes.found()
    assert (found.looked, found.causes[0].deaths) == (2, 2)
    monkeypatch.setattr(causes, "_LOOK_S", 60)
    assert (causes.found().looked, causes.found().causes[0].deaths) == (None, 5)


def test_nobody_is_dead_of_nothing(queue):
    assert causes.found() == ([], None)


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(queue, formula):
    queue.add("a", command=f"{formula} x", tags=["one", "two"], priority=-5)
    (row,) = csv.DictReader(io.StringIO("".join(sheet.lines(queries.every())), newline=""))
    assert row["command"] == f"'{formula} x"
    assert (row["tags"], row["priority"]) == ("one two", "-5")


def test_a_job_is_removed_from_the_trash_for_good(queue):
    queue.add("a")
    queue.add("b")
    token = jobs.delete("a")
    jobs.delete("b")
    assert jobs.remove(token) == "a"
    assert jobs.remove("b") == "b"
    for gone in (token, "a", "never"):
        with pytest.raises(NotFound):
            jobs.remove(gone)


def test_a_job_that_lives_is_not_removed(queue):
    queue.add("a")
    with pytest.raises(NotFound):
        jobs.remove("a")
    assert queue.state("a") == "pending"
