"""The queues: what waits in each, and what an operator decided."""

from __future__ import annotations

import pytest

import models
from engine import dialect, jobs, queues
from engine.errors import InvalidInput
from models import Queue
from tests.engine.conftest import DONE


def test_each_queue_says_what_waits_and_since_when(queue, clock):
    queue.add("one", queue="mail", priority=-5)
    clock.forward(10)
    queue.add("two", queue="mail", priority=5)
    queue.add("three", queue="print", run_at="+1h")
    queue.claim()
    clock.forward(5)
    mail, printing = queues.standings()
    assert (mail.name, mail.waiting, mail.running, mail.due_since) == ("mail", 1, 1, clock.now - 15_000)
    assert (printing.name, printing.waiting, printing.due_since) == ("print", 1, None)
    assert mail.as_json()["oldest_due_sec"] == 15
    assert queues.standing("mail") == mail


def test_a_queue_without_jobs_is_not_listed(queue, clock):
    queue.add("one", queue="gone")
    queue.add("two", queue="stays")
    jobs.delete("one")
    jobs.complete(queue.claim(), DONE)
    assert [row.name for row in queues.standings()] == ["stays"]
    assert queues.standing("gone").counts == dict.fromkeys(models.STATES, 0)


def test_a_decision_is_stored_with_who_made_it(queue, clock):
    paused = queues.pause("mail", actor="panel")
    assert (paused.paused, paused.limit, paused.actor, paused.changed_at) == (True, None, "panel", clock.now)
    limited = queues.limit("mail", 3, actor="cli:ann")
    assert (limited.paused, limited.limit, limited.actor) == (True, 3, "cli:ann")
    assert [row.name for row in queues.standings()] == ["mail"]
    resumed = queues.resume("mail", actor="panel")
    assert (resumed.paused, resumed.limit) == (False, 3)


def test_what_was_decided_twice_is_decided_once(queue):
    for _ in range(2):
        queues.pause("mail", actor="panel")
    assert Queue.select().count() == 1


def test_a_queue_without_limits_has_no_row(queue):
    queues.pause("mail", actor="panel")
    queues.limit("print", 1, actor="panel")
    queues.resume("mail", actor="panel")
    queues.limit("print", None, actor="panel")
    queues.resume("never", actor="panel")
    assert Queue.select().count() == 0


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, "ü", "a\0"])
def test_what_is_no_name_of_a_queue_is_refused(queue, name):
    with pytest.raises(InvalidInput, match=r"^queue: "):
        queues.pause(name, actor="panel")


@pytest.mark.parametrize("most", [0, -1, 1001, 1.5, "3", True])
def test_what_is_no_limit_is_refused(queue, most):
    with pytest.raises(InvalidInput, match="A limit is a whole number from 1 to 1000, or none"):
        queues.limit("mail", most, actor="panel")


def test_the_depths_are_found_by_seeks(queue):
    asked = {"queues": '["a"]', "now": 0, "most": 1}
    plan = models.db.execute_sql(f"EXPLAIN QUERY PLAN {dialect.DEPTHS_OF_QUEUES}", asked).fetchall()
    steps = [step for *_, step in plan if " job" in step or " j " in step]
    assert steps
    assert not [step for step in steps if not (step.startswith("SEARCH") and "job_claim" in step)]


def _fill(due: int, delayed: int) -> None:
    for number, when in ((due, "+0s"), (delayed, "+1d")):
        jobs.enqueue_many({"command": ":", "queue": "mail", "priority": n % 2, "run_at": when} for n in range(number))


@pytest.mark.parametrize(
    ("due", "delayed", "told"),
    [(3, 4, (3, 4, True)), (30, 4, (30, 4, True)), (4, 30, (4, 30, True)), (30, 32, (20, 20, False))],
)
def test_what_is_due_and_what_waits_for_later_is_counted_as_far_as_it_is_cheap(queue, monkeypatch, due, delayed, told):
    monkeypatch.setattr(queues, "_COUNTED", 10)
    _fill(due, delayed)
    (mail,) = queues.standings()
    assert (mail.due, mail.delayed, mail.is_exact) == told
    assert mail.waiting == due + delayed
