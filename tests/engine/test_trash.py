"""A deleted job is hidden, its id free, and it comes back as it was; a retry can be withdrawn; a job made from another."""

from __future__ import annotations

import pytest

import models
from engine import dlq, jobs, queries, transfer, trash
from engine.errors import NotFound, Refused
from models import STATES, Job
from tests.engine.conftest import DONE, FAILED, counted, really
from tests.support import dead_page

NOT_RUNNING = [state for state in STATES if state != "processing"]


@pytest.mark.parametrize("state", NOT_RUNNING)
def test_a_deleted_job_comes_back_as_it_was(queue, clock, state):
    queue.bring_to(state)
    before = queue.snapshot("job")
    token = jobs.delete("job")
    clock.forward(60)
    assert jobs.undelete(token) == "job"
    assert queue.snapshot("job") == before
    assert counted() == really() == {("default", state): 1}


@pytest.mark.parametrize("state", NOT_RUNNING)
def test_a_deleted_job_is_nowhere(queue, state):
    queue.bring_to(state)
    token = jobs.delete("job")
    for job_id in ("job", token):
        with pytest.raises(NotFound):
            queries.find(job_id)
        for act in (jobs.retry, jobs.cancel, jobs.delete, jobs.run_now, jobs.unretry, dlq.retry):
            with pytest.raises(NotFound):
                act(job_id)
    assert queries.page().jobs == dead_page().jobs == queries.last_failures() == []
    assert queries.page(text="true").jobs == list(queries.every()) == []
    assert set(queries.counts().values()) == {0}
    assert dlq.retry_all() == 0
    assert jobs.claim("w1", "host") is None
    assert not [line for line in transfer.export() if b'"job"' in line and b"command" in line]


def test_the_id_of_a_deleted_job_is_free(queue):
    queue.add("job", command="echo old")
    token = jobs.delete("job")
    queue.add("job", command="echo new")
    with pytest.raises(Refused, match="There is another job job now"):
        jobs.undelete(token)
    jobs.delete("job")
    jobs.undelete(token)
    assert queue.job("job").command == "echo old"


def test_by_its_id_the_job_that_was_deleted_last_comes_back(queue, clock):
    for command in ("first", "second"):
        queue.add("job", command=command)
        jobs.delete("job")
        clock.forward(1)
    jobs.undelete("job")
    assert queue.job("job").command == "second"


@pytest.mark.parametrize("token", ["", "~", "~1", "~x", "job", "nothing", "é" * 200])
def test_what_is_not_in_the_trash_does_not_come_back(queue, token):
    queue.add("job")
    with pytest.raises(NotFound, match="in the trash"):
        jobs.undelete(token)


def test_the_trash_is_listed_the_last_deleted_first(queue, clock):
    for job_id in ("one", "two"):
        queue.bring_to("dead", job_id)
        jobs.delete(job_id)
        clock.forward(1)
    assert [(row.id, row.state) for row in trash.listed()] == [("two", "dead"), ("one", "dead")]
    assert trash.count() == 2
    assert trash.listed()[0].until == clock.now - 1000 + 3_600_000
    assert trash.listed(1)[0].as_json()["token"] == f"~{Job.get(Job.deleted_id == 'two').pk}"


# --- a retry is withdrawn


@pytest.mark.parametrize("state", jobs.RETRYABLE)
def test_a_retry_is_withdrawn_as_if_it_had_not_been(queue, clock, state):
    queue.bring_to(state)
    Job.update(crashes=1).execute()
    stood = [getattr(queue.job("job"), name) for name in ("attempts", "crashes", "next_run_at", "finished_at", "run")]
    clock.forward(60)
    jobs.retry("job")
    assert jobs.unretry("job") == state
    job = queue.job("job")
    assert [getattr(job, name) for name in ("attempts", "crashes", "next_run_at", "finished_at", "run")] == stood
    with pytest.raises(Refused):
        jobs.unretry("job")


def test_a_retry_that_a_worker_took_is_not_withdrawn(queue):
    queue.bring_to("dead")
    jobs.retry("job")
    held = queue.claim()
    with pytest.raises(
        Refused, match=r"^Job job is processing; a retry can be withdrawn until a worker takes the job\.$"
    ):
        jobs.unretry("job")
    jobs.release(held, FAILED)
    with pytest.raises(Refused, match="has run since"):
        jobs.unretry("job")


def test_a_job_that_was_not_retried_has_nothing_to_withdraw(queue):
    queue.add("job")
    with pytest.raises(Refused, match="was not retried"):
        jobs.unretry("job")


# --- another priority, a copy


def test_a_waiting_job_gets_another_priority_and_is_taken_by_it(queue):
    queue.add("early")
    queue.add("late")
    assert jobs.set_priority("late", 5) == 5
    assert queue.claim().id == "late"
    with pytest.raises(Refused, match="is processing; only pending and failed jobs can be given another priority"):
        jobs.set_priority("late", 1)


def test_a_job_made_from_another_has_all_of_it_and_says_so(queue):
    queue.add("old", queue="mail", priority=3, max_retries=0, timeout_sec=1.5, cwd="/", env={"A": "b"}, tags=["x"])
    jobs.complete(queue.claim(), DONE)
    new = jobs.enqueue(jobs.payload_of(queue.job("old")) | {"command": "echo new"}, origin="old")
    one, other = (queries.as_json(queue.job(job_id)) for job_id in ("old", new))
    same = ("queue", "priority", "max_retries", "timeout_sec", "cwd", "env", "tags")
    assert [one[name] for name in same] == [other[name] for name in same]
    assert (one["origin"], other["origin"], other["command"]) == (None, "old", "echo new")
    assert [job.id for job in queries.made_from(queue.job("old"))] == [new]


def test_every_field_that_can_be_enqueued_is_in_the_payload_of_a_job(queue):
    from engine import spec

    queue.add("old", timeout_sec=1, cwd="/", env={"A": "b"}, tags=["x"])
    assert set(jobs.payload_of(queue.job("old"))) == set(spec.FIELDS) - {"id", "run_at"}


# --- the indexes


def test_the_trash_is_read_by_its_indexes(queue):
    from engine import dialect

    for sql, params, index in (
        (dialect.TRASH, (5,), "job_trash"),
        (dialect.TRASH_OF_ID, ("x",), "job_trash_id"),
        (dialect.OLD_TRASH, (0, 0, 9, 5), "job_trash"),
    ):
        steps = [step for *_, step in models.db.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params)]
        assert len(steps) == 1 or steps[1:] == ["USE TEMP B-TREE FOR ORDER BY"]
        assert f"INDEX {index}" in steps[0]
