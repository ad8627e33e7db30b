"""Several ends stored and several jobs claimed in one transaction, and queues that hand out nothing."""

from __future__ import annotations

from typing import Any

import pytest

import models
from engine import config, dialect, jobs
from engine.jobs import Ended, Ending
from engine.output import Output
from models import Attempt, Job
from models import Queue as QueueRow
from tests.engine.conftest import DONE, FAILED, counted, really


def _claimed(reach: int = 8, worker: str = "w1") -> list[str]:
    return [held.id for held in _turn(reach=reach, worker=worker)]


def _turn(*, reach: int, worker: str = "w1", **held):
    claims, stale = jobs.turn(worker, "host", reach=reach, **held)
    assert stale == []
    return claims


def _next_due():
    return models.db.execute_sql(dialect.NEXT_DUE).fetchone()[0]


# --- claiming several


def test_several_are_claimed_in_the_order_they_became_due(queue):
    for number in (3, 1, 2):
        queue.clock.forward(1)
        queue.add(f"j{number}")
    assert _claimed(2) == ["j3", "j1"]
    assert _claimed(2) == ["j2"]
    assert _claimed(2) == []


def test_a_job_of_a_lower_priority_is_not_claimed_together_with_a_higher_one(queue):
    queue.add("low")
    queue.add("high", priority=5)
    assert _claimed() == ["high"]
    assert _claimed() == ["low"]


def _three_of_two_queues(queue) -> None:
    for job_id, name in (("first", "mail"), ("second", "video"), ("third", "mail")):
        queue.add(job_id, queue=name)
        queue.clock.forward(1)


def test_jobs_of_all_queues_are_claimed_together(queue):
    _three_of_two_queues(queue)
    assert _claimed() == ["first", "second", "third"]


def test_jobs_of_one_queue_are_claimed_together_when_a_queue_is_limited(queue):
    _three_of_two_queues(queue)
    _decide("mail", max_running=9)
    assert _claimed() == ["first", "third"]
    assert _claimed() == ["second"]


def test_what_is_not_due_is_not_claimed_with_what_is(queue):
    queue.add("due")
    queue.add("later", run_at="+1h")
    assert _claimed() == ["due"]


def test_each_claim_has_a_run_of_its_own_and_all_are_counted(queue):
    for number in range(3):
        queue.add(f"j{number}")
    claims = _turn(reach=8)
    assert {held.run for held in claims} == {1}
    assert counted() == really() == {("default", "processing"): 3}


def test_a_claim_carries_the_settings_of_its_instant(queue):
    config.set("kill_grace_sec", 3)
    config.set("durability", "full")
    queue.add("job")
    held = queue.claim()
    config.set("kill_grace_sec", 4)
    assert config.of(held.settings)["kill_grace_sec"] == 3
    assert dict(config.of(held.settings)) == {**config.get_all(), "kill_grace_sec": 3}


# --- storing several


def test_ends_are_stored_and_the_next_are_claimed_at_once(queue):
    for number in range(4):
        queue.add(f"j{number}", max_retries=0)
    first, second = _turn(reach=2)
    claims = _turn(reach=8, ended=[Ended(first, "success", DONE), Ended(second, "failed", FAILED)])
    assert [held.id for held in claims] == ["j2", "j3"]
    assert [queue.state(f"j{number}") for number in range(4)] == ["completed", "dead", "processing", "processing"]


def test_an_end_that_comes_too_late_is_dropped_and_the_others_are_stored(queue):
    for number in range(3):
        queue.add(f"j{number}")
    held = _turn(reach=3)
    jobs.lose(held[1].pk, held[1].run, "w1", "host", "taken for dead")
    claims, stale = jobs.turn("w1", "host", [Ended(run, "success", DONE) for run in held])
    assert (claims, stale) == ([], [held[1]])
    assert [queue.state(f"j{number}") for number in range(3)] == ["completed", "pending", "completed"]
    assert queue.outcomes("j1") == ["lost"]


OUTCOMES = {
    "all alike": lambda number: "success",
    "none alike": lambda number: ("success", "failed", "timeout", "cancelled", "released")[number % 5],
    "few among many": lambda number: "failed" if number % 7 == 2 else "success",
    "two sorts": lambda number: "released" if number % 2 else "success",
}


def _different_ends(held, outcome_of) -> list[Ended]:
    ends = []
    for number, claim in enumerate(held):
        word = outcome_of(number)
        printed = {} if word == "success" else {"stdout": Output(b"x" * number, number), "error": f"error {number}"}
        ending = Ending(
            0 if word == "success" else number, duration_ms=number, user_ms=number + 1, max_rss_kb=7, **printed
        )
        ends.append(Ended(claim, word, ending, claim.started_at + number))
    return ends


def _rows(ids: list[str]) -> list[dict]:
    """Of these jobs and their attempts, less what tells one of two equal jobs from the other."""
    found: Any = Job.select(Job, Attempt).join(Attempt).where(Job.id.in_(ids)).order_by(Job.pk)
    own = {"pk", "id", "job", "next_run_at"}
    rows = [{**job.__data__, **{f"run_{name}": of for name, of in job.attempt.__data__.items()}} for job in found]
    return [{name: of for name, of in row.items() if name.removeprefix("run_") not in own} for row in rows]


@pytest.mark.parametrize("count", [1, 3, 4, 8, 9, 31, 32, 33, 70])
@pytest.mark.parametrize("outcome_of", OUTCOMES.values(), ids=OUTCOMES)
def test_many_ends_at_once_leave_what_they_leave_one_by_one(queue, count, outcome_of):
    alone, together = [jobs.enqueue_many({"command": "true"} for _ in range(count)) for _ in range(2)]
    held = _turn(reach=2 * count)
    assert [claim.id for claim in held] == alone + together
    for ended in _different_ends(held[:count], outcome_of):
        _turn(reach=0, ended=[ended])
    _turn(reach=0, ended=_different_ends(held[count:], outcome_of))
    assert len(_rows(together)) == count
    assert _rows(together) == _rows(alone)
    assert counted() == really()


@pytest.mark.parametrize("count", [4, 8, 33])
def test_of_many_alike_only_what_comes_too_late_is_dropped(queue, count):
    ids = jobs.enqueue_many({"command": "true"} for _ in range(count))
    held = _turn(reach=count)
    late = held[count - 2]
    jobs.lose(late.pk, late.run, "w1", "host", "taken for dead")
    claims, stale = jobs.turn("w1", "host", [Ended(run, "success", DONE) for run in held])
    assert (claims, stale) == ([], [late])
    assert {queue.state(job_id) for job_id in ids if job_id != late.id} == {"completed"}
    assert (queue.state(late.id), queue.outcomes(late.id)) == ("pending", ["lost"])
    assert counted() == really()


def test_what_was_shown_of_many_runs_is_replaced_by_what_they_printed_in_all(queue):
    ids = jobs.enqueue_many({"command": "true"} for _ in range(5))
    held = _turn(reach=5)
    for claim in held:
        jobs.show_output(claim, Output(b"so far", 6), Output())
    _turn(reach=0, ended=[Ended(claim, "success", DONE) for claim in held])
    assert [queue.outcomes(job_id) for job_id in ids] == [["success"]] * 5
    assert {row["run_stdout"] for row in _rows(ids)} == {DONE.stdout.data}


# --- what was never begun


def test_a_job_that_was_never_begun_goes_back_without_a_trace(queue):
    queue.add("job")
    before = queue.snapshot("job")
    (held,) = _turn(reach=1)
    assert _turn(reach=0, unbegun=[held]) == []
    assert queue.snapshot("job") == before
    assert counted() == really() == {("default", "pending"): 1}
    assert queue.claim("w2").run == held.run


def test_a_job_that_was_tried_before_waits_as_one_that_failed(queue, no_jitter):
    queue.bring_to("failed")
    queue.clock.forward(10)
    (held,) = _turn(reach=1)
    jobs.put_back([held])
    job = queue.job("job")
    assert (job.state, job.run, job.attempts) == ("failed", 1, 1)
    assert queue.outcomes("job") == ["failed"]


def test_a_job_that_was_cancelled_before_it_began_is_cancelled(queue):
    queue.add("job")
    (held,) = _turn(reach=1)
    jobs.cancel("job")
    jobs.put_back([held])
    job = queue.job("job")
    assert (job.state, job.finished_at, job.cancel_requested) == ("cancelled", queue.clock.now, False)
    assert queue.outcomes("job") == []


def test_who_no_longer_holds_a_job_cannot_put_it_back(queue):
    queue.add("job")
    held = queue.claim("w1")
    jobs.lose(held.pk, held.run, "w1", "host", "taken for dead")
    other = queue.claim("w2")
    before = queue.snapshot("job")
    jobs.put_back([held])
    assert queue.snapshot("job") == before
    jobs.complete(other, Ending(return_code=0))


# --- queues that hand out nothing, or not all


def _decide(name: str, **decided) -> None:
    QueueRow.insert(
        name=name, actor="test", updated_at=0, **{"paused": False, **decided}
    ).on_conflict_replace().execute()


def test_a_paused_queue_hands_out_nothing_and_others_do(queue):
    queue.add("mail", queue="mail", priority=9)
    queue.add("other")
    _decide("mail", paused=True)
    assert _claimed() == ["other"]
    assert _claimed() == []
    assert _next_due() is None
    _decide("mail")
    assert _next_due() == queue.job("mail").next_run_at
    assert _claimed() == ["mail"]


@pytest.mark.parametrize("reach", [1, 8])
def test_no_more_jobs_of_a_queue_run_than_its_limit(queue, reach):
    for number in range(5):
        queue.add(f"j{number}", queue="mail")
    _decide("mail", max_running=2)
    held = _turn(reach=reach) + _turn(reach=reach, worker="w2")
    assert len(held) == 2
    assert _claimed() == []
    assert _next_due() is None
    assert [again.id for again in _turn(reach=reach, ended=[Ended(held[0], "success", DONE)])] == ["j2"]
    assert Job.select().where(Job.state == "processing").count() == 2


def test_a_queue_at_its_limit_holds_up_no_other(queue):
    queue.add("running", queue="mail")
    _decide("mail", max_running=1)
    queue.claim()
    queue.add("urgent", queue="mail", priority=9)
    queue.add("other")
    assert _next_due() == queue.job("other").next_run_at
    assert _claimed() == ["other"]


def test_a_limit_of_zero_lets_nothing_run(queue):
    queue.add("job")
    _decide("default", max_running=0)
    assert _claimed() == []
