"""The figures of the runs that ended: exact, of the same transaction, and bounded in number."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from engine import buckets, jobs, tally
from engine.jobs import Ended, Ending
from models import History, Job, Stat
from tests.engine.conftest import FAILED


def _stats() -> list[tuple]:
    rows = Stat.select().order_by(Stat.span, Stat.at, Stat.queue, Stat.outcome, Stat.bucket).tuples()
    return [tuple(row) for row in rows]


def _took(ms: int, return_code: int = 0) -> Ending:
    return Ending(return_code=return_code, duration_ms=ms)


# --- buckets


@given(st.integers(0, 10**9))
def test_a_duration_lies_within_the_bounds_of_its_bucket(ms):
    low, high = buckets.bounds_ms(buckets.of(ms))
    assert low <= ms < high or buckets.of(ms) == buckets.LAST


@given(st.integers(2, 900_000_000))
def test_the_middle_of_a_bucket_is_off_by_a_quarter_at_most(ms):
    assert abs(buckets.middle_ms(buckets.of(ms)) / ms - 1) < 0.25


def test_buckets_follow_each_other_without_a_gap():
    for bucket in range(buckets.LAST):
        assert buckets.bounds_ms(bucket)[1] <= buckets.bounds_ms(bucket + 1)[1]
    assert [buckets.of(ms) for ms in (0, 1, 2, 3, 4, 5, 6, 7, 8)] == [0, 1, 3, 4, 5, 5, 6, 6, 7]


# --- counting


def test_runs_are_counted_by_minute_queue_outcome_and_duration(queue):
    minute = queue.clock.now - queue.clock.now % 60_000
    for job_id in ("a", "b", "c"):
        queue.add(job_id, queue="mail")
    queue.add("d")
    mail, _ = jobs.turn("w1", "host", reach=3)
    (other,) = jobs.turn("w1", "host", reach=1)[0]
    ends = [Ended(held, "success", _took(ms)) for held, ms in zip(mail, (4, 5, 90), strict=True)]
    jobs.turn("w1", "host", [*ends, Ended(other, "failed", _took(2, 1))])
    assert _stats() == [
        (1, minute, "default", "failed", buckets.of(2), 1, 2),
        (1, minute, "mail", "success", buckets.of(4), 2, 9),
        (1, minute, "mail", "success", buckets.of(90), 1, 90),
    ]


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (lambda held: jobs.complete(held, _took(1)), "success"),
        (lambda held: jobs.fail(held, FAILED), "failed"),
        (lambda held: jobs.fail(held, FAILED, "timeout"), "timeout"),
        (lambda held: jobs.cancelled(held, _took(1)), "cancelled"),
        (lambda held: jobs.lose(held.pk, held.run, "w1", "host", "died"), "lost"),
    ],
)
def test_every_end_is_counted_once(queue, end, outcome):
    queue.add("job")
    end(queue.claim())
    assert [(row[3], row[5]) for row in _stats()] == [(outcome, 1)]


def test_a_run_that_was_given_back_or_came_too_late_is_not_counted(queue):
    queue.add("job")
    jobs.release(held := queue.claim(), Ending())
    jobs.turn("w1", "host", [Ended(held, "success", _took(1))])
    assert _stats() == []


# --- what commands usually take


def test_the_usual_duration_is_the_median_of_the_last_twenty_successes(queue):
    for ms in [*range(50_000, 60_000, 1000), *[3000] * 9, *[4000] * 10, 5000]:
        queue.add(command="make")
        jobs.complete(queue.claim(), _took(ms))
    queue.add("next", command="make")
    queue.add("elsewhere", command="make", cwd="/tmp")
    row = History.get()
    assert len(json.loads(row.durations)) == 20
    assert row.n == 30
    assert tally.usual_ms(Job.select().where(Job.state == "pending")) == {queue.job("next").pk: 4000}


def test_what_is_short_or_fails_is_not_remembered(queue):
    queue.add("job", max_retries=0)
    jobs.fail(queue.claim(), _took(9000, 1))
    queue.add("short")
    jobs.complete(queue.claim(), _took(999))
    assert History.select().count() == 0


# --- getting old


def test_minutes_become_hours_and_nothing_is_lost_of_the_sums(queue):
    for _ in range(3):
        queue.add()
        jobs.complete(queue.claim(), _took(7))
        queue.clock.forward(60)
    hour = queue.clock.now - queue.clock.now % 3_600_000
    queue.clock.forward(4 * 24 * 3600)
    list(tally.roll_up(queue.clock.now))
    assert {row[0] for row in _stats()} == {60}
    assert sum(row[5] for row in _stats()) == 3
    assert sum(row[6] for row in _stats()) == 21
    assert {row[1] for row in _stats()} <= {hour, hour - 3_600_000}
    list(tally.roll_up(queue.clock.now))
    assert sum(row[5] for row in _stats()) == 3
    queue.clock.forward(500 * 24 * 3600)
    list(tally.roll_up(queue.clock.now))
    assert _stats() == []


def test_no_step_of_it_keeps_the_write_lock(queue):
    """Its steps are taken one by one, with a supervisor's other work between them."""
    queue.add()
    jobs.complete(queue.claim(), _took(2000))
    queue.clock.forward(4 * 24 * 3600)
    depths = [models.db.transaction_depth() for _ in tally.roll_up(queue.clock.now)]
    assert len(depths) > 2
    assert set(depths) == {0}


def test_commands_whose_jobs_are_gone_are_forgotten(queue):
    for command in ("kept", "gone"):
        queue.add(command, command=command)
        jobs.complete(queue.claim(), _took(2000))
    jobs.prune([queue.job("gone").pk], queue.clock.now + 1)
    list(tally.roll_up(queue.clock.now))
    assert [row.signature for row in History.select()] == [tally.signature("kept", None)]
