"""Lists, filters, counts and the shapes that scripts rely on."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import jobs, queries
from engine.errors import InvalidInput, NotFound
from engine.jobs import Ending
from engine.output import Output
from models import STATES, Attempt, Job
from tests.engine.conftest import DONE, FAILED, counted, really


def ids(page: queries.Page) -> list[str]:
    return [job.id for job in page.jobs]


def walk_older(step: int = 3, between=lambda: None, **filters) -> list[str]:
    """All pages from the newest to the oldest."""
    page = queries.page(limit=step, **filters)
    seen = ids(page)
    while page.older:
        between()
        page = queries.page(limit=step, before=page.older, **filters)
        seen += ids(page)
    return seen


def walk_newer(step: int, after: str, between=lambda: None, **filters) -> list[str]:
    """All pages from a cursor up to the newest, oldest first."""
    page = queries.page(limit=step, after=after, **filters)
    seen = ids(page)[::-1]
    while page.newer:
        between()
        page = queries.page(limit=step, after=page.newer, **filters)
        seen += ids(page)[::-1]
    return seen


@pytest.fixture
def ten(queue) -> list[str]:
    """Ten jobs, newest first."""
    return [queue.add(f"j{n}") for n in range(10)][::-1]


# --- pages


def test_the_first_page_has_the_newest_jobs_and_nothing_newer(ten):
    page = queries.page(limit=4)
    assert (ids(page), page.newer) == (ten[:4], None)
    assert page.older


def test_the_last_page_has_nothing_older(ten):
    page = queries.page(limit=10)
    assert (ids(page), page.older) == (ten, None)


def test_an_empty_queue_is_one_empty_page(queue):
    assert queries.page() == queries.Page([], None, None)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 9, 10, 11])
def test_pages_to_the_oldest_show_every_job_once(ten, step):
    assert walk_older(step) == ten


@pytest.mark.parametrize("step", [1, 2, 3, 5, 9, 10, 11])
def test_pages_to_the_newest_show_every_job_once(ten, step):
    assert walk_newer(step, "0") == ten[::-1]


def test_the_way_back_shows_the_page_one_came_from(ten):
    first = queries.page(limit=3)
    second = queries.page(limit=3, before=first.older)
    back = queries.page(limit=3, after=second.newer)
    assert ids(back) == ids(first)


def test_a_page_that_lost_all_its_jobs_still_shows_a_way_on(ten):
    """The reader's cursor outlives the jobs it led to."""
    first = queries.page(limit=5)
    for name in ten[5:]:
        jobs.delete(name)
    page = queries.page(limit=5, before=first.older)
    assert page.newer


def test_new_jobs_do_not_shift_the_pages_of_who_is_reading(ten, queue):
    assert walk_older(3, between=queue.add) == ten


def test_deleted_jobs_do_not_shift_the_pages_of_who_is_reading(ten):
    read = []

    def delete_one_that_was_read():
        jobs.delete(ten[len(read)])
        read.append(1)

    assert walk_older(3, between=delete_one_that_was_read) == ten


@pytest.mark.parametrize("seed", range(8))
def test_jobs_that_stay_are_shown_once_whatever_comes_and_goes(queue, seed):
    rng = random.Random(seed)
    staying = [queue.add(f"stay{n}") for n in range(20)]
    leaving = [queue.add(f"leave{n}") for n in range(20)]

    def stir():
        if leaving and rng.random() < 0.6:
            jobs.delete(leaving.pop(rng.randrange(len(leaving))))
        if rng.random() < 0.6:
            queue.add()

    down = [name for name in walk_older(rng.randrange(1, 6), between=stir) if name.startswith("stay")]
    up = [name for name in walk_newer(rng.randrange(1, 6), "0", between=stir) if name.startswith("stay")]
    assert (down, up) == (staying[::-1], staying)


@pytest.mark.parametrize(
    "cursor", ["", "x", "-1", "1.5", "1e3", " 1", "٣", "9" * 19, "1;", "\udcff", "a\0"], ids=range(11)
)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_broken_cursor_is_refused_with_a_sentence(ten, cursor, side):
    with pytest.raises(InvalidInput, match=r"^This page's address is broken; go back to the first page\.$"):
        queries.page(**{side: cursor})


@pytest.mark.parametrize("cursor", ["0", "9" * 18])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_cursor_beyond_all_jobs_is_no_error(ten, cursor, side):
    assert len(queries.page(**{side: cursor}).jobs) in (0, 10)


# --- filters


@pytest.mark.parametrize("state", STATES)
def test_a_list_of_one_state_has_the_jobs_of_that_state(queue, state):
    for other in STATES:  # the waiting ones last, so that each claim takes the job it should
        if other not in ("pending", "failed"):
            queue.bring_to(other, f"is-{other}")
    queue.bring_to("failed", "is-failed")
    queue.bring_to("pending", "is-pending")
    assert ids(queries.page(state)) == [f"is-{state}"]


@pytest.mark.parametrize("state", ["", "done", "PENDING", "x" * 5000, "\udcff"], ids=range(5))
def test_an_unknown_state_is_refused_and_the_known_ones_are_named(queue, state):
    with pytest.raises(InvalidInput) as caught:
        queries.page(state)
    assert all(known in str(caught.value) for known in STATES)
    assert len(str(caught.value)) < 300


def test_a_list_of_one_queue_has_the_jobs_of_that_queue(queue):
    queue.add("a", queue="mail")
    queue.add("b", queue="mailbox")
    assert ids(queries.page(queue="mail")) == ["a"]


def test_text_is_found_in_ids_and_commands(queue):
    queue.add("needle-1")
    queue.add("b", command="sew --with needle")
    queue.add("c", command="hay")
    assert ids(queries.page(text="needle")) == ["b", "needle-1"]


@pytest.mark.parametrize(
    "odd", ["%", "_", "\\", "'", '"', "\\%", "%_", "[a-z]", "*", "?", "100%", "ü", "🎉", "\n", "--"]
)
def test_text_is_taken_literally(queue, odd):
    queue.add("with", command=f"echo a{odd}b")
    queue.add("without", command="echo aXXb 1000 abc z")
    assert ids(queries.page(text=f"a{odd}b")) == ["with"]


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(command=st.text("ab%_\\'\" ", min_size=1, max_size=8), text=st.text("ab%_\\'\" ", min_size=1, max_size=3))
def test_text_is_found_exactly_where_python_finds_it(queue, command, text):
    Job.delete().execute()
    queue.add("1", command=f"x{command}")
    assert bool(queries.page(text=text).jobs) == (text in f"x{command}")


@pytest.mark.parametrize("odd", ["a\0b", "\udcff", "x" * 100_000], ids=["NUL", "surrogate", "huge"])
def test_text_that_no_job_can_have_finds_nothing_or_is_refused(queue, odd):
    queue.add("1", command="echo a")
    try:
        found = queries.page(text=odd).jobs
    except InvalidInput:
        found = []
    assert found == []


@pytest.mark.parametrize("odd", ["a\0b", "\udcff", "x" * 100_000], ids=["NUL", "surrogate", "huge"])
@pytest.mark.parametrize("filter", ["queue", "tag"])
def test_a_queue_or_tag_that_no_job_can_have_finds_nothing_or_is_refused(queue, filter, odd):
    queue.add("1", tags=["a"])
    try:
        found = queries.page(**{filter: odd}).jobs
    except InvalidInput:
        found = []
    assert found == []


def test_a_tag_is_found_among_several(queue):
    queue.add("1", tags=["x", "nightly", "y"])
    queue.add("2", tags=["x"])
    queue.add("3")
    assert ids(queries.page(tag="nightly")) == ["1"]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("ab", "a"),
        ("ba", "a"),
        ('b"a', "a"),
        ("axb", "a_b"),
        ("ab", "a%"),
        ("a/b", "a"),
    ],
)
def test_a_tag_is_found_as_a_whole_word_only(queue, stored, asked):
    queue.add("1", tags=[stored])
    assert ids(queries.page(tag=asked)) == []


@pytest.mark.parametrize("tag", ["a", "%", "_", "\\", "'", '"', '\\"', "ü", "🎉", "[", "a/b", "\u0085x".strip()])
def test_a_tag_of_odd_characters_is_found(queue, tag):
    queue.add("1", tags=["first", tag])
    assert ids(queries.page(tag=tag)) == ["1"]


def test_filters_narrow_each_other(queue):
    queue.add("1", queue="mail", tags=["t"], command="echo x")
    queue.add("2", queue="mail", tags=["t"], command="echo y")
    queue.add("3", queue="mail", command="echo x")
    queue.add("4", tags=["t"], command="echo x")
    assert ids(queries.page("pending", queue="mail", tag="t", text="x")) == ["1"]


def test_filtered_pages_show_every_match_once(queue):
    matching = [queue.add(f"m{n}", tags=["t"]) for n in range(7) if queue.add(f"other{n}")]
    assert walk_older(2, tag="t") == matching[::-1]


# --- streams


def test_every_streams_all_jobs_with_the_output_of_their_newest_run(queue, clock):
    queue.add("twice")
    jobs.fail(queue.claim(), FAILED._replace(stdout=Output(b"first", 5)))
    clock.forward(2)
    jobs.complete(queue.claim(), DONE._replace(stdout=Output(b"second", 6)))
    queue.add("never-ran")
    assert [(row["id"], row["stdout"]) for row in queries.every()] == [("never-ran", ""), ("twice", "second")]


def test_every_streams_more_than_a_page(queue):
    stored = jobs.enqueue_many({"command": "true"} for _ in range(2 * queries.PAGE + 1))
    assert [row["id"] for row in queries.every()] == stored[::-1]


def test_every_reads_only_as_far_as_it_is_asked(queue, monkeypatch):
    jobs.enqueue_many({"command": "true"} for _ in range(3 * queries.PAGE))
    pages = []
    page = queries.page
    monkeypatch.setattr(queries, "page", lambda *args, **kwargs: pages.append(1) or page(*args, **kwargs))
    stream = queries.every()
    next(stream)
    assert len(pages) == 1


def test_every_takes_the_filters_of_a_page(queue):
    queue.add("1", queue="mail", tags=["t"])
    queue.add("2")
    assert [row["id"] for row in queries.every("pending", queue="mail", tag="t", text="1")] == ["1"]


def test_every_survives_jobs_that_are_deleted_under_it(queue):
    jobs.enqueue_many({"command": "true", "id": f"j{n}"} for n in range(2 * queries.PAGE))
    seen = 0
    for row in queries.every():
        jobs.delete(row["id"])
        seen += 1
    assert seen == 2 * queries.PAGE


# --- one job


def test_an_unknown_job_is_not_found(queue):
    with pytest.raises(NotFound, match=r"^There is no job 'nope'\.$"):
        queries.find("nope")


def test_runs_are_listed_newest_first_without_their_output(queue, clock):
    queue.add("job")
    for _ in range(3):
        jobs.release(queue.claim(), Ending(stdout=Output(b"x", 1)))
    runs = queries.attempts(queue.job("job"))
    assert [run.run for run in runs] == [3, 2, 1]
    assert {run.stdout for run in runs} == {None}


def test_no_more_than_a_hundred_runs_are_listed(queue):
    queue.add("job")
    for _ in range(105):
        jobs.release(queue.claim(), Ending())
    assert [run.run for run in queries.attempts(queue.job("job"))] == list(range(105, 5, -1))


def test_a_job_that_never_ran_has_no_attempt(queue):
    job = queue.job(queue.add())
    assert (queries.attempts(job), queries.attempt(job)) == ([], None)


def test_a_running_job_has_an_attempt_that_is_under_way(queue):
    held = queue.bring_to("processing")
    attempt = queries.attempt(queue.job("job"))
    assert (attempt.run, attempt.worker, attempt.outcome, attempt.finished_at) == (held.run, "w1", "running", None)


def test_each_run_can_be_asked_for_by_number(queue):
    queue.add("job")
    for word in (b"one", b"two"):
        jobs.release(queue.claim(), Ending(stdout=Output(word, 3)))
    job = queue.job("job")
    assert [queries.attempt(job, run).stdout for run in (1, 2)] == [b"one", b"two"]


@pytest.mark.parametrize("run", [0, 2, -1, 10**9])
def test_a_run_that_never_was_is_not_found(queue, run):
    queue.bring_to("completed")
    with pytest.raises(NotFound, match=rf"^Job job has no run {run}; it has had 1\.$"):
        queries.attempt(queue.job("job"), run)


def test_a_run_number_beyond_all_numbers_is_refused(queue):
    queue.bring_to("completed")
    with pytest.raises((NotFound, InvalidInput)):
        queries.attempt(queue.job("job"), 10**30)


def test_output_that_is_not_text_is_shown_with_replacement(queue):
    queue.add("job")
    jobs.complete(queue.claim(), DONE._replace(stdout=Output(b"a\xff\0b", 4)))
    (row,) = queries.every()
    assert row["stdout"] == "a\ufffd\0b"


def test_output_that_was_cut_says_how_much_is_missing(queue):
    queue.add("job")
    jobs.complete(queue.claim(), DONE._replace(stderr=Output(b"headtail", 5008, 4)))
    (row,) = queries.every()
    assert row["stderr"] == "head\n… 5,000 bytes left out …\ntail"


# --- counts and the overview


def test_every_state_is_counted_the_empty_ones_too(queue):
    assert queries.counts() == dict.fromkeys(STATES, 0)


def test_jobs_are_counted_by_state_and_queue(queue):
    queue.add(queue="mail")
    queue.add(queue="mail")
    queue.add()
    jobs.complete(queue.claim(), DONE)
    assert (queries.counts()["pending"], queries.counts("mail")["completed"]) == (2, 1)
    assert queries.counts("nowhere") == dict.fromkeys(STATES, 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_counters_are_right_after_anything(queue, seed):
    rng = random.Random(seed)
    held = []
    for _ in range(150):
        act = rng.randrange(9)
        names = [name for (name,) in Job.select(Job.id).where(Job.state != "deleted").tuples()]
        name = rng.choice(names) if names else None
        if act < 3 or name is None:
            queue.add(queue=rng.choice(["a", "b"]), max_retries=rng.randrange(2))
        elif act == 3 and (claim := jobs.claim("w1", "host")):
            held.append(claim)
        elif act == 4 and held:
            claim = held.pop(rng.randrange(len(held)))
            rng.choice([jobs.complete, jobs.fail, jobs.release])(claim, FAILED)
        elif act == 5 and held:
            claim = held.pop()
            jobs.lose(claim.pk, claim.run, claim.worker, claim.host, "killed")
        elif act == 6 and queue.state(name) in ("pending", "failed", "processing"):
            jobs.cancel(name)
        elif act == 7 and queue.state(name) in jobs.RETRYABLE:
            jobs.retry(name)
        elif act == 8 and queue.state(name) != "processing":
            jobs.delete(name)
        assert counted() == really()


def test_a_transaction_that_is_undone_counts_nothing(queue):
    with pytest.raises(InvalidInput):
        jobs.enqueue_many([{"command": "true"}, {"command": ""}])
    assert counted() == {}


def test_the_queues_that_hold_jobs_are_named(queue):
    queue.add(queue="zeta")
    queue.add(queue="alpha")
    assert queries.queues() == ["alpha", "zeta"]


def test_running_jobs_are_listed_the_longest_first(queue, clock):
    for name in ("a", "b", "c"):
        queue.add(name)
    first = queue.claim()
    clock.forward(1)
    second = queue.claim()
    assert [job.id for job in queries.running()] == [first.id, second.id]


def test_the_last_failures_are_those_that_failed_last(queue, clock):
    """Not those that were enqueued last."""
    queue.add("old", max_retries=0)
    held = queue.claim()
    for n in range(12):
        queue.add(f"young{n}", max_retries=0)
        jobs.fail(queue.claim(), FAILED)
    clock.forward(60)
    jobs.fail(held, FAILED)
    assert queries.last_failures(10)[0].id == "old"


def test_the_last_failures_hold_the_dead_and_those_that_wait_for_a_retry(queue, clock):
    queue.bring_to("dead", "dead")
    clock.forward(1)
    queue.bring_to("failed", "failed")
    queue.bring_to("completed", "completed")
    assert [job.id for job in queries.last_failures()] == ["failed", "dead"]


# --- shapes

PROMISED = (
    "id, command, state, attempts, max_retries, created_at, updated_at, next_run_at, locked_by, locked_at, "
    "priority, return_code, stdout, stderr, duration_ms, last_error"
)


@pytest.mark.parametrize("state", STATES)
def test_a_job_in_json_carries_all_that_is_promised(queue, state):
    queue.bring_to(state)
    (row,) = queries.every()
    assert set(PROMISED.split(", ")) <= set(row)


def test_a_job_in_json_has_plain_values(queue, clock):
    clock.now = 1_762_252_200_999
    queue.add("job", command="echo hi", timeout_sec=1.5, tags=["t"], env={"A": "b"})
    jobs.fail(queue.claim(), FAILED._replace(stdout=Output(b"out", 3), stderr=Output(b"err", 3)))
    assert next(queries.every()) == {
        "id": "job",
        "command": "echo hi",
        "state": "failed",
        "attempts": 1,
        "max_retries": 3,
        "priority": 0,
        "queue": "default",
        "created_at": "2025-11-04T10:30:00Z",
        "updated_at": "2025-11-04T10:30:00Z",
        "next_run_at": "2025-11-04T10:30:02Z",
        "locked_by": None,
        "locked_at": None,
        "finished_at": None,
        "return_code": 1,
        "duration_ms": 5,
        "last_error": "exit code 1",
        "run": 1,
        "crashes": 0,
        "origin": None,
        "cancel_requested": False,
        "timeout_sec": 1.5,
        "cwd": None,
        "env": {"A": "b"},
        "tags": ["t"],
        "stdout": "out",
        "stderr": "err",
    }


def test_an_attempt_in_json_has_no_output_but_its_size(queue):
    queue.add("job")
    jobs.complete(queue.claim(), DONE._replace(stdout=Output(b"out", 3)))
    shown = queries.attempt_as_json(queries.attempts(queue.job("job"))[0])
    assert (shown["outcome"], shown["stdout_bytes"]) == ("success", 3)
    assert set(shown).isdisjoint({"stdout", "stderr"})


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00Z"),
        (999, "1970-01-01T00:00:00Z"),
        (1_762_252_200_000, "2025-11-04T10:30:00Z"),
        (253_402_300_799_000, "9999-12-31T23:59:59Z"),
    ],
)
def test_instants_are_shown_in_utc_to_the_second(ms, text):
    assert queries.iso(ms) == text


@settings(max_examples=200, deadline=None, database=None)
@given(st.integers(0, 253_402_300_799_000))
def test_an_instant_that_is_shown_can_be_read_again(ms):
    assert datetime.fromisoformat(queries.iso(ms)) == datetime.fromtimestamp(ms // 1000, UTC)


def test_attempts_are_stored_once_a_run(queue):
    queue.bring_to("failed")
    assert Attempt.select().count() == 1
