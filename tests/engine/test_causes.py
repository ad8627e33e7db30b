"""Why the dead are dead, and a list of jobs as a spreadsheet takes it."""

from __future__ import annotations

import csv
import io

import pytest

from engine import causes, config, dlq, jobs, operations, queries, sheet, transfer
from engine.errors import NotFound
from tests.engine.conftest import FAILED
from tests.support import dead_page


def die(queue, job_id: str, error: str) -> None:
    queue.add(job_id, max_retries=0)
    jobs.fail(queue.claim(), FAILED._replace(error=error))


def test_all_dead_jobs_are_grouped_by_the_cause_of_their_death(queue, clock):
    first_at = clock.now + 1000
    for number in range(7):
        clock.forward(1)
        die(queue, f"db{number}", f"exit code 1: host db-{number} is down")
    die(queue, "slow", "timed out after 5 s")
    first, second = causes.by_count()
    assert (first.deaths, first.pattern) == (7, "exit code 1: host * is down")
    assert (first.example, first.first_at, first.last_at) == ("exit code 1: host db-6 is down", first_at, clock.now)
    assert second.deaths == 1
    assert {job.id for job in dead_page(cause=first.pattern).jobs} == {f"db{number}" for number in range(7)}


def test_the_number_of_a_cause_is_that_of_the_jobs_it_finds(queue, clock):
    """Also where the pattern of one cause is like the errors of another."""
    for number in range(3):
        die(queue, f"a{number}", f"exit code 1: host db-{number} is down")
    die(queue, "other", "exit code 1: host mail and its twin is down")
    for cause in causes.by_count():
        assert len(dead_page(cause=cause.pattern).jobs) == cause.deaths == causes.deaths(cause.pattern)
        assert operations.expect("retry", {"state": "dead", "cause": cause.pattern}) == cause.deaths


def test_a_job_that_is_dead_no_more_has_no_part_in_a_cause(queue):
    die(queue, "a", "exit code 1")
    die(queue, "b", "exit code 1")
    dlq.retry("a")
    assert [cause.deaths for cause in causes.by_count()] == [1]
    jobs.delete("b")
    assert causes.by_count() == []


def test_a_crash_that_is_one_too_many_has_a_cause(queue):
    config.set("max_crashes", 1)
    queue.add("a")
    held = queue.claim()
    jobs.lose(held.pk, held.run, held.worker, "host", "worker w1 died: killed by SIGKILL")
    (cause,) = causes.by_count()
    assert cause.pattern == "worker * died: killed by SIGKILL; given up after * crashes"


def test_an_imported_dead_job_has_a_cause(queue, tmp_path):
    die(queue, "a", "exit code 1: host db-1 is down")
    kept = [*transfer.export()]
    jobs.delete("a")
    jobs.remove("a")
    transfer.load(io.BytesIO(b"".join(kept)))
    assert [cause.pattern for cause in causes.by_count()] == ["exit code 1: host * is down"]


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
