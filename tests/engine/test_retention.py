"""Deleting what is old: what goes, what stays, and that it goes in small steps."""

from __future__ import annotations

import sqlite3
import time

import pytest

import models
from engine import config, dialect, jobs, queries, retention
from engine.errors import InvalidInput
from engine.output import Output
from engine.retention import Limit, Retention
from models import Attempt, Job, Supervisor, Worker
from tests.engine.conftest import counted, really

DAY_S = 24 * 3600


@pytest.fixture(autouse=True)
def _enough_time(monkeypatch):
    """A supervisor does all in one go, however slow the machine is; the slices have a test of their own."""
    monkeypatch.setattr(retention, "_SLICE_S", 60)


def _add_ended(queue, state: str, number: int, name: str = "job") -> list[str]:
    ids = [f"{name}{n}" for n in range(number)]
    for job_id in ids:
        queue.bring_to(state, job_id)
    return ids


def _ids() -> set[str]:
    return {job_id for (job_id,) in Job.select(Job.id).tuples()}


def _sweep(limits: list[Limit]) -> int:
    return sum(number for _, number in retention.sweep(limits))


def _keep_for_ever() -> None:
    for state in jobs.FINAL:
        config.set(f"retention_{state}_days", 0)


def test_a_job_goes_when_it_ended_longer_ago_than_the_settings_say(queue, clock):
    queue.bring_to("completed", "old")
    clock.forward(7 * DAY_S)
    queue.bring_to("completed", "young")
    queue.add("waiting")
    clock.forward(1)
    assert _sweep(retention.by_settings()) == 1
    assert _ids() == {"young", "waiting"}


def test_its_history_goes_with_it_and_the_counters_follow(queue, clock):
    _add_ended(queue, "completed", 5)
    clock.forward(8 * DAY_S)
    queue.add("waiting")
    _sweep(retention.by_settings())
    assert Attempt.select().count() == 0
    assert counted() == really() == {("default", "pending"): 1}


def test_an_old_job_that_ended_just_now_stays(queue, clock):
    queue.add("slow")
    clock.forward(30 * DAY_S)
    jobs.complete(queue.claim(), jobs.Ending(return_code=0))
    queue.add("waiting")
    assert _sweep(retention.by_settings()) == 0
    assert "slow" in _ids()


def test_dead_jobs_are_kept_for_ever_by_default(queue, clock):
    queue.bring_to("dead")
    clock.forward(10_000 * DAY_S)
    queue.add("waiting")
    assert _sweep(retention.by_settings()) == 0


@pytest.mark.parametrize("state", jobs.FINAL)
def test_each_state_has_its_own_limit(queue, clock, state):
    _keep_for_ever()
    for ended in jobs.FINAL:
        queue.bring_to(ended, ended)
    queue.add("waiting")
    config.set(f"retention_{state}_days", 0.5)
    clock.forward(DAY_S)
    _sweep(retention.by_settings())
    assert _ids() == {*jobs.FINAL, "waiting"} - {state}


@pytest.mark.parametrize("state", ["pending", "processing", "failed"])
def test_a_job_that_has_not_ended_never_goes(queue, clock, state):
    queue.bring_to(state)
    queue.add("waiting")
    clock.forward(1000 * DAY_S)
    assert _sweep([Limit(name, clock.now) for name in models.STATES]) == 0


def test_a_job_that_was_retried_meanwhile_stays(queue, clock):
    queue.bring_to("dead", "job")
    queue.add("waiting")
    clock.forward(DAY_S)
    pk = queue.job("job").pk
    jobs.retry("job")
    assert jobs.prune([pk], clock.now) == 0
    assert queue.state("job") == "pending"


def test_many_are_deleted_in_batches_of_bounded_size(queue, clock, monkeypatch):
    monkeypatch.setattr(retention, "_HOLD_S", 1000)  # however slow this machine is
    _add_ended(queue, "cancelled", 1200)
    queue.add("waiting")
    clock.forward(31 * DAY_S)
    batches = [number for _, number in retention.sweep(retention.by_settings())]
    assert sum(batches) == 1200
    assert max(batches) <= retention.BATCH


def test_a_deletion_that_takes_long_makes_the_next_one_smaller(queue, clock, monkeypatch):
    monkeypatch.setattr(retention, "_HOLD_S", 0)
    _add_ended(queue, "cancelled", 60)
    queue.add("waiting")
    clock.forward(31 * DAY_S)
    assert [number for _, number in retention.sweep(retention.by_settings()) if number] == [32, 16, 8, 4]


def test_whoever_deletes_by_hand_rests_while_others_write(queue, monkeypatch):
    """And a while after: who stores much at once is silent meanwhile."""
    rests, monotonic = [], time.monotonic
    gone_by = [0.0]
    monkeypatch.setattr(retention.time, "monotonic", lambda: monotonic() + sum(gone_by))
    monkeypatch.setattr(retention.time, "sleep", lambda seconds: rests.append((step, seconds)))
    with sqlite3.connect(queue.path) as other:
        for step in retention.gently(range(6)):
            if step == 2:
                other.execute("INSERT INTO meta (key, value) VALUES ('written', '1')")
                other.commit()
            if step == 4:
                gone_by.append(retention._QUIET_S)
    other.close()
    assert [step for step, _ in rests] == [2, 3]
    assert all(0 < seconds <= retention._LONGEST_REST_S for _, seconds in rests)


def test_the_supervisor_deletes_in_slices_and_then_rests(queue, clock, monkeypatch):
    monkeypatch.setattr(retention, "_SLICE_S", 0)
    _add_ended(queue, "completed", 100)
    queue.add("waiting")
    clock.forward(8 * DAY_S)
    kept = Retention()
    assert kept.step() < 1
    assert 0 < Job.select().count() - 1 < 100
    while kept.step() < 1:
        pass
    assert _ids() == {"waiting"}


def test_a_setting_that_changes_holds_for_the_next_walk(queue, clock):
    queue.bring_to("dead")
    queue.add("waiting")
    clock.forward(2 * DAY_S)
    kept = Retention()
    kept.step()
    config.set("retention_dead_days", 1)
    kept.step()
    assert _ids() == {"waiting"}


# --- what jobs printed


def _print(queue, job_id: str, text: bytes = b"hello") -> None:
    queue.add(job_id)
    jobs.complete(queue.claim(), jobs.Ending(return_code=0, stdout=Output(text, len(text))))


def _printed(queue, job_id: str) -> Output:
    return queries.output(queries.attempt(queue.job(job_id)), "stdout")


def _sweep_all() -> None:
    kept = Retention()
    while kept.step() < 1:
        pass


def test_old_output_goes_and_the_job_and_its_history_stay(queue, clock):
    config.set("retention_output_days", 2)
    _print(queue, "old")
    clock.forward(2 * DAY_S)
    _print(queue, "young")
    clock.forward(1)
    _sweep_all()
    assert _printed(queue, "old") == Output(b"", total=5, cut=0)
    assert _printed(queue, "young").data == b"hello"
    assert queue.outcomes("old") == ["success"]


def test_output_is_kept_as_long_as_its_job_by_default(queue, clock):
    _print(queue, "old")
    clock.forward(6 * DAY_S)
    queue.add("waiting")
    _sweep_all()
    assert _printed(queue, "old").data == b"hello"


@pytest.mark.parametrize("state", ["pending", "processing", "failed"])
def test_a_job_that_has_not_ended_keeps_what_it_printed(queue, clock, state):
    config.set("retention_output_days", 1)
    _print(queue, "old")
    Job.update(state=state, finished_at=None).execute()
    clock.forward(2 * DAY_S)
    queue.add("waiting")
    _sweep_all()
    assert _printed(queue, "old").data == b"hello"


def test_a_job_that_is_retried_meanwhile_keeps_what_it_printed(queue, clock, monkeypatch):
    queue.bring_to("dead")
    Attempt.update(stdout=b"hello").execute()
    clock.forward(DAY_S)
    found = retention._with_output

    def with_output_and_retry(before: int):
        for chosen in found(before):
            jobs.retry("job")
            yield chosen

    monkeypatch.setattr(retention, "_with_output", with_output_and_retry)
    assert sum(retention.drop_outputs(clock.now)) == 0
    assert bytes(Attempt.get().stdout) == b"hello"


def test_old_output_goes_in_small_steps(queue, clock, monkeypatch):
    monkeypatch.setattr(retention, "_HOLD_S", 0)
    for n in range(60):
        _print(queue, f"job{n}")
    clock.forward(DAY_S)
    queue.add("waiting")
    assert [number for number in retention.drop_outputs(clock.now) if number] == [32, 16, 8, 4]


def test_old_output_is_looked_for_when_the_setting_says_so(queue, clock, monkeypatch):
    looks: list[int] = []
    monkeypatch.setattr(retention, "drop_outputs", lambda before: iter([looks.append(before)]))
    kept = Retention()
    for days in (0, 3, 2):
        config.set("retention_output_days", days)
        while kept.step() != retention._REST_S:  # a busy machine needs more than one
            pass
    assert looks == [clock.now - 3 * DAY_S * 1000, clock.now - 2 * DAY_S * 1000]


def test_the_trash_is_emptied_when_the_minutes_of_the_setting_are_over(queue, clock):
    config.set("trash_minutes", 5)
    queue.bring_to("dead", "early")
    queue.bring_to("completed", "late")
    jobs.delete("early")
    clock.forward(240)
    jobs.delete("late")
    clock.forward(61)
    Retention().step()
    assert [job.deleted_id for job in Job.select()] == ["late"]
    assert Attempt.select().count() == 1
    assert counted() == really() == {("default", "deleted"): 1}


def test_much_trash_goes_in_small_steps(queue, clock, monkeypatch):
    monkeypatch.setattr(retention, "_HOLD_S", 0)
    for job_id in _add_ended(queue, "cancelled", 60):
        jobs.delete(job_id)
    clock.forward(1)
    assert [number for number in retention.empty_trash(clock.now) if number] == [32, 16, 8, 4]


def test_the_search_for_old_output_reads_only_what_holds_some(queue, clock):
    for n in range(3):
        _print(queue, f"job{n}")
        queue.bring_to("completed", f"silent{n}")
    plan = models.db.execute_sql("EXPLAIN QUERY PLAN " + dialect.OLD_OUTPUT, (0, 0, 0, clock.now, 500)).fetchall()
    assert ["attempt_output" in step and "TEMP" not in step for *_, step in plan] == [True]
    rows = models.db.execute_sql(dialect.OLD_OUTPUT, (0, 0, 0, clock.now + 1, 500)).fetchall()
    assert len(rows) == 3


@pytest.mark.parametrize("table", [Worker, Supervisor])
def test_the_rows_of_past_processes_go_but_never_the_newest(queue, clock, table):
    extra = {"created_at": 0} if table is Worker else {"pid": 1, "started_at": 0, "beat_at": 0}
    for stopped_at in (clock.now, None, clock.now, clock.now):
        table.insert(host="h", stopped_at=stopped_at, **extra).execute()
    clock.forward(31 * DAY_S)
    Retention().step()
    assert [row.pk for row in table.select()] == [2, 4]


def test_past_processes_are_kept_when_the_setting_is_0(queue, clock):
    config.set("retention_workers_days", 0)
    for _ in range(2):
        Worker.insert(host="h", created_at=0, stopped_at=0).execute()
    Retention().step()
    assert Worker.select().count() == 2


def test_by_hand_without_a_state_spares_what_the_settings_keep_for_ever(queue, clock):
    for state in jobs.FINAL:
        queue.bring_to(state, state)
    queue.add("waiting")
    clock.forward(60)
    assert _sweep(retention.of(None, "30s")) == 2
    assert _ids() == {"dead", "waiting"}


def test_by_hand_a_named_state_goes(queue, clock):
    queue.bring_to("dead")
    queue.add("waiting")
    clock.forward(3 * 3600)
    assert [limit.state for limit in retention.of("dead", "2h")] == ["dead"]
    assert _sweep(retention.of("dead", "2h")) == 1


def test_a_state_kept_for_ever_needs_an_age(queue):
    with pytest.raises(InvalidInput, match="kept for ever"):
        retention.of("dead", None)


@pytest.mark.parametrize("age", ["", "7", "d", "-1d", "1.d", "7  d", "7y", "1e3d", "\u0667d", "9" * 10 + "d"])
def test_an_age_that_is_none_is_refused(queue, age):
    with pytest.raises(InvalidInput, match="is not an age"):
        retention.of(None, age)


def test_a_count_foretells_what_a_sweep_deletes(queue, clock):
    _add_ended(queue, "completed", 3)
    clock.forward(60)
    limits = retention.of("completed", "1m")
    assert retention.count(limits[0]) == 0
    clock.forward(1)
    limits = retention.of("completed", "1m")
    assert retention.count(limits[0]) == _sweep(limits) == 3
