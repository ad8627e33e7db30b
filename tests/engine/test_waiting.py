"""Why a job is not running: the reasons, how many are ahead, and the way to run it at once."""

from __future__ import annotations

import pytest

import models
from engine import jobs, waiting
from engine.errors import Refused
from engine.jobs import Ending
from models import Job, Queue, Supervisor, Worker
from tests.engine.conftest import DONE


def reasons(queue, job_id: str = "job") -> list[waiting.Reason]:
    return waiting.reasons(queue.job(job_id))


def causes(queue, job_id: str = "job") -> list[str]:
    return [reason.cause for reason in reasons(queue, job_id)]


def text(queue, job_id: str = "job") -> str:
    (reason,) = reasons(queue, job_id)
    return reason.sentence()


def add_workers(queue, count: int, **columns) -> None:
    for _ in range(count):
        fields = {"host": "here", "status": "running", "created_at": queue.clock(), **columns}
        Worker.insert(fields).execute()


def test_only_a_waiting_job_has_reasons(queue):
    for state in ("completed", "dead", "cancelled"):
        queue.bring_to(state, state)
        assert reasons(queue, state) == []
    queue.add("job")
    queue.claim()
    assert reasons(queue) == []


def test_without_workers_one_must_be_started(queue):
    queue.add("job")
    (reason,) = reasons(queue)
    assert reason == ("no worker", "No worker is running; it runs when one is started", None, "start")


def test_a_job_for_later_says_when(queue):
    add_workers(queue, 1)
    queue.add("job", run_at="+10m")
    (reason,) = reasons(queue)
    assert (reason.cause, reason.at, reason.remedy) == ("time", queue.clock() + 600_000, "run now")
    assert reason.sentence() == "It is not to run before 2025-10-09T09:03:20Z."


def test_a_failed_job_waits_out_its_backoff(queue, no_jitter):
    add_workers(queue, 1)
    queue.bring_to("failed")
    (reason,) = reasons(queue)
    assert (reason.cause, reason.at) == ("backoff", queue.clock() + 2000)
    assert reason.text == "Attempt 2 of 4 starts at"


def test_time_is_not_the_only_reason_when_nobody_would_take_it_then(queue):
    queue.add("job", run_at="+10m")
    assert causes(queue) == ["time", "no worker"]


def test_workers_that_leave_take_no_job(queue):
    add_workers(queue, 2, desired="drain")
    queue.add("job")
    assert text(queue) == "All 2 workers take no more jobs: told to leave."


def test_workers_whose_supervisor_is_silent_are_not_counted_on(queue):
    add_workers(queue, 1)
    Supervisor.insert(host="here", pid=1, started_at=1, beat_at=queue.clock()).execute()
    queue.add("job")
    assert causes(queue) == ["turn"]
    queue.clock.forward(60)
    (reason,) = reasons(queue)
    assert (reason.cause, reason.at, reason.remedy) == ("silent", queue.clock() - 60_000, "look")


def limit(name: str, **columns) -> None:
    Queue.insert({"name": name, "actor": "test", "updated_at": 1, **columns}).execute()


def test_a_paused_queue_is_the_reason(queue):
    add_workers(queue, 1)
    limit("mail", paused=True)
    queue.add("job", queue="mail")
    assert reasons(queue) == [("paused", "The queue mail is paused", None, "resume")]


def test_a_queue_at_its_limit_is_the_reason(queue):
    add_workers(queue, 5)
    limit("mail", max_running=2)
    for worker in ("w1", "w2"):
        queue.add(queue="mail")
        queue.claim(worker)
    queue.add("job", queue="mail")
    assert reasons(queue) == [("limit", "The queue mail runs 2 of at most 2 jobs", None, "raise")]
    queue.add("other")
    assert causes(queue, "other") == ["turn"]


def test_below_its_limit_a_queue_is_no_reason(queue):
    add_workers(queue, 1)
    limit("default", max_running=2)
    queue.add("job")
    assert causes(queue) == ["turn"]


def test_busy_workers_are_counted(queue):
    add_workers(queue, 2)
    for worker in ("w1", "w2"):
        queue.add()
        queue.claim(worker)
    queue.add("job")
    assert text(queue) == "All 2 workers are busy; it is next."


def test_who_is_next_and_has_a_free_worker_is_told_so(queue):
    add_workers(queue, 1)
    queue.add("job")
    assert text(queue) == "It is next; a free worker takes it now."


def test_the_pace_is_that_of_the_last_jobs(queue):
    add_workers(queue, 2)
    queue.add()
    jobs.complete(queue.claim(), DONE._replace(duration_ms=10_000))
    for _ in range(41):
        queue.add()
    queue.add("job")
    assert text(queue) == "41 jobs are ahead of it, about 3 min."


def test_ahead_are_those_that_a_claim_would_take_first(queue):
    add_workers(queue, 1)
    queue.add("early")
    queue.clock.forward(1)
    queue.add("twin")
    queue.add("job")
    queue.add("younger")
    queue.add("urgent", priority=5, queue="mail")
    queue.add("urgent-later", priority=5, run_at="+1h")
    queue.add("idle", priority=-5)
    queue.clock.forward(1)
    assert waiting.ahead(queue.job("job"), queue.clock()) == 3
    assert [queue.claim().id for _ in range(4)] == ["urgent", "early", "twin", "job"]


def test_ahead_is_what_claims_say_whatever_waits(queue):
    """Of fifty jobs over queues, priorities and instants, each knows its place."""
    for number in range(50):
        queue.add(f"j{number}", queue="abc"[number % 3], priority=number * 7 % 5 - 2)
        if number % 4 == 0:
            queue.clock.forward(1)
    places = {job.id: waiting.ahead(job, queue.clock()) for job in Job.select()}
    order = [queue.claim().id for _ in range(50)]
    assert [places[job_id] for job_id in order] == list(range(50))


def test_a_crowd_is_counted_up_to_a_limit(queue, monkeypatch):
    monkeypatch.setattr(waiting, "MOST", 3)
    add_workers(queue, 1)
    for _ in range(5):
        queue.add()
    queue.add("job")
    assert text(queue) == "More than 3 jobs are ahead of it."
    plan = models.db.execute_sql(
        "EXPLAIN QUERY PLAN " + waiting.dialect.AHEAD,
        {"now": 1, "priority": 0, "next_run_at": 0, "pk": 1, "most": 3},
    ).fetchall()
    seeks = [row[3] for row in plan if "SEARCH j " in row[3]]
    assert any("queue=? AND priority=? AND next_run_at<?" in seek for seek in seeks)
    assert not [seek for seek in seeks if "priority>?" in seek], "a level is sought, not a range of them"


def test_run_now_ends_the_wait_and_keeps_the_count(queue):
    queue.bring_to("failed")
    jobs.run_now("job")
    assert queue.job("job").attempts == 1
    assert queue.claim().id == "job"


def test_run_now_brings_a_job_for_later_forward(queue):
    queue.add("job", run_at="+1d")
    jobs.run_now("job")
    held = queue.claim()
    jobs.complete(held, Ending(return_code=0))


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("pending", "Job job is due already; a free worker takes it in its turn."),
        ("completed", "Job job is completed; only pending and failed jobs can be run now."),
        ("dead", "Job job is dead; only pending and failed jobs can be run now."),
    ],
)
def test_run_now_is_refused_where_nothing_waits(queue, state, sentence):
    queue.bring_to(state)
    before = queue.snapshot("job")
    with pytest.raises(Refused, match=sentence):
        jobs.run_now("job")
    assert queue.snapshot("job") == before
