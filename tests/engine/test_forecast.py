"""How long running jobs have still to go: by the history of their commands, and plainly where there is none."""

from __future__ import annotations

import pytest

import models
from engine import forecast, jobs, queries
from engine.jobs import Ending
from models import Job

MINUTE = 60_000


def _runs(queue, job_id: str, usual_s: float | None = None, worker: str = "w1") -> None:
    """A job that begins to run now, of a command that took so long before."""
    command = f"work {job_id}"
    if usual_s is not None:
        queue.add(f"{job_id}-before", command=command)
        held = queue.claim(worker)
        jobs.complete(held, Ending(return_code=0, duration_ms=int(usual_s * 1000)))
    queue.add(job_id, command=command)
    queue.claim(worker)


def _forecasts() -> list[forecast.Forecast]:
    return forecast.of(queries.running())


def _said(queue) -> list[str]:
    return forecast.sentences(_forecasts(), queue.clock())


def test_a_job_is_due_when_it_has_run_as_long_as_usual(queue):
    _runs(queue, "job", 300)
    (found,) = _forecasts()
    assert found == ("job", "w1", queue.clock(), 300_000)
    assert found.due_at == queue.clock() + 5 * MINUTE
    queue.clock.forward(300)
    assert not found.is_overdue(queue.clock())
    queue.clock.forward(1)
    assert found.is_overdue(queue.clock())


def test_what_never_ran_before_has_no_forecast(queue):
    _runs(queue, "job")
    (found,) = _forecasts()
    assert (found.usual_ms, found.due_at) == (None, None)
    assert not found.is_overdue(queue.clock() + 10**9)
    assert found.times_longer(queue.clock() + 10**9) is None


@pytest.mark.parametrize(("passed_s", "times"), [(100, None), (199, None), (200, 2), (299, 2), (300, 3), (1000, 10)])
def test_how_many_times_longer_than_usual_is_told_from_twice_on(queue, passed_s, times):
    _runs(queue, "job", 100)
    (found,) = _forecasts()
    assert found.times_longer(found.since + passed_s * 1000) == times


def test_a_few_seconds_more_are_not_worth_a_word(queue):
    _runs(queue, "job", 1)
    (found,) = _forecasts()
    assert found.times_longer(found.since + 10_999) is None
    assert found.times_longer(found.since + 11_000) == 11


def test_the_outlook_is_the_last_of_those_on_time(queue):
    _runs(queue, "short", 60, "w1")
    queue.clock.forward(10)
    _runs(queue, "backup-7", 300, "w2")
    queue.clock.forward(60)
    assert _said(queue) == [
        "2 jobs running; 1 of them likely done in 4 min; longest: job backup-7 (usually 5 min, runs for 1 min).",
        "overdue: job short (usually 1 min, runs for 1 min 10 s).",
    ]


def test_when_all_are_on_time_one_instant_is_told_for_all(queue):
    _runs(queue, "short", 60, "w1")
    _runs(queue, "backup-7", 300, "w2")
    queue.clock.forward(30)
    assert _said(queue) == [
        "2 jobs running, likely done in 4 min; longest: job backup-7 (usually 5 min, runs for 30 s)."
    ]


def test_a_command_without_a_history_is_told_and_not_guessed(queue):
    _runs(queue, "known", 60, "w1")
    _runs(queue, "new", None, "w2")
    assert _said(queue) == [
        "2 jobs running; 1 of them likely done in 1 min; longest: job known (usually 1 min, runs for 0 s).",
        "no history for 1 of them, so nobody can say.",
    ]


def test_nothing_is_promised_when_all_are_overdue_or_unknown(queue):
    _runs(queue, "late", 5, "w1")
    _runs(queue, "new", None, "w2")
    queue.clock.forward(60)
    found = forecast.outlook(_forecasts(), queue.clock())
    assert (found.running, found.unknown, found.done_at) == (2, 1, None)
    assert [late.job_id for late in found.overdue] == ["late"]


def test_the_longest_overdue_comes_first(queue):
    _runs(queue, "a", 50, "w1")
    _runs(queue, "b", 5, "w2")
    queue.clock.forward(60)
    assert [late.job_id for late in forecast.outlook(_forecasts(), queue.clock()).overdue] == ["b", "a"]


def test_only_the_jobs_of_the_workers_that_leave_count(queue):
    _runs(queue, "a", 50, "w1")
    _runs(queue, "b", 5, "w2")
    assert [found.job_id for found in forecast.leaving({"w2"})] == ["b"]
    assert forecast.sentences(forecast.leaving(set()), models.now_ms()) == ["None of them runs a job."]


def test_an_instant_stays_the_same_when_it_is_asked_for_again(queue):
    _runs(queue, "job", 300)
    before = _forecasts()
    queue.clock.forward(7)
    assert _forecasts() == before
    assert Job.select().where(Job.state == "processing").count() == 1
