"""What jobs can be chosen by, and looks that end in time."""

from __future__ import annotations

import pytest

from engine import causes, jobs, operations, queries, search
from engine.errors import InvalidInput
from engine.jobs import Ending
from engine.output import Output
from models import Job
from tests.support import dead_page


def ids(page: queries.Page) -> set[str]:
    return {job.id for job in page.jobs}


def run(queue, job_id: str, worker: str = "w1", **ending) -> None:
    """Let the job run once and die of it, or complete."""
    queue.add(job_id, max_retries=0)
    held = queue.claim(worker)
    given = Ending(**{"return_code": 0, "duration_ms": 5} | ending)
    (jobs.fail if given.return_code else jobs.complete)(held, given)


def test_jobs_are_found_by_the_exit_code_of_their_last_run(queue):
    run(queue, "ok")
    run(queue, "one", return_code=1)
    run(queue, "killed", return_code=-9)
    assert ids(queries.page(exit_code="1")) == {"one"}
    assert ids(queries.page(exit_code="-9")) == {"killed"}
    assert ids(queries.page(exit_code="0")) == {"ok"}


def test_jobs_are_found_by_the_worker_that_ran_or_runs_them(queue):
    run(queue, "earlier", worker="w7")
    queue.add("now")
    queue.claim("w7")
    queue.add("other")
    queue.claim("w8")
    assert ids(queries.page(worker="w7")) == {"earlier", "now"}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_jobs_are_found_by_what_they_printed(queue, stream):
    run(queue, "a", **{stream: Output(b"\xffdisk FULL on /dev/sda\n", 23)})
    run(queue, "b", stdout=Output(b"disk fine", 9))
    assert ids(queries.page(output="disk full")) == {"a"}
    assert ids(queries.page(output="100%")) == set()


@pytest.mark.parametrize(("written", "asked"), [("ÄÖÜ und ÆØÅ", "äöü UND æøå"), ("żółw", "ŻÓŁW"), ("ПРИВЕТ", "привет")])
def test_a_search_ignores_the_case_of_all_letters(queue, written, asked):
    run(queue, "printed", stdout=Output(written.encode(), len(written.encode())))
    tag = written.split()[0]
    queue.add("named", command=f"echo '{written}'", tags=[tag])
    assert ids(queries.page(output=asked)) == {"printed"}
    assert ids(queries.page(text=asked)) == {"named"}
    assert ids(queries.page(tag=tag.swapcase())) == {"named"}
    assert {job.id for job in queries.matching(text=asked)} == {"named"}


def test_a_tag_is_found_whole_and_a_text_as_it_is_written(queue):
    queue.add("a", command="echo 100%_", tags=["nightly"])
    assert ids(queries.page(tag="NIGHT")) == set()
    assert ids(queries.page(tag="NIGHTLY")) == {"a"}
    assert ids(queries.page(text="0%_")) == {"a"}
    assert ids(queries.page(text="1%0")) == set()


def test_jobs_are_found_by_when_they_ended_or_were_enqueued(queue, clock):
    queue.add("waits")
    run(queue, "early", worker="w2")  # takes "waits", which then ends now
    queue.add("late")
    clock.forward(3600)
    queue.add("new")
    assert ids(queries.page(since="30m")) == {"new"}
    assert "new" not in ids(queries.page(until="30m"))
    assert ids(queries.page(since="2h")) == {"waits", "early", "late", "new"}
    assert ids(queries.page(since=queries.iso(clock.now))) == {"new"}
    assert ids(queries.page(since="2030-01-01")) == set()


@pytest.mark.parametrize(
    ("one", "other", "are_alike"),
    [
        ("exit code 1: host db-12 is down", "exit code 1: host db-7 is down", True),
        ("exit code 1: host db-12 is down", "exit code 2: host db-12 is down", False),
        ("exit code 1", "exit code 127", False),
        ("timed out after 2 s", "timed out after 60 s", True),
        ("exit code 1: no [file] 7?", "exit code 1: no [file] 8?", True),
        ("exit code 1: a*b 1", "exit code 1: a*b 2", True),
        ("exit code 1: no route", "exit code 1: no route to host", False),
        ("exit code 1: " + "x1 " * 100, "exit code 1: " + "x2 " * 100, True),
        ("", "", True),
    ],
)
def test_errors_of_the_same_cause_have_one_pattern(queue, one, other, are_alike):
    pattern = causes.pattern_of(one)
    assert (causes.pattern_of(other) == pattern) == are_alike
    for name, error in (("one", one), ("other", other)):
        run(queue, name, return_code=1, error=error)
    if pattern:
        assert ids(queries.page(error=pattern)) == ({"one", "other"} if are_alike else {"one"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exit_code", "one"),
        ("exit_code", "1.5"),
        ("exit_code", "9" * 30),
        ("since", "lately"),
        ("since", "2025-02-30"),
        ("until", "yesterday 25:00"),
        ("until", "24 hours"),
        ("since", "99999-01-01"),
        ("error", "*" * 9),
        ("output", "a\0b"),
        ("worker", "x" * 2000),
        ("state", "done"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_in_a_sentence(queue, name, value):
    with pytest.raises(InvalidInput) as caught:
        queries.page(**{name: value})
    assert len(str(caught.value)) < 300


def test_an_unknown_filter_is_refused_and_the_known_ones_are_named(queue):
    with pytest.raises(InvalidInput, match="There is no filter 'colour'; there are state, queue"):
        queries.page(colour="red")


def test_a_look_at_many_ends_early_says_so_and_goes_on(queue, monkeypatch):
    monkeypatch.setattr(search, "_FIRST", 10)
    monkeypatch.setattr(search, "MOST", 10)
    for number in range(35):
        queue.add(f"j{number}", command="needle" if number in (2, 33) else "hay")
    page = queries.page(text="needle")
    assert (ids(page), page.looked) == ({"j33"}, 10)
    seen, looks = set(), 0
    while page.older:
        page = queries.page(text="needle", before=page.older)
        seen |= ids(page)
        looks += 1
    assert (seen, looks, page.looked) == ({"j2"}, 3, None)
    back = queries.page(text="needle", after="0")
    assert (ids(back), back.looked) == ({"j2"}, 10)


def test_a_look_that_takes_too_long_ends_after_its_first_step(queue, monkeypatch):
    monkeypatch.setattr(search, "LOOK_S", 0)
    monkeypatch.setattr(search, "_FIRST", 5)
    for number in range(12):
        queue.add(f"j{number}")
    assert queries.page(text="j1").looked == 5


def test_a_queue_that_never_was_costs_no_look(queue, monkeypatch):
    queue.add("a")
    monkeypatch.setattr(search, "look", lambda *_: pytest.fail("it looked"))
    assert queries.page(queue="nowhere", text="a") == queries.Page([], None, None)


def test_a_look_ends_when_all_jobs_of_the_queue_are_found(queue, monkeypatch):
    monkeypatch.setattr(search, "_FIRST", 2)
    monkeypatch.setattr(search, "MOST", 2)
    for number in range(9):
        queue.add(f"j{number}", queue="mail" if number > 7 else "other")
    assert queries.page(queue="mail").looked is None


def test_the_dead_are_filtered_in_the_order_of_their_death(queue, clock):
    for job_id in ("a", "b", "c", "d"):
        clock.forward(1)
        run(queue, job_id, return_code=1, error="exit code 1: x" if job_id != "c" else "exit code 1: y")
    Job.update(finished_at=1).where(Job.id == "d").execute()
    page = dead_page(error="exit code 1: x", limit=2)
    assert [job.id for job in page.jobs] == ["b", "a"]
    rest = dead_page(error="exit code 1: x", limit=2, before=page.older)
    assert [job.id for job in rest.jobs] == ["d"]
    assert [job.id for job in dead_page(error="exit code 1: x", after=rest.newer, limit=2).jobs] == ["b", "a"]


def test_what_is_done_to_all_that_match_remembers_instants_not_ages(queue, clock):
    run(queue, "old", return_code=1)
    clock.forward(3 * 3600)
    run(queue, "new", return_code=1)
    operation = operations.begin("retry", actor="test", filters={"state": "dead", "since": "1h"})
    clock.forward(3 * 3600)
    assert operations.run(operation.pk).done == 1
    assert queue.state("new") == "pending"


@pytest.mark.parametrize("filter", [{"output": "boom"}, {"worker": "w1"}, {"exit_code": "3"}, {"error": "exit*"}])
def test_every_filter_can_choose_what_is_done_to_many(queue, filter):
    run(queue, "a", return_code=3, error="exit code 3", stderr=Output(b"boom", 4))
    run(queue, "b", worker="w2", return_code=1, error="killed")
    assert operations.expect("delete", filter) == 1
    assert operations.run(operations.begin("delete", actor="test", filters=filter).pk).done == 1
    assert queue.state("b") == "dead"
