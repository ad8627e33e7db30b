"""Short jobs claimed and stored several at once: when, and what is known of them when their worker dies."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sqlite3

import pytest

import models
from engine import jobs
from engine.errors import Unavailable
from engine.jobs import Claim, Ended, Ending
from engine.output import Output
from models import Attempt, Job
from tests.support import wait_until
from workers import hand as hands
from workers import journal, locks
from workers import loop as loops
from workers.hand import Hand
from workers.journal import Journal
from workers.loop import Loop

LIFE = "instance life"


def _claim(pk: int, run: int = 1) -> Claim:
    return Claim(pk, f"j{pk}", run, 0, 0, 3, None, None, None, "true", "w1", "here", 1000 + pk)


def _ended(held: Claim, duration_ms: int = 1, printed: bytes = b"") -> Ended:
    return Ended(held, "success", Ending(return_code=0, duration_ms=duration_ms, stdout=Output(printed, len(printed))))


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path)


@pytest.fixture
def hand(folder) -> Hand:
    return Hand(folder, 1, LIFE)


def _journal(folder: str) -> Journal:
    return Journal(locks.of_hand(folder, 1), LIFE)


def full_disk(fd, data):
    raise OSError(errno.ENOSPC, "No space left on device")


def _refuse(*_, **__):
    raise Unavailable("The database is locked.")


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
    assert asked == [1, 2, 4, 8, 16, 32, 64, 64]


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
    hand = Hand(folder, 1, LIFE, limit=1)
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


def _full_hand(hand: Hand) -> None:
    """Grown as far as it goes, and just filled."""
    for _ in range(6):
        _fill(hand, 1, hand.reach)
        while held := hand.next():
            hand.begin(held)
            hand.end(_ended(held))
    _fill(hand, 1, hand.reach)


def _run(hand: Hand, count: int) -> None:
    for _ in range(count):
        held = hand.next()
        hand.begin(held)
        hand.end(_ended(held))


def test_it_is_low_when_a_quarter_is_left_and_not_when_nothing_is(hand):
    _full_hand(hand)
    low = []
    for left in range(hands.LIMIT, 0, -1):
        low += [left] * hand.is_low
        _run(hand, 1)
    assert low == [*range(hands.LIMIT // 4, 0, -1)]
    assert not hand.is_low


def test_a_hand_that_holds_few_is_never_low(hand):
    for _ in range(2):
        _fill(hand, 1, hand.reach)
        while hand.waiting:
            assert not hand.is_low
            _run(hand, 1)


def test_what_was_claimed_early_comes_after_what_waits_and_nothing_is_said_of_either(hand, folder):
    _full_hand(hand)
    _run(hand, hands.LIMIT - 3)
    left, more = list(hand.waiting), [_claim(pk) for pk in range(100, 100 + hand.room)]
    hand.turn(more, (), 0.0, hand.room)
    assert [*hand.waiting] == [*left, *more]
    assert not hand.ended
    assert not _journal(folder).begun
    assert hand.reach == hands.LIMIT


def test_when_too_few_were_there_to_claim_early_it_is_not_asked_for_again(hand):
    _full_hand(hand)
    _run(hand, hands.LIMIT - 3)
    hand.turn([_claim(100)], (), 0.0, hand.room)
    assert len(hand.waiting) == 4
    assert not hand.is_low
    assert hand.reach == 1


def test_of_several_that_wait_it_is_said_who_begins_though_none_was_claimed_early(hand, folder):
    _full_hand(hand)
    _run(hand, hands.LIMIT - 3)
    hand.turn([], (), 0.0, hand.room)
    first, second, _ = hand.waiting
    hand.begin(hand.next())
    assert [_journal(folder).has_begun(held, among=3) for held in (first, second)] == [True, False]


# --- what is said of them


def test_of_a_job_held_alone_it_is_known_whether_it_has_begun_and_how_it_ended(hand, folder):
    (held,) = _fill(hand, 1, 1)
    assert not _journal(folder).has_begun(held, among=1)
    assert hand.begin(held)
    assert _journal(folder).has_begun(held, among=1)
    hand.end(_ended(held))
    hand.say()
    assert _journal(folder).end_of(held) == _ended(held)


def test_what_is_said_is_forgotten_once_it_is_stored(hand, folder):
    first, _ = _fill(hand, 1, 2)
    hand.begin(first)
    hand.waiting.clear()
    _fill(hand, 3, 1)
    assert not _journal(folder).begun


def test_a_job_put_back_and_claimed_again_is_not_taken_for_begun(hand, folder):
    """A command runs, what waited behind it was given back, and this worker claimed it again under the same number."""
    first, second = _fill(hand, 1, 2)
    hand.begin(first)
    hand.clear()
    assert _journal(folder).has_begun(first, among=1)
    assert not _journal(folder).has_begun(second, among=1)


def test_every_end_is_said(hand, folder):
    first, second, third = _fill(hand, 1, 3)
    for held in (first, second):
        hand.begin(held)
        hand.end(_ended(held))
    hand.begin(third)
    assert [_journal(folder).end_of(held) for held in (first, second, third)] == [*hand.ended, None]
    hand.end(_ended(third))
    assert _journal(folder).end_of(third) is None
    hand.say()
    assert [_journal(folder).end_of(held) for held in (first, second, third)] == hand.ended


def test_a_full_disk_is_told_to_who_wants_to_begin(hand, monkeypatch):
    first, _ = _fill(hand, 1, 2)
    monkeypatch.setattr(os, "write", full_disk)
    assert not hand.begin(first)


def test_an_end_that_finds_no_room_is_stored_before_the_next_command(hand):
    first, second, _ = _fill(hand, 1, 3)
    for held in (first, second):
        assert hand.next() == held
        hand.begin(held)
        if held == second:
            hand.journal.used = journal.SIZE
        hand.end(_ended(held))
    assert hand.next() is None


# --- the loop


@pytest.fixture
def loop(tmp_path):
    models.connect(str(tmp_path / "queue.db"))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made = Loop("w1", "here", models.instance(), theirs, Hand(models.run_folder(), 1, LIFE))
    theirs.setblocking(False)
    made.alarm.setblocking(False)
    yield made, ours
    for end in (ours, theirs, made.alarm, made.alarm_end):
        end.close()
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


def test_a_cancel_of_a_job_that_waits_is_remembered_while_nothing_can_be_stored(loop, monkeypatch):
    made, supervisor = loop
    _, waiting, _ = _held(made, 3)
    supervisor.send(f"cancel {waiting.pk} {waiting.run}".encode())
    with monkeypatch.context() as patch:
        patch.setattr(loops, "turn", _refuse)
        assert made._hear() is None
    made._execute(made.hand.next())
    assert [(ended.held, ended.outcome) for ended in made.hand.ended] == [(waiting, "cancelled")]
    assert not made.hand.cancelled


def test_a_cancel_that_comes_before_the_command_begins_is_heeded(loop, monkeypatch):
    """There is no room to say that the job begins, and the database is locked: the worker listens while it waits."""
    made, supervisor = loop
    held, *_ = _held(made, 2)
    made.held = None
    supervisor.send(f"cancel {held.pk} {held.run}".encode())
    answers = iter([_refuse, jobs.turn])
    monkeypatch.setattr(loops, "turn", lambda *words: next(answers)(*words))
    monkeypatch.setattr(made.hand, "begin", lambda held: False)
    made._execute(held)
    assert [(ended.held, ended.outcome) for ended in made.hand.ended] == [(held, "cancelled")]


def test_a_worker_without_a_job_for_a_while_gives_back_memory_once(loop, monkeypatch):
    made, supervisor = loop
    tidied = []
    tidy = loops._tidy

    def tidies() -> None:
        tidied.append(tidy())
        supervisor.send(b"wake")  # else it would wait for ever

    monkeypatch.setattr(loops, "_tidy", tidies)
    monkeypatch.setattr(loops, "REST_S", 0)
    for times in (1, 2):
        jobs.enqueue({"command": "true"})
        assert made._next() is not None
        supervisor.send(b"wake")
        made._rest()
        assert len(tidied) == times - 1  # word came at once
        made._rest()
        assert len(tidied) == times
        supervisor.send(b"wake")
        made._rest()
        assert len(tidied) == times  # nothing was run since


@pytest.fixture
def low(loop) -> Loop:
    """It has run six of eight jobs, and more wait to be claimed."""
    made, _ = loop
    jobs.enqueue_many({"command": "true"} for _ in range(20))
    made.hand.reach = 8
    claims, _ = jobs.turn("w1", "here", reach=8)
    made.hand.turn(claims, ())
    made.hand.reach = 8
    _run(made.hand, 6)
    return made


def _states(of: list[Claim]) -> list[str]:
    return [Job.get_by_id(held.pk).state for held in of]


def test_a_hand_that_is_low_is_filled_before_it_is_empty(low):
    ran, left = [run.held for run in low.hand.ended], list(low.hand.waiting)
    assert low._next() == left[0]
    assert _states(ran) == ["completed"] * 6
    assert len(low.hand.waiting) == 7
    assert _states(list(low.hand.waiting)) == ["processing"] * 7


def test_while_another_writes_what_is_held_is_run_and_nobody_waits(low, tmp_path, monkeypatch):
    def waits(*_):
        raise AssertionError("it waits for the lock")

    monkeypatch.setattr(models.db.obj, "patiently", waits)
    ran, left = [run.held for run in low.hand.ended], list(low.hand.waiting)
    writer = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert [low._next(), low._next()] == left
    writer.execute("ROLLBACK")
    writer.close()
    assert _states(ran) == ["processing"] * 6
    monkeypatch.undo()
    low._next()
    assert _states(ran) == ["completed"] * 6


def test_a_worker_that_leaves_claims_nothing_early(low):
    low.leaving = True
    assert low._next() is None
    assert Job.select().where(Job.state == "processing").count() == 0


def test_on_a_full_disk_nothing_is_held_beside_what_runs(loop, monkeypatch):
    made, _ = loop
    first, second, third = _held(made, 3)
    monkeypatch.setattr(made.hand, "begin", lambda held: False)
    made._execute(first)
    assert [Job.get_by_id(held.pk).state for held in (second, third)] == ["pending", "pending"]
    assert [run.held.id for run in made.hand.ended] == [first.id]


def test_on_a_full_disk_the_last_of_several_is_known_to_have_begun(loop, monkeypatch):
    """The journal of a worker that cannot say what it runs says nothing at all."""
    made, _ = loop
    first, second = _held(made, 2)
    made.hand.begin(first)
    made.hand.end(_ended(first, printed=b"x" * (hands.OUTPUT_BYTES + 1)))
    made._turn()
    monkeypatch.setattr(made.hand, "begin", lambda held: False)
    made._execute(made.hand.next())
    assert _journal(models.run_folder()).has_begun(second, among=1)


# --- real processes


def test_what_an_earlier_worker_of_the_same_number_left_says_nothing_of_a_run(queue):
    """As after the database was deleted or replaced: the numbers of workers, jobs and runs are given again."""
    earlier = journal.Writer(locks.of_hand(models.run_folder(), 1), LIFE)
    for pk in (1, 2):
        earlier.begin(_claim(pk))
        earlier.end(_ended(_claim(pk)))
    job_id = queue.add("sleep 60")
    queue.start(1)
    job = queue.wait_for(job_id, "processing")
    assert (job.pk, job.run, job.locked_by) == (1, 1, "w1")
    wait_until(queue.marked_processes)
    os.kill(queue.worker("w1").pid, signal.SIGKILL)
    wait_until(lambda: queue.job(job_id).run == 2)
    assert queue.outcomes(job_id)[0] == "lost"
    assert queue.job(job_id).crashes == 1


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
