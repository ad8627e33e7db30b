"""Who works where, and how workers ended."""

from __future__ import annotations

import pytest

from engine import roster
from engine.errors import InvalidInput
from models import Supervisor, Worker


def _worker(queue, host: str = "here", **columns) -> int:
    fields = {"host": host, "created_at": queue.clock(), "started_at": queue.clock(), "status": "running"}
    return Worker.insert(fields | columns).execute()


def _ended(queue, reason: str = "ended as asked", status: str = "stopped", **columns) -> int:
    queue.clock.forward(1)
    return _worker(queue, stopped_at=queue.clock(), reason=reason, status=status, **columns)


def _ids(found: list[Worker]) -> list[int]:
    return [worker.pk for worker in found]


def test_each_host_counts_those_it_wants_those_that_work_and_those_that_leave(queue):
    _worker(queue)
    _worker(queue, status="starting")
    _worker(queue, status="draining", desired="drain")
    _worker(queue, host="there")
    _ended(queue)
    here, there = roster.crews()
    assert (here.host, here.wanted, here.ready, here.leaving) == ("here", 2, 1, 1)
    assert (there.host, there.wanted, there.ready, there.leaving) == ("there", 1, 1, 0)
    assert here.supervisor is None


def test_a_host_with_a_supervisor_alone_is_a_host_too(queue):
    Supervisor.insert(host="here", pid=1, started_at=1, beat_at=1).execute()
    Supervisor.insert(host="gone", pid=2, started_at=1, beat_at=1, stopped_at=2).execute()
    (crew,) = roster.crews()
    assert (crew.host, crew.workers, crew.supervisor.pid) == ("here", (), 1)


def test_the_last_to_end_comes_first_however_old_it_was(queue):
    old = _worker(queue)
    young = _ended(queue)
    queue.clock.forward(5)
    Worker.update(stopped_at=queue.clock(), status="lost").where(Worker.pk == old).execute()
    assert _ids(roster.ended()[0]) == [old, young]


def test_the_ended_are_found_by_how_and_why(queue):
    killed = _ended(queue, "killed by SIGKILL", "lost")
    broken = _ended(queue, "exit code 1", "lost", host="other")
    asked = _ended(queue)
    assert _ids(roster.ended("lost")[0]) == [broken, killed]
    assert _ids(roster.ended("stopped")[0]) == [asked]
    assert _ids(roster.ended(reason="sigkill")[0]) == [killed]
    assert _ids(roster.ended(reason="other")[0]) == [broken]
    assert roster.ended("stopped", "SIGKILL") == ([], None)


def test_pages_of_the_ended_meet_without_a_gap(queue):
    every = [_ended(queue) for _ in range(7)][::-1]
    Worker.update(stopped_at=queue.clock()).execute()  # all in one instant
    seen, cursor = [], None
    while True:
        page, cursor = roster.ended(before=cursor, limit=3)
        seen += _ids(page)
        if cursor is None:
            break
    assert seen == every


@pytest.mark.parametrize(
    "asked", [{"end": "running"}, {"reason": "x" * 201}, {"reason": "\0"}, {"before": "1"}, {"before": "x-1"}]
)
def test_what_cannot_be_asked_is_refused(queue, asked):
    with pytest.raises(InvalidInput):
        roster.ended(**asked)


def test_deaths_are_counted_by_their_cause(queue):
    _ended(queue, "killed by SIGKILL", "lost")
    since = queue.clock()
    for reason in ("killed by SIGKILL", "exit code 1", "exit code 1", None):
        _ended(queue, reason, "lost")
    _ended(queue)
    assert [(death.reason, death.times) for death in roster.deaths(since + 1)] == [
        ("exit code 1", 2),
        ("no reason is known", 1),
        ("killed by SIGKILL", 1),
    ]


def test_an_heir_is_named_by_whom_it_replaced(queue):
    dead, other = _ended(queue, "exit code 1", "lost"), _ended(queue)
    heir = _worker(queue, heir_of=dead)
    assert roster.heirs([Worker.get_by_id(dead), Worker.get_by_id(other)]) == {dead: f"w{heir}"}
