"""Bulk operations: what they meet, that each batch is done once, and the way back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

import models
from engine import adoption, jobs, operations, queries
from engine.adoption import Adoption
from engine.errors import InvalidInput, NotFound, Refused
from models import Job, Operation
from tests.engine.conftest import counted, really


@pytest.fixture
def small(monkeypatch) -> None:
    """Batches of three."""
    monkeypatch.setattr(operations, "BATCH", 3)


def _fill(number: int, state: str = "dead", name: str = "j", **fields) -> list[str]:
    ids = jobs.enqueue_many([{"id": f"{name}{n}", "command": "true", **fields} for n in range(number)])
    ended = models.now_ms() if state in jobs.FINAL else None
    Job.update(state=state, finished_at=ended, attempts=4).where(Job.id.in_(ids)).execute()
    return ids


def _do(verb: str, argument=None, **scope) -> Operation:
    return operations.run(operations.begin(verb, actor="test", argument=argument, **scope).pk)


def _figures(operation: Operation) -> tuple:
    return operation.state, operation.expected, operation.done, operation.skipped, operation.failed


# --- what is met


def test_all_that_match_are_retried_in_batches(queue, small):
    _fill(8)
    _fill(2, "completed", "done")
    operation = operations.begin("retry", actor="panel", filters={"state": "dead"})
    assert _figures(operation) == ("running", 8, 0, 0, 0)
    assert queries.counts()["dead"] == 8
    done = [operations.step(operation.pk).done for _ in range(3)]
    assert done == [3, 6, 8]
    assert _figures(operations.step(operation.pk)) == ("finished", 8, 8, 0, 0)
    assert counted() == really() == {("default", "pending"): 8, ("default", "completed"): 2}
    assert {row.attempts for row in Job.select().where(Job.state == "pending")} == {0}


@pytest.mark.parametrize(
    ("verb", "met"),
    [
        ("retry", {"failed", "dead", "cancelled"}),
        ("cancel", {"pending", "failed"}),
        ("delete", {"pending", "completed", "failed", "dead", "cancelled"}),
        ("priority", {"pending", "failed"}),
    ],
)
def test_without_a_state_those_are_met_that_allow_it(queue, verb, met):
    states = ("pending", "completed", "failed", "dead", "cancelled")
    for state in states:
        _fill(1, state, state)
    before = {job.pk: job.state for job in Job.select()}
    operation = _do(verb, 7, filters={})
    assert _figures(operation) == ("finished", len(met), len(met), 0, 0)
    assert {before[job.pk] for job in Job.select().where(Job.operation == operation.pk)} == met


def test_a_running_job_is_asked_to_end(queue):
    queue.bring_to("processing")
    assert _do("cancel", filters={"state": "processing"}).done == 1
    assert queue.job("job").cancel_requested


def test_the_filters_are_those_of_the_list(queue, small):
    _fill(4, queue="mail", tags=["night"])
    _fill(4, name="other", tags=["night"])
    _fill(4, name="third", queue="mail")
    operation = _do("delete", filters={"queue": "mail", "tag": "night", "text": "j", "state": None})
    assert _figures(operation) == ("finished", 4, 4, 0, 0)
    assert not [job.id for job in queries.page().jobs if job.id.startswith("j")]


def test_jobs_that_came_later_are_not_meant(queue, small):
    _fill(4)
    operation = operations.begin("retry", actor="test", filters={"state": "dead"})
    operations.step(operation.pk)
    _fill(4, name="late")
    assert operations.run(operation.pk).done == 4
    assert queue.state("late0") == "dead"


def test_by_id_what_is_not_there_fails_and_what_does_not_allow_it_is_skipped(queue, small):
    ids = _fill(5)
    queue.add("waits")
    operation = _do("retry", ids=[*ids, "waits", "none", ids[0]])
    assert _figures(operation) == ("finished", 7, 5, 1, 1)
    assert operation.error == "There is no job 'none'."


def test_what_changed_meanwhile_is_skipped(queue, small, monkeypatch):
    _fill(5)
    found = operations._next

    def next_and_change(operation):
        batch = found(operation)
        if operation.cursor < 1:
            jobs.retry("j1")
        return batch

    monkeypatch.setattr(operations, "_next", next_and_change)
    assert _figures(_do("delete", filters={"state": "dead"})) == ("finished", 5, 4, 1, 0)
    assert queue.state("j1") == "pending"


def test_a_search_looks_in_windows_and_meets_all(queue, small, monkeypatch):
    monkeypatch.setattr(operations, "_WINDOW", 2)
    _fill(10, command="echo common")
    _fill(3, name="rare")
    assert _do("delete", filters={"text": "rare"}).done == 3


def test_a_step_without_time_goes_on_at_the_next(queue, small, monkeypatch):
    monkeypatch.setattr(operations, "_LOOK_S", 0)
    operation = operations.begin("delete", actor="test", filters={"state": "dead"})
    assert operations.step(operation.pk).state == "finished"  # nothing is there
    _fill(1)
    operation = operations.begin("delete", actor="test", filters={"state": "dead"})
    assert operations.step(operation.pk).state == "running"
    monkeypatch.setattr(operations, "_LOOK_S", 10)
    assert operations.run(operation.pk).done == 1


def test_a_search_that_finds_very_many_is_not_counted(queue, monkeypatch):
    monkeypatch.setattr(operations, "COUNTED", 3)
    _fill(4)
    assert operations.expect("retry", {"text": "j"}) is None
    assert operations.expect("retry", {"text": "j1"}) == 1
    assert operations.expect("retry", {}) == 4


def test_another_priority_is_given(queue):
    _fill(3, "pending")
    operation = _do("priority", -7, filters={"queue": "default"})
    assert {job.priority for job in Job.select()} == {-7}
    assert operations.as_json(operation)["argument"] == -7


# --- refused


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({"verb": "burn", "filters": {}}, InvalidInput, "There is no operation 'burn'"),
        ({"verb": "retry", "filters": {"state": "completed"}}, Refused, "completed cannot be retried; only failed"),
        ({"verb": "cancel", "filters": {"state": "dead"}}, Refused, "dead cannot be cancelled"),
        ({"verb": "retry", "filters": {"state": "odd"}}, InvalidInput, "There is no state 'odd'"),
        ({"verb": "retry", "filters": {"state": "deleted"}}, InvalidInput, "There is no state 'deleted'"),
        ({"verb": "retry", "filters": {"colour": "red"}}, InvalidInput, "There is no filter 'colour'"),
        ({"verb": "priority", "filters": {}, "argument": 101}, InvalidInput, "priority: must be from -100 to 100"),
        ({"verb": "retry", "ids": [str(n) for n in range(10_001)]}, InvalidInput, "At most 10,000 ids"),
    ],
)
def test_what_cannot_be_is_refused_and_stored_nowhere(queue, asked, error, sentence):
    with pytest.raises(error, match=sentence):
        operations.begin(actor="test", **asked)
    assert Operation.select().count() == 0


def test_there_is_no_operation_that_nobody_asked_for(queue):
    for ask in (operations.find, operations.step, operations.run):
        with pytest.raises(NotFound):
            ask(1)


# --- interrupted


def test_a_batch_that_dies_is_done_again_as_a_whole(queue, small, monkeypatch):
    _fill(7)
    operation = operations.begin("retry", actor="test", filters={"state": "dead"})
    operations.step(operation.pk)
    monkeypatch.setattr(operations, "_act", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        operations.step(operation.pk)
    monkeypatch.undo()
    assert operations.find(operation.pk).done == 3
    assert operations.run(operation.pk).done == 7


def test_whoever_is_killed_at_a_batch_has_done_it_or_not_and_the_next_finishes(queue, small):
    _fill(7)
    operation = operations.begin("delete", actor="test", filters={"state": "dead"})
    code = (
        "import os, sys, models\n"
        "from engine import operations\n"
        "operations.BATCH, act, left = 3, operations._act, int(sys.argv[3])\n"
        "def die(*batch):\n"
        "    global left\n"
        "    act(*batch)\n"
        "    left -= 1\n"
        "    left or os.kill(os.getpid(), 9)\n"
        "operations._act = die\n"
        "models.connect(sys.argv[1])\n"
        "operations.run(int(sys.argv[2]))\n"
    )
    for batches in (1, 2):  # each time the last of them is lost: it was killed before its commit
        words = [sys.executable, "-c", code, str(queue.path), str(operation.pk), str(batches)]
        assert subprocess.run(words, cwd=models.ROOT, timeout=60).returncode == -signal.SIGKILL
    assert (operations.find(operation.pk).done, queries.counts()["dead"]) == (3, 4)
    assert _figures(operations.run(operation.pk)) == ("finished", 7, 7, 0, 0)
    assert counted() == really() == {("default", "deleted"): 7}


def test_two_that_do_the_same_step_do_it_once(queue, small, monkeypatch):
    _fill(7)
    operation = operations.begin("delete", actor="test", filters={"state": "dead"})
    found = operations._next

    def next_and_another(operation):
        batch = found(operation)
        monkeypatch.setattr(operations, "_next", found)
        operations.step(operation.pk)
        return batch

    monkeypatch.setattr(operations, "_next", next_and_another)
    assert operations.step(operation.pk).done == 3
    assert _figures(operations.run(operation.pk)) == ("finished", 7, 7, 0, 0)


def test_what_was_abandoned_is_finished_by_the_supervisor(queue, clock, small):
    _fill(7)
    operation = operations.begin("retry", actor="test", filters={"state": "dead"})
    operations.step(operation.pk)
    keeper = Adoption()
    assert keeper.step() == adoption._REST_S  # somebody is at it
    assert operations.find(operation.pk).done == 3
    clock.forward(11)
    assert [keeper.step(), keeper.step(), keeper.step()] == [adoption._GO_ON_S] * 2 + [adoption._REST_S]
    assert _figures(operations.find(operation.pk)) == ("finished", 7, 7, 0, 0)


def test_a_clock_that_was_set_back_abandons_nothing_for_long(queue, clock, small):
    _fill(1)
    operations.begin("retry", actor="test", filters={})
    clock.forward(-3600)
    Adoption().step()
    assert queue.state("j0") == "pending"


# --- the way back


def test_a_bulk_delete_is_undone(queue, clock, small):
    _fill(4)
    _fill(4, "completed", "done")
    before = list(Job.select().order_by(Job.pk).tuples())
    operation = _do("delete", filters={})
    assert queries.page().jobs == []
    undoing = operations.undo(operation.pk, actor="panel")
    assert _figures(operations.run(undoing.pk)) == ("finished", 8, 8, 0, 0)
    assert operations.find(operation.pk).state == "undone"
    assert list(Job.select().order_by(Job.pk).tuples()) == before
    assert counted() == really()


def test_what_cannot_come_back_is_counted_and_told(queue, small):
    ids = _fill(4)
    operation = _do("delete", ids=ids)
    queue.add(ids[0])
    jobs.purge([Job.get(Job.deleted_id == ids[1]).pk], 2**62)
    undoing = operations.run(operations.undo(operation.pk, actor="test").pk)
    assert _figures(undoing) == ("finished", 4, 2, 0, 1)
    assert undoing.error == "The id of a deleted job is another's now."


def test_a_bulk_retry_is_withdrawn_where_no_worker_was_quicker(queue, small):
    _fill(5)
    operation = _do("retry", filters={"state": "dead"})
    jobs.complete(queue.claim(), jobs.Ending(return_code=0))
    undoing = operations.run(operations.undo(operation.pk, actor="test").pk)
    assert _figures(undoing) == ("finished", 5, 4, 0, 0)
    assert queries.counts() | {} == dict.fromkeys(models.STATES, 0) | {"completed": 1, "dead": 4}


def test_an_operation_that_is_undone_half_way_does_no_more(queue, small):
    _fill(7)
    operation = operations.begin("delete", actor="test", filters={"state": "dead"})
    operations.step(operation.pk)
    undoing = operations.undo(operation.pk, actor="test")
    assert operations.step(operation.pk).done == 3
    assert operations.run(undoing.pk).done == 3
    assert queries.counts()["dead"] == 7


def test_what_was_retried_again_by_hand_is_not_withdrawn_with_the_operation(queue):
    _fill(2)
    operation = _do("retry", filters={})
    jobs.fail(queue.claim(), jobs.Ending(return_code=1))
    jobs.retry("j0")
    operations.run(operations.undo(operation.pk, actor="test").pk)
    assert (queue.state("j0"), queue.state("j1")) == ("pending", "dead")


def test_only_a_delete_or_a_retry_is_undone_and_once(queue):
    _fill(1, "pending")
    with pytest.raises(Refused, match="is a cancel; only a delete or a retry can be undone"):
        operations.undo(_do("cancel", filters={}).pk, actor="test")
    operation = _do("retry", filters={})
    assert operations.can_be_undone(operation)
    undoing = operations.undo(operation.pk, actor="test")
    with pytest.raises(Refused, match="was undone already"):
        operations.undo(operation.pk, actor="test")
    assert not operations.can_be_undone(undoing)


# --- remembered


def test_it_is_remembered_what_was_asked_and_by_whom(queue):
    _do("delete", filters={"state": "dead", "queue": ""})
    _do("retry", ids=["ü"])
    newest, first = (operations.as_json(row) for row in operations.recent())
    assert (newest["scope"], newest["verb"], newest["actor"]) == ({"ids": ["ü"]}, "retry", "test")
    assert first["scope"] == {"filter": {"state": "dead"}}
    json.dumps([newest, first])


def test_the_jobs_of_an_operation_are_found_by_an_index(queue):
    query = Job.select(Job.pk).where(Job.operation == 1, Job.state.in_(("deleted",)), Job.pk > 1, Job.pk <= 9)
    sql, params = query.order_by(Job.pk).limit(5).sql()
    (step,) = [step for *_, step in models.db.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params)]
    assert "job_operation" in step
