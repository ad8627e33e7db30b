"""Short jobs claimed and stored several at once: when, and what is known of them when their worker dies."""

from __future__ import annotations

import errno
import os
import signal
import socket

import pytest

import models
from engine import jobs
from engine.jobs import Claim, Ended, Ending
from engine.output import Output
from models import Attempt, Job
from tests.support import wait_until
from workers import hand as hands
from workers import locks
from workers.hand import Hand, Journal
from workers.loop import Loop

EVERY_BYTE = bytes(range(256))


def _claim(pk: int, run: int = 1) -> Claim:
    return Claim(pk, f"j{pk}", run, 0, 0, 3, None, None, None, "true", "w1", "here", 1000 + pk)


def _ended(held: Claim, duration_ms: int = 1, printed: bytes = b"") -> Ended:
    return Ended(held, "success", Ending(return_code=0, duration_ms=duration_ms, stdout=Output(printed, len(printed))))


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path)


@pytest.fixture
def hand(folder):
    made = Hand(folder, 1)
    yield made
    os.close(made.journal)


def _fill(hand: Hand, first: int, count: int) -> list[Claim]:
    hand.turn(claims := [_claim(pk) for pk in range(first, first + count)], ())
    return claims


# --- how many at once


def test_more_are_claimed_while_there_is_enough_up_to_the_limit(hand):
    asked = []
    for _ in range(8):
        asked.append(hand.reach)
        _fill(hand, 1, hand.reach)
        while held := hand.next():
            hand.end(_ended(held))
    assert asked == [1, 2, 4, 8, 16, 32, 32, 32]


def test_no_more_are_claimed_than_take_a_moment_together(hand):
    for _ in range(6):
        claims = _fill(hand, 1, hand.reach)
        hand.turned_at -= 0.4 * hands.TOGETHER_S * len(claims)
        while held := hand.next():
            hand.end(_ended(held))
    assert hand.reach == 2


def test_one_is_claimed_when_there_was_not_enough(hand):
    _fill(hand, 1, 1)
    assert hand.reach == 2
    hand.waiting.clear()
    _fill(hand, 1, 1)
    assert hand.reach == 1


def test_one_is_claimed_after_a_job_that_took_long(hand):
    for _ in range(2):
        (held, *_) = _fill(hand, 1, hand.reach)
        hand.waiting.clear()
    hand.end(_ended(held, duration_ms=hands.SHORT_MS + 1))
    assert hand.reach == 1
    _fill(hand, 1, 1)
    assert hand.reach == 1
    hand.end(_ended(hand.next()))
    _fill(hand, 1, 1)
    assert hand.reach == 2


def test_a_worker_whose_results_must_be_on_the_disk_holds_one_at_a_time(folder):
    hand = Hand(folder, 1, limit=1)
    for _ in range(3):
        _fill(hand, 1, 1)
        hand.end(_ended(hand.next()))
    assert hand.reach == 1


def test_what_printed_much_is_stored_before_the_next_one_runs(hand):
    (held, _) = _fill(hand, 1, 2)
    hand.next()
    hand.end(_ended(held, printed=b"x" * (hands.OUTPUT_BYTES + 1)))
    assert hand.next() is None
    hand.turn([], ())
    assert hand.next() == _claim(2)


def test_more_are_claimed_while_a_turn_has_to_wait_and_fewer_again_when_not(hand):
    def turns(took_s: float) -> list[int]:
        asked = []
        for _ in range(9):
            hand.turn([_claim(pk) for pk in range(hand.reach)], (), took_s)
            while held := hand.next():
                hand.end(_ended(held))
            asked.append(hand.reach)
        return asked

    assert turns(took_s=60.0)[-1] == hands.MOST
    assert turns(took_s=0.0)[-1] == hands.LIMIT


# --- what is known of them afterwards


def test_the_journal_knows_who_has_begun_and_how_it_ended(hand, folder):
    first, second, third = _fill(hand, 1, 3)
    assert hand.begin(first)
    hand.end(run := _ended(first._replace(started_at=7), printed=EVERY_BYTE))
    assert hand.begin(second)
    assert Journal(folder, 1).end_of(first) is None
    hand.note()
    journal = Journal(folder, 1)
    assert [journal.has_begun(held, among=3) for held in (first, second, third)] == [True, True, False]
    assert journal.end_of(first) == run
    assert journal.end_of(second) is None


def test_one_job_at_a_time_is_not_written_down(hand, folder):
    (held,) = _fill(hand, 1, 1)
    assert hand.begin(held)
    assert os.path.getsize(locks.of_hand(folder, 1)) == 0
    assert Journal(folder, 1).has_begun(held, among=1)


def test_of_several_of_which_nothing_is_said_none_has_begun(folder):
    assert not Journal(folder, 1).has_begun(_claim(1), among=2)


def test_what_is_said_is_forgotten_once_it_is_stored(hand, folder):
    first, _ = _fill(hand, 1, 2)
    hand.begin(first)
    hand.waiting.clear()
    _fill(hand, 3, 1)
    assert os.path.getsize(locks.of_hand(folder, 1)) == 0


def test_a_job_put_back_and_claimed_again_is_not_taken_for_begun(hand, folder):
    """A command runs, what waited behind it was given back, and this worker claimed it again under the same number."""
    first, second = _fill(hand, 1, 2)
    hand.begin(first)
    hand.clear()
    assert Journal(folder, 1).has_begun(first, among=1)
    assert not Journal(folder, 1).has_begun(second, among=1)


def test_a_line_that_was_cut_off_says_nothing_and_spoils_no_other(hand, folder, monkeypatch):
    first, second, third = _fill(hand, 1, 3)
    hand.begin(first)
    hand.end(_ended(first))
    hand.begin(second)
    whole = os.path.getsize(locks.of_hand(folder, 1))
    hand.note()
    os.truncate(locks.of_hand(folder, 1), whole + 20)
    hand.begin(third)
    journal = Journal(folder, 1)
    assert [journal.has_begun(held, among=3) for held in (first, second, third)] == [True, True, True]
    assert journal.end_of(first) is None


def test_every_end_is_said_once_even_when_the_next_command_cannot_be_started(hand, folder):
    first, second, third = _fill(hand, 1, 3)
    for held in (first, second):
        hand.begin(held)
        hand.end(_ended(held))
    hand.begin(third)
    hand.note()
    size = os.path.getsize(locks.of_hand(folder, 1))
    hand.note()
    assert os.path.getsize(locks.of_hand(folder, 1)) == size
    journal = Journal(folder, 1)
    assert [journal.end_of(held) for held in (first, second)] == hand.ended


def test_a_full_disk_is_told_to_who_wants_to_begin(hand, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    first, _ = _fill(hand, 1, 2)
    monkeypatch.setattr(os, "write", full)
    assert not hand.begin(first)


def test_an_end_that_cannot_be_written_down_is_stored_before_the_next_command(hand, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    first, second, _ = _fill(hand, 1, 3)
    for held in (first, second):
        assert hand.next() == held
        hand.begin(held)
        if held == second:
            monkeypatch.setattr(os, "write", full)
            hand.note()
        hand.end(_ended(held))
    assert hand.next() is None


# --- the loop


@pytest.fixture
def loop(tmp_path):
    models.connect(str(tmp_path / "queue.db"))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made = Loop("w1", "here", models.instance(), theirs, Hand(models.run_folder(), 1))
    theirs.setblocking(False)
    made.alarm.setblocking(False)
    yield made, ours
    for end in (ours, theirs, made.alarm, made.alarm_end):
        end.close()
    os.close(made.hand.journal)
    models.disconnect()


def _held(loop: Loop, count: int) -> list[Claim]:
    ids = jobs.enqueue_many({"command": "true"} for _ in range(count))
    claims, _ = jobs.turn("w1", "here", reach=count)
    assert [held.id for held in claims] == ids
    loop.hand.turn(claims, ())
    loop.held = loop.hand.next()
    return claims


def test_a_job_that_waits_behind_another_can_be_cancelled(loop):
    made, supervisor = loop
    running, waiting, other = _held(made, 3)
    jobs.cancel(waiting.id)
    supervisor.send(f"cancel {waiting.pk} {waiting.run}".encode())
    assert made._hear() is None
    assert [Job.get_by_id(held.pk).state for held in (running, waiting, other)] == [
        "processing",
        "cancelled",
        "pending",
    ]


def test_on_a_full_disk_nothing_is_held_beside_what_runs(loop, monkeypatch):
    made, _ = loop
    first, second, third = _held(made, 3)
    monkeypatch.setattr(made.hand, "begin", lambda held: False)
    made._execute(first)
    assert [Job.get_by_id(held.pk).state for held in (second, third)] == ["pending", "pending"]
    assert [run.held.id for run in made.hand.ended] == [first.id]


def test_on_a_full_disk_the_last_of_several_is_known_to_have_begun(loop, monkeypatch):
    """What was said of the others is gone then: who holds one job and says nothing has begun it."""
    made, _ = loop
    first, second = _held(made, 2)
    made.hand.begin(first)
    made.hand.end(_ended(first, printed=b"x" * (hands.OUTPUT_BYTES + 1)))
    made._turn()
    monkeypatch.setattr(made.hand, "begin", lambda held: False)
    made._execute(made.hand.next())
    assert Journal(models.run_folder(), 1).has_begun(second, among=1)


def test_what_was_prepared_for_a_job_is_not_used_once_its_settings_are_others(loop):
    """It was given back meanwhile and claimed anew, under the same number."""
    made, _ = loop
    _, waiting = _held(made, 2)
    made._meanwhile()
    order = made.prepared[1]
    assert made._order(waiting._replace(started_at=7)) is order
    made._meanwhile()
    again = waiting._replace(settings='{"job_timeout_sec": 5}')
    assert (made._order(again).timeout_s, order.timeout_s) == (5, None)


# --- real processes


def test_a_worker_that_is_killed_among_short_jobs_costs_only_the_one_that_ran(queue, tmp_path):
    """The ends that were not stored yet are, and what had not begun is as if it had not been claimed."""
    ledger, once = tmp_path / "ledger", tmp_path / "once"
    killer = f"echo $QUEUECTL_JOB_ID >> {ledger}; [ -e {once} ] || {{ touch {once}; kill -9 $PPID; sleep 60; }}"
    commands = [killer if number == 10 else f"echo $QUEUECTL_JOB_ID >> {ledger}" for number in range(20)]
    ids = jobs.enqueue_many({"command": command} for command in commands)
    queue.start(1)
    for job_id in ids:
        queue.wait_for(job_id, "completed")
    began = ledger.read_text().split()
    assert sorted(began) == sorted([*ids, ids[10]])
    outcomes = {job_id: queue.outcomes(job_id) for job_id in ids}
    assert outcomes.pop(ids[10]) == ["lost", "success"]
    assert set(map(tuple, outcomes.values())) == {("success",)}
    assert {job.crashes for job in Job.select().where(Job.id != ids[10])} == {0}


def test_what_waits_behind_a_command_that_takes_long_is_given_to_another_worker(queue, tmp_path):
    flag = tmp_path / "flag"
    short = [{"command": ":"} for _ in range(30)]
    waits = {"command": f"until [ -e {flag} ]; do sleep 0.01; done"}
    ids = jobs.enqueue_many([*short, waits, {"command": f"touch {flag}"}])
    queue.start(2)
    for job_id in ids:
        queue.wait_for(job_id, "completed")


def test_the_end_of_a_short_job_is_stored_while_a_long_one_runs_after_it(queue, tmp_path):
    gate = tmp_path / "gate"
    short = jobs.enqueue_many({"command": ":"} for _ in range(31))
    long = queue.add(f"until [ -e {gate} ]; do sleep 0.01; done")
    queue.start(1)
    queue.wait_for(long, "processing")
    for job_id in short:
        queue.wait_for(job_id, "completed")
    assert queue.state(long) == "processing"
    gate.touch()
    queue.wait_for(long, "completed")


def test_a_drained_worker_gives_back_what_it_has_not_begun(queue, tmp_path):
    gate = tmp_path / "gate"
    ids = jobs.enqueue_many({"command": f"until [ -e {gate} ]; do sleep 0.01; done"} for _ in range(5))
    (worker_id,) = queue.start(1)
    queue.wait_for(ids[0], "processing")
    os.kill(queue.worker(worker_id).pid, signal.SIGTERM)
    gate.touch()
    wait_until(lambda: queue.worker(worker_id).stopped_at)
    assert Attempt.select().where(Attempt.outcome != "success").count() == 0
