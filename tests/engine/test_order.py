"""Which job is claimed next, and what it costs to find it."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from engine import causes, database, dialect, jobs, queries, trash
from engine.jobs import Ending, ends
from models import STATES, Job
from tests.engine.conftest import FAILED
from tests.support import dead_page

quick = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# --- order


def test_a_higher_priority_runs_first(queue, clock):
    queue.add("low", priority=-1)
    clock.forward(1)
    queue.add("high", priority=5)
    clock.forward(1)
    queue.add("middle")
    assert [queue.claim().id for _ in range(3)] == ["high", "middle", "low"]


def test_of_one_priority_the_oldest_runs_first(queue, clock):
    for name in ("a", "b", "c"):
        queue.add(name)
        clock.forward(1)
    assert [queue.claim().id for _ in range(3)] == ["a", "b", "c"]


def test_jobs_of_the_same_instant_run_in_the_order_they_came(queue):
    ids = jobs.enqueue_many({"command": "true"} for _ in range(20))
    assert [queue.claim().id for _ in range(20)] == ids


def test_the_oldest_is_the_one_due_longest(queue, clock):
    queue.add("early-bird", run_at="+5s")
    clock.forward(1)
    queue.add("first-due")
    clock.forward(10)
    assert queue.claim().id == "first-due"


def test_a_job_of_high_priority_that_is_not_due_lets_others_go_first(queue, clock):
    queue.add("later", priority=100, run_at="+1h")
    queue.add("now", priority=-100)
    assert queue.claim().id == "now"


def test_priority_counts_across_queues(queue):
    queue.add("a", queue="alpha", priority=1)
    queue.add("z", queue="zeta", priority=2)
    queue.add("m", queue="mid", priority=3)
    assert [queue.claim().id for _ in range(3)] == ["m", "z", "a"]


def test_age_counts_across_queues(queue, clock):
    queue.add("z", queue="zeta")
    clock.forward(1)
    queue.add("a", queue="alpha")
    assert queue.claim().id == "z"


def test_a_retry_that_is_due_takes_its_place_by_priority(queue, clock):
    queue.add("retry", priority=5)
    jobs.fail(queue.claim(), FAILED)
    queue.add("other", priority=4)
    clock.forward(2)
    assert queue.claim().id == "retry"


waiting_jobs = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "default", "z"]),
        st.one_of(st.integers(-3, 3), st.sampled_from([-100, 100])),
        st.integers(-5, 5),  # seconds from now until it is due
        st.sampled_from(["pending", "failed", "processing", "completed", "dead", "cancelled"]),
    ),
    max_size=25,
)


def _store(jobs_given, now: int) -> list[Job]:
    Job.delete().execute()
    with models.db.transaction():
        for number, (name, priority, due_s, state) in enumerate(jobs_given):
            Job.insert(
                id=f"j{number}",
                command="true",
                queue=name,
                priority=priority,
                next_run_at=now + due_s * 1000,
                state=state,
                locked_by="w9" if state == "processing" else None,
                created_at=now,
                updated_at=now,
            ).execute()
    return list(Job.select().order_by(Job.pk))


def _is_waiting(job: Job) -> bool:
    return job.state in ("pending", "failed")


@quick
@given(stored=waiting_jobs)
def test_jobs_are_claimed_as_a_plain_sort_would_order_them(queue, stored):
    now = queue.clock.now
    due = [job for job in _store(stored, now) if _is_waiting(job) and job.next_run_at <= now]
    due.sort(key=lambda job: (-job.priority, job.next_run_at, job.pk))
    claimed = [held.id for held in iter(lambda: jobs.claim("w1", "host"), None)]
    assert claimed == [job.id for job in due]


@quick
@given(stored=waiting_jobs)
def test_the_next_due_instant_is_the_least_of_all_waiting(queue, stored):
    waiting = [job.next_run_at for job in _store(stored, queue.clock.now) if _is_waiting(job)]
    found = models.db.execute_sql(dialect.NEXT_DUE).fetchone()[0]
    assert found == min(waiting, default=None)


# --- plans


def _plan(sql: str, params=()) -> list[str]:
    return [row[3] for row in models.db.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params)]


def _sent(monkeypatch, act) -> list[tuple[str, list]]:
    """The SELECTs that `act` sends."""
    sent = []
    execute = models.db.obj.execute_sql

    def spied(sql, params=None):
        sent.append((sql, params or []))
        return execute(sql, params)

    monkeypatch.setattr(models.db.obj, "execute_sql", spied)
    act()
    monkeypatch.undo()
    return [(sql, params) for sql, params in sent if sql.lstrip().startswith("SELECT")]


@pytest.fixture(params=["empty", "full", "analysed"])
def filled(queue, request):
    """Plans must not depend on how many jobs there are, nor on whether SQLite has statistics."""
    if request.param != "empty":
        models.db.connection().executemany(
            "INSERT INTO job (id, queue, state, priority, next_run_at, run, attempts, crashes, max_retries,"
            " cancel_requested, locked_by, created_at, updated_at, finished_at, command)"
            " VALUES (?1, 'default', ?2, ?3 % 5, ?3, 0, 0, 0, 3, 0, iif(?2 = 'processing', 'w1', NULL), 0, 0, ?3, 'true')",
            [(f"j{number}", STATES[number % len(STATES)], number) for number in range(600)],
        )
    if request.param == "analysed":
        models.db.execute_sql("ANALYZE")
    return queue


CLAIM_PLANS = {
    "claim": (dialect.CLAIM, {"worker": "w1", "reach": 1, "decided": 0, "now": 0}),
    "next due": (dialect.NEXT_DUE, {}),
}


@pytest.mark.parametrize(("sql", "params"), CLAIM_PLANS.values(), ids=CLAIM_PLANS)
def test_work_is_found_by_the_indexes_of_what_waits_alone(filled, sql, params):
    steps = [step for step in _plan(sql, params) if " job" in step or " j " in step or " due " in step]
    ways = {step.split(" USING ")[1].split(" (")[0] for step in steps}
    assert ways <= {"INDEX job_claim", "INDEX job_due", "INTEGER PRIMARY KEY"}
    assert "INDEX job_claim" in ways


@pytest.mark.parametrize(("sql", "params"), CLAIM_PLANS.values(), ids=CLAIM_PLANS)
def test_work_is_found_by_seeks_and_one_first_entry(filled, sql, params):
    """The only SCAN of job is the first entry of an index (LIMIT 1), which names the first queue or priority."""
    scans = [step for step in _plan(sql, params) if step.startswith(("SCAN j", "SCAN due"))]
    assert sorted(scans) in (
        ["SCAN job USING INDEX job_claim"],
        ["SCAN job USING INDEX job_claim", "SCAN job USING INDEX job_due"],
    )


def test_a_run_is_ended_by_its_row_number(filled):
    params = dict.fromkeys(
        (
            "pk",
            "run",
            "worker",
            "now",
            "state",
            "failures",
            "crashes",
            "next_run_at",
            "return_code",
            "duration_ms",
            "error",
            "cause",
        )
    )
    assert _plan(dialect.END, params) == ["SEARCH job USING INTEGER PRIMARY KEY (rowid=?)"]


def test_many_runs_are_ended_by_their_row_numbers(filled):
    many = database.together(dialect.END, ends._OWN)
    steps = _plan(many.sql, many.parameters(defaultdict(int), [(1,) * len(ends._OWN)]))
    assert [step for step in steps if " job" in step] == ["SEARCH job USING INTEGER PRIMARY KEY (rowid=?)"]
    # Only the rows that were given are read as they stand; how SQLite names that differs from version to version.
    assert not [step for step in steps if step.startswith("SCAN") and step.split()[1] in models.db.get_tables()]


@pytest.mark.parametrize("cursor", [{}, {"before": "300"}, {"after": "300"}], ids=["first", "older", "newer"])
@pytest.mark.parametrize("state", STATES)
def test_a_page_of_one_state_is_read_in_order_from_an_index(filled, monkeypatch, state, cursor):
    ((sql, params),) = _sent(monkeypatch, lambda: queries.page(state, **cursor))
    (step,) = _plan(sql, params)
    assert step.startswith("SEARCH t1 USING INDEX job_")


@pytest.mark.parametrize("cursor", [{}, {"before": "300"}, {"after": "300"}], ids=["first", "older", "newer"])
def test_a_page_of_all_jobs_is_read_in_the_order_of_the_table(filled, monkeypatch, cursor):
    ((sql, params),) = _sent(monkeypatch, lambda: queries.page(**cursor))
    (step,) = _plan(sql, params)
    assert step in (
        "SCAN t1",
        "SEARCH t1 USING INTEGER PRIMARY KEY (rowid<?)",
        "SEARCH t1 USING INTEGER PRIMARY KEY (rowid>?)",
    )


def test_the_last_failures_are_found_without_reading_all_of_them(filled, monkeypatch):
    ((sql, params),) = _sent(monkeypatch, queries.last_failures)
    assert _plan(sql, params) == ["SCAN job USING INDEX job_failures"]  # from its end, up to the limit


@pytest.mark.parametrize("cursor", [{}, {"before": "300-3"}, {"after": "300-3"}], ids=["first", "older", "newer"])
def test_a_page_of_the_dead_is_read_in_the_order_of_their_death(filled, monkeypatch, cursor):
    ((sql, params),) = _sent(monkeypatch, lambda: dead_page(**cursor))
    (step,) = _plan(sql, params)  # one step: nothing is sorted
    assert " USING INDEX job_dead" in step


def test_the_job_a_worker_holds_is_found_among_the_running_alone(filled):
    held = Job.select(Job.pk, Job.run).where(Job.state == "processing", Job.locked_by == "w1")
    (step,) = _plan(*held.sql())
    assert step.startswith("SEARCH t1 USING INDEX job_")


def test_the_newest_output_of_a_page_is_found_by_keys(queue, monkeypatch):
    queue.bring_to("completed")
    sent = _sent(monkeypatch, lambda: list(queries.every()))
    steps = [step for sql, params in sent if 'FROM "attempt"' in sql for step in _plan(sql, params)]
    assert steps
    assert not [step for step in steps if step.startswith("SCAN") or "TEMP" in step]


def test_the_jobs_of_a_bulk_retry_are_found_by_an_index(filled):
    dead = Job.select(Job.pk).where(Job.state == "dead", Job.pk <= 500).order_by(Job.pk).limit(500)
    (step,) = _plan(*dead.sql())
    assert "USING COVERING INDEX job_state" in step


def test_every_index_of_a_job_serves_a_statement(filled, monkeypatch):
    """An index that no statement uses is paid for at every write."""

    def all_reads():
        queries.page("dead")
        dead_page()
        causes.by_count()
        queries.last_failures()
        queries.running()
        Job.get_or_none(Job.id == "j1")
        list(Job.select(Job.pk).where(Job.state == "processing", Job.locked_by == "w1"))
        queries.made_from(Job(id="j1"))
        trash.listed()
        list(Job.raw(dialect.TRASH_OF_ID, "j1"))
        list(Job.select(Job.pk).where(Job.operation == 1, Job.state == "deleted").order_by(Job.pk))

    steps = [step for sql, params in _sent(monkeypatch, all_reads) for step in _plan(sql, params)]
    steps += _plan(*CLAIM_PLANS["claim"])
    named = models.db.execute_sql("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'job'")
    unused = {name for (name,) in named if not any(f"INDEX {name}" in step for step in steps)}
    assert unused == set()


# --- costs


def _steps(act) -> int:
    """How many tens of SQLite's own instructions `act` takes: a measure that no clock disturbs."""
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    connection = models.db.connection()
    connection.set_progress_handler(tick, 10)
    act()
    connection.set_progress_handler(None, 0)
    return ticks


def _claim_and_give_back() -> None:
    jobs.release(jobs.claim("w1", "host"), Ending())


def _delayed(count: int, priorities) -> None:
    jobs.enqueue_many(
        {"command": "true", "priority": priorities[n % len(priorities)], "run_at": "+1d"} for n in range(count)
    )


def test_delayed_jobs_of_higher_priority_cost_a_claim_no_more_than_their_first(queue):
    queue.add("due")
    _delayed(5, [1, 2, 3, 4, 5])
    few = _steps(_claim_and_give_back)
    _delayed(20_000, [1, 2, 3, 4, 5])
    assert _steps(_claim_and_give_back) <= few * 1.1


def test_a_delayed_level_costs_a_claim_a_few_steps(queue):
    queue.add("due")
    alone = _steps(_claim_and_give_back)
    _delayed(100, range(1, 101))
    assert _steps(_claim_and_give_back) <= alone * 1.5 * 100


def test_ended_jobs_cost_a_claim_nothing(queue):
    queue.add("due")
    alone = _steps(_claim_and_give_back)
    jobs.enqueue_many({"command": "true"} for _ in range(5000))
    Job.update(state="completed").where(Job.id != "due").execute()
    assert _steps(_claim_and_give_back) <= alone * 1.1


def test_jobs_that_wait_their_turn_cost_a_claim_nothing(queue):
    queue.add("due", priority=1)
    jobs.enqueue_many([{"command": "true"}])
    few = _steps(_claim_and_give_back)
    jobs.enqueue_many({"command": "true"} for _ in range(5000))
    assert _steps(_claim_and_give_back) <= few * 1.1


def test_a_claim_that_finds_nothing_costs_little_among_delayed_jobs(queue):
    _delayed(5, [1, 2, 3, 4, 5])
    few = _steps(lambda: jobs.claim("w1", "host"))
    _delayed(5000, [1, 2, 3, 4, 5])
    assert _steps(lambda: jobs.claim("w1", "host")) <= few * 1.1


def test_asking_for_the_next_due_instant_costs_the_same_for_many_jobs(queue):
    _delayed(5, [1, 2, 3, 4, 5])
    few = _steps(lambda: models.db.execute_sql(dialect.NEXT_DUE).fetchone())
    _delayed(5000, [1, 2, 3, 4, 5])
    assert _steps(lambda: models.db.execute_sql(dialect.NEXT_DUE).fetchone()) <= few * 1.1


def test_the_first_page_costs_the_same_for_many_jobs(queue):
    jobs.enqueue_many({"command": "true"} for _ in range(queries.PAGE + 1))
    few = _steps(lambda: queries.page("pending"))
    jobs.enqueue_many({"command": "true"} for _ in range(5000))
    assert _steps(lambda: queries.page("pending")) <= few * 1.1


def test_counting_the_states_costs_the_same_for_many_jobs(queue):
    queue.add()
    few = _steps(queries.counts)
    jobs.enqueue_many({"command": "true"} for _ in range(5000))
    assert _steps(queries.counts) <= few * 1.1 + 1
