"""The engine beside a small model of it: random histories, and after each step both must say the same.

Claims are kept and used again when they are stale, the clock jumps both ways, settings change in between, and
processes die in the middle of a call: before or after any of its statements, its commit among them.
MODEL_EXAMPLES=50000 makes a long night of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import models
from engine import config, dialect, dlq, jobs
from engine.database import Sqlite
from engine.errors import Refused, StaleClaim
from engine.jobs import Claim, Ending
from engine.output import Output
from models import STATES, Config, Job
from tests.engine.conftest import counted, really
from tests.faults.crashpoints import AFTER, BEFORE, Connection

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", 100))
WORKERS = ("w1", "w1", "w2")
PICK = st.integers(0, 5)  # which of the jobs there are

MAX_RETRIES = st.sampled_from([None, 0, 1])
DEADLY = ("enqueue", "cancel", "retry", "claim", "finish", "finish_and_claim", "lose", "delete", "prune", "show_output")
DEADLY += ("unretry", "undelete")
ENDS = ("complete", "fail", "fail", "timeout", "release", "cancelled")


@dataclass
class Modelled:
    """What a job should be."""

    pk: int
    priority: int
    queue: str
    max_retries: int
    next_run_at: int
    state: str = "pending"
    run: int = 0
    attempts: int = 0
    crashes: int = 0
    holder: str | None = None
    cancel_requested: bool = False
    finished_at: int | None = None
    outcomes: dict[int, str] = field(default_factory=dict)
    retried_at_run: int | None = None
    before: dict[str, Any] = field(default_factory=dict)  # its last retry

    def columns(self) -> tuple:
        counts = (self.run, self.attempts, self.crashes, self.max_retries)
        return (self.pk, self.state, *counts, self.next_run_at, self.holder, self.cancel_requested, self.finished_at)

    def is_waiting(self) -> bool:
        return self.state in ("pending", "failed")

    def can_be_unretried(self) -> bool:
        return self.state == "pending" and self.retried_at_run == self.run

    def is_held_by(self, claim: Claim) -> bool:
        return (self.pk, self.run, self.holder) == (claim.pk, claim.run, claim.worker)

    def end(self, outcome: str, state: str) -> None:
        self.outcomes[self.run] = outcome
        self.state = "cancelled" if self.cancel_requested and state != "completed" else state
        self.holder, self.cancel_requested = None, False


class Death(BaseException):
    """The process is gone; no code of its own runs any more."""


class Mortal(Connection):
    """A connection whose process dies before or after its nth statement. Whoever goes on after that does nothing."""

    left: int | None = None  # statements until then; None: it lives
    side = BEFORE
    is_dead = False
    has_committed = False

    def meet(self, sql: str, side: str) -> None:
        if Mortal.is_dead:
            raise Death
        if side == AFTER and sql == "COMMIT":
            Mortal.has_committed = True
        if Mortal.left is not None and side == Mortal.side:
            Mortal.left -= 1
            if Mortal.left < 0:
                Mortal.is_dead = True
                raise Death

    @classmethod
    def live(cls, left: int | None = None, side: str = BEFORE) -> None:
        """Live on, for `left` statements."""
        cls.left, cls.side, cls.is_dead, cls.has_committed = left, side, False, False


Deed = tuple[Callable[[], Any], Callable[[], Any]]  # a call of the engine, and what it does to the model


def _rows(sql: str) -> list[tuple]:
    return models.db.execute_sql(sql).fetchall()


has_jobs = precondition(lambda self: self.jobs)
has_work = precondition(lambda self: self._due())


class Lifecycle(RuleBasedStateMachine):
    queue = None  # the fixture, set by the test
    claims = Bundle("claims")

    def __init__(self):
        super().__init__()
        Job.delete().execute()
        Config.delete().execute()
        self.clock = self.queue.clock
        self.jobs: dict[str, Modelled] = {}
        self.max_retries = 3
        self.max_crashes = 3
        self.trash: dict[str, Modelled] = {}
        self.enqueued = 0
        self.known: list[Claim] = []  # all claims that a worker was told of

    # --- what people do

    @initialize(first=MAX_RETRIES, second=MAX_RETRIES)
    def begin_with_two_jobs(self, first, second):
        self._enqueue(max_retries=first)
        self._enqueue(max_retries=second)

    @precondition(lambda self: len(self.jobs) < 5)
    @rule(
        priority=st.sampled_from([0, 0, 5, -5]),
        queue=st.sampled_from(["default", "mail"]),
        max_retries=MAX_RETRIES,
        delay_s=st.sampled_from([0, 0, 30]),
    )
    def enqueue(self, priority, queue, max_retries, delay_s):
        self._enqueue(priority, queue, max_retries, delay_s)

    @has_jobs
    @rule(pick=PICK)
    def cancel(self, pick):
        name, job = self._pick(pick)
        if job.is_waiting():
            assert jobs.cancel(name) == "cancelled"
            self._cancelled(job)
        elif job.state == "processing":
            assert jobs.cancel(name) == "processing"
            job.cancel_requested = True
        else:
            with pytest.raises(Refused):
                jobs.cancel(name)

    @precondition(lambda self: self._in_state(*jobs.RETRYABLE))
    @rule(pick=PICK)
    def retry(self, pick):
        name, job = self._pick(pick, *jobs.RETRYABLE)
        jobs.retry(name)
        self._renew(job)

    @has_jobs
    @rule(pick=PICK)
    def retry_from_the_dlq(self, pick):
        name, job = self._pick(pick)
        if job.state == "dead":
            dlq.retry(name)
            self._renew(job)
        else:
            with pytest.raises(Refused):
                dlq.retry(name)

    @rule()
    def retry_all(self):
        dead = [job for job in self.jobs.values() if job.state == "dead"]
        assert dlq.retry_all() == len(dead)
        for job in dead:
            self._renew(job)

    @precondition(lambda self: len(self.jobs) > 2)
    @rule(pick=PICK)
    def delete(self, pick):
        name, job = self._pick(pick)
        if job.state == "processing":
            with pytest.raises(Refused):
                jobs.delete(name)
        else:
            assert jobs.delete(name) == f"~{job.pk}"
            self._move(name, self.jobs, self.trash)

    @precondition(lambda self: self.trash)
    @rule(pick=PICK, by_token=st.booleans())
    def undelete(self, pick, by_token):
        name = [*self.trash][pick % len(self.trash)]
        assert jobs.undelete(f"~{self.trash[name].pk}" if by_token else name) == name
        self._move(name, self.trash, self.jobs)

    @precondition(lambda self: self.trash)
    @rule(pick=PICK)
    def purge(self, pick):
        name = [*self.trash][pick % len(self.trash)]
        assert jobs.purge([job.pk for job in self.jobs.values()], self.clock.now + 1) == 0
        assert jobs.purge([self.trash.pop(name).pk], 2**62) == 1

    @has_jobs
    @rule(pick=PICK)
    def unretry(self, pick):
        name, job = self._pick(pick)
        if job.can_be_unretried():
            assert jobs.unretry(name) == job.before["state"]
            self._unretried(job)
        else:
            with pytest.raises(Refused):
                jobs.unretry(name)

    @has_jobs
    @rule(seconds=st.sampled_from([0, 1, 60, 3600]))
    def prune(self, seconds):
        before = self.clock.now - seconds * 1000
        old = [name for name, job in self.jobs.items() if job.finished_at is not None and job.finished_at < before]
        assert jobs.prune([job.pk for job in self.jobs.values()], before) == len(old)
        for name in old:
            del self.jobs[name]

    @rule(key=st.sampled_from(["max_retries", "max_crashes"]), value=st.integers(1, 3))
    def configure(self, key, value):
        config.set("max_retries_default" if key == "max_retries" else key, value)
        setattr(self, key, value)

    @rule(seconds=st.sampled_from([0.001, 1, 2, 5, 60, 3600, 10_000, -1, -30, -3600]))
    def move_the_clock(self, seconds):
        self.clock.forward(seconds)

    # --- what workers do

    @rule()
    def claim_nothing(self):
        if not self._due():
            assert jobs.claim("w1", "host") is None

    @has_work
    @rule(target=claims, worker=st.sampled_from(WORKERS))
    def claim(self, worker):
        return self._claim(worker)

    @has_work
    @rule(
        target=claims,
        worker=st.sampled_from(WORKERS),
        how=st.sampled_from(ENDS),
        is_cancelled=st.sampled_from([False, False, True]),
    )
    def claim_and_finish(self, worker, how, is_cancelled):
        """The claim is stale from now on."""
        held = self._claim(worker)
        if is_cancelled:
            assert jobs.cancel(held.id) == "processing"
            self.jobs[held.id].cancel_requested = True
        self.finish(held, how)
        return held

    def _claim(self, worker):
        first = self._first()
        held = jobs.claim(worker, "host")
        assert held is not None
        assert held.pk == first.pk, "the most urgent due job comes first"
        self._taken(first, worker)
        self.known.append(held)
        assert (held.run, held.attempts, held.crashes) == (first.run, first.attempts, first.crashes)
        return held

    @rule(held=claims, how=st.sampled_from(ENDS))
    def finish(self, held, how):
        job = self._holding(held)
        if job is None:
            with pytest.raises(StaleClaim):
                self._finish(held, how)
            return
        self._finish(held, how)
        self._finished(job, how)

    @rule(held=claims)
    def lose(self, held):
        job = self._holding(held)
        state = jobs.lose(held.pk, held.run, held.worker, held.host, "killed")
        if job is None:
            assert state is None
            return
        self._lost(job)
        assert state == job.state

    @rule(worker=st.sampled_from(WORKERS))
    def bury(self, worker):
        """Its worker is dead, and nobody knows a claim: what it holds is read from the rows."""
        for job in [job for job in self.jobs.values() if job.holder == worker]:
            self._lost(job)
            assert jobs.lose(job.pk, job.run, worker, "host", "killed") == job.state

    @rule(held=claims)
    def show_output(self, held):
        assert jobs.show_output(held, Output(b"so far", 6), Output()) == (self._holding(held) is not None)

    # --- who dies in the middle of it

    @has_jobs
    @rule(
        what=st.sampled_from(DEADLY),
        pick=PICK,
        how=st.sampled_from(ENDS),
        statements=st.integers(0, 9),
        side=st.sampled_from([BEFORE, AFTER]),
    )
    def die(self, what, pick, how, statements, side):
        """What was committed is done, anything else is as if it had never begun."""
        deed: Deed | None = getattr(self, f"_to_{what}")(pick, how)
        if deed is None:
            return
        act, follow = deed
        Mortal.live(statements, side)
        with suppress(Death):
            act()
        is_done = Mortal.has_committed
        _reopen()
        if is_done:
            follow()

    def _to_enqueue(self, pick: int, how: str) -> Deed | None:
        if len(self.jobs) > 5:
            return None
        self.enqueued += 1
        name = f"j{self.enqueued}"
        # The key is asked for afterwards: one that was undone may be given again.
        return partial(jobs.enqueue, {"id": name, "command": "true"}), partial(self._enqueued, name, self.clock.now)

    def _to_cancel(self, pick: int, how: str) -> Deed | None:
        name, job = self._pick(pick)
        if job.is_waiting():
            return partial(jobs.cancel, name), partial(self._cancelled, job)
        if job.state == "processing":
            return partial(jobs.cancel, name), partial(setattr, job, "cancel_requested", True)
        return None

    def _to_retry(self, pick: int, how: str) -> Deed | None:
        if not self._in_state(*jobs.RETRYABLE):
            return None
        name, job = self._pick(pick, *jobs.RETRYABLE)
        return partial(jobs.retry, name), partial(self._renew, job)

    def _to_claim(self, pick: int, how: str) -> Deed | None:
        first = self._first()
        return first and (partial(jobs.claim, "w2", "host"), partial(self._taken, first, "w2"))

    def _to_finish(self, pick: int, how: str) -> Deed | None:
        held = self._some_claim(pick)
        if held is None:
            return None
        job = self._holding(held)
        assert job is not None
        return partial(self._finish, held, how), partial(self._finished, job, how)

    def _to_finish_and_claim(self, pick: int, how: str) -> Deed | None:
        """What a worker does between two jobs: both, or neither."""
        held = self._some_claim(pick)
        if held is None:
            return None
        job = self._holding(held)
        assert job is not None

        def act() -> None:
            with models.db.transaction():
                self._finish(held, how)
                jobs.claim(held.worker, "host")

        def follow() -> None:
            self._finished(job, how)
            first = self._first()
            if first is not None:
                self._taken(first, held.worker)

        return act, follow

    def _to_lose(self, pick: int, how: str) -> Deed | None:
        held = self._some_claim(pick)
        if held is None:
            return None
        job = self._holding(held)
        assert job is not None
        return partial(jobs.lose, held.pk, held.run, held.worker, "host", "killed"), partial(self._lost, job)

    def _to_delete(self, pick: int, how: str) -> Deed | None:
        name, job = self._pick(pick)
        if job.state == "processing" or len(self.jobs) < 3:
            return None
        return partial(jobs.delete, name), partial(self._move, name, self.jobs, self.trash)

    def _to_undelete(self, pick: int, how: str) -> Deed | None:
        if not self.trash:
            return None
        name = [*self.trash][pick % len(self.trash)]
        return partial(jobs.undelete, name), partial(self._move, name, self.trash, self.jobs)

    def _to_unretry(self, pick: int, how: str) -> Deed | None:
        name, job = self._pick(pick)
        return (partial(jobs.unretry, name), partial(self._unretried, job)) if job.can_be_unretried() else None

    def _to_prune(self, pick: int, how: str) -> Deed | None:
        now = self.clock.now
        old = [name for name, job in self.jobs.items() if job.finished_at is not None and job.finished_at < now]

        def follow() -> None:
            for name in old:
                del self.jobs[name]

        return partial(jobs.prune, [job.pk for job in self.jobs.values()], now), follow

    def _to_show_output(self, pick: int, how: str) -> Deed | None:
        held = self._some_claim(pick)
        return held and (partial(jobs.show_output, held, Output(b"so far", 6), Output()), lambda: None)

    def _some_claim(self, pick: int) -> Claim | None:
        """A claim that holds its job still."""
        valid = [held for held in self.known if self._holding(held)]
        return valid[pick % len(valid)] if valid else None

    # --- what must be true after each step

    @invariant()
    def every_job_is_what_the_model_says(self):
        stored = _rows(
            "SELECT id, pk, state, run, attempts, crashes, max_retries, next_run_at, locked_by, cancel_requested, finished_at"
            " FROM job WHERE state <> 'deleted'"
        )
        assert sorted(stored) == sorted((name, *job.columns()) for name, job in self.jobs.items())

    @invariant()
    def every_job_in_the_trash_can_come_back_as_it_was(self):
        stored = _rows("SELECT deleted_id, id, deleted_from FROM job WHERE state = 'deleted'")
        assert sorted(stored) == sorted((name, f"~{job.pk}", job.state) for name, job in self.trash.items())

    @invariant()
    def a_job_is_held_exactly_while_it_runs(self):
        held = "locked_by IS NOT NULL AND locked_at IS NOT NULL"
        free = "locked_by IS NULL AND locked_at IS NULL"
        assert not _rows(f"SELECT id FROM job WHERE NOT iif(state = 'processing', {held}, {free})")

    @invariant()
    def a_job_that_spent_its_retries_runs_no_more(self):
        assert not _rows("SELECT id FROM job WHERE attempts > max_retries + 1")
        assert not _rows("SELECT id FROM job WHERE attempts > max_retries AND state IN ('failed', 'processing')")

    @invariant()
    def a_job_has_ended_exactly_when_it_has_an_instant_of_its_end(self):
        ended = "state IN ('completed', 'dead', 'cancelled')"
        there = "state <> 'deleted'"
        assert not _rows(f"SELECT id FROM job WHERE {there} AND ({ended}) <> (finished_at IS NOT NULL)")

    @invariant()
    def every_run_that_ended_has_one_attempt_that_says_how(self):
        stored = _rows("SELECT job_pk, run, outcome FROM attempt WHERE outcome <> 'running'")
        all_jobs = [*self.jobs.values(), *self.trash.values()]
        assert sorted(stored) == sorted((job.pk, *end) for job in all_jobs for end in job.outcomes.items())

    @invariant()
    def only_the_present_run_is_under_way(self):
        present = {(job.pk, job.run) for job in self.jobs.values() if job.state == "processing"}
        assert set(_rows("SELECT job_pk, run FROM attempt WHERE outcome = 'running'")) <= present

    @invariant()
    def a_completed_job_names_a_run_that_succeeded(self):
        done = [job for job in self.jobs.values() if job.state == "completed"]
        assert all(job.outcomes[job.run] == "success" for job in done)

    @invariant()
    def the_counters_are_right(self):
        assert counted() == really()

    # ---

    def _enqueue(self, priority=0, queue="default", max_retries=None, delay_s=0):
        self.enqueued += 1
        name = f"j{self.enqueued}"
        payload = {"id": name, "command": "true", "priority": priority, "queue": queue, "run_at": f"+{delay_s}s"}
        jobs.enqueue(payload | {"max_retries": max_retries})
        self._enqueued(name, self.clock.now + delay_s * 1000, priority, queue, max_retries)

    def _enqueued(self, name: str, due_at: int, priority=0, queue="default", max_retries: int | None = None) -> None:
        self.jobs[name] = Modelled(
            pk=Job.get(Job.id == name).pk,
            priority=priority,
            queue=queue,
            max_retries=self.max_retries if max_retries is None else max_retries,
            next_run_at=due_at,
        )

    def _cancelled(self, job: Modelled) -> None:
        job.state, job.finished_at = "cancelled", self.clock.now

    def _taken(self, job: Modelled, worker: str) -> None:
        job.run += 1
        job.state, job.holder = "processing", worker

    def _finished(self, job: Modelled, how: str) -> None:
        if how in ("fail", "timeout"):
            job.attempts += 1
            is_last = job.attempts > job.max_retries
            if not is_last:
                job.next_run_at = self.clock.now + 1000 * 2**job.attempts
            job.end("failed" if how == "fail" else how, "dead" if is_last else "failed")
        else:
            outcome, state = {"complete": ("success", "completed"), "release": ("released", "pending")}.get(
                how, (how, how)
            )
            job.end(outcome, state)
        self._date(job)

    def _lost(self, job: Modelled) -> None:
        job.crashes += 1
        job.end("lost", "dead" if job.crashes >= self.max_crashes else "pending")
        self._date(job)

    def _date(self, job: Modelled) -> None:
        job.finished_at = self.clock.now if job.state in jobs.FINAL else None

    def _first(self) -> Modelled | None:
        return min(self._due(), key=lambda job: (-job.priority, job.next_run_at, job.pk), default=None)

    def _due(self) -> list[Modelled]:
        return [job for job in self.jobs.values() if job.is_waiting() and job.next_run_at <= self.clock.now]

    def _in_state(self, *states: str) -> list[str]:
        return [name for name, job in self.jobs.items() if job.state in states]

    def _pick(self, pick: int, *states: str) -> tuple[str, Modelled]:
        names = self._in_state(*states or STATES)
        name = names[pick % len(names)]
        return name, self.jobs[name]

    def _holding(self, held: Claim) -> Modelled | None:
        return next((job for job in self.jobs.values() if job.state == "processing" and job.is_held_by(held)), None)

    def _move(self, name: str, source: dict[str, Modelled], target: dict[str, Modelled]) -> None:
        target[name] = source.pop(name)

    def _unretried(self, job: Modelled) -> None:
        for name, value in job.before.items():
            setattr(job, name, value)
        job.retried_at_run = None

    def _renew(self, job: Modelled) -> None:
        job.retried_at_run = job.run
        job.before = {
            name: getattr(job, name) for name in ("state", "attempts", "crashes", "next_run_at", "finished_at")
        }
        job.state, job.attempts, job.crashes, job.next_run_at = "pending", 0, 0, self.clock.now
        job.finished_at = None

    def _finish(self, held: Claim, how: str) -> None:
        if how == "timeout":
            jobs.fail(held, Ending(error="timed out"), "timeout")
        else:
            getattr(jobs, how)(held, Ending(return_code=0 if how == "complete" else 1))


def _reopen() -> None:
    """What the kernel does for a process that dies, and what the next one does: its connection goes, another comes."""
    models.db.connection().close()
    models.db.obj._state.reset()
    Mortal.live()
    models.db.connect()


@pytest.fixture
def mortal_queue(queue, monkeypatch):
    monkeypatch.setitem(models.db.connect_params, "factory", Mortal)
    _reopen()
    Lifecycle.queue = queue
    yield queue
    Mortal.live()


HOW = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_any_history_leaves_the_engine_as_the_model_says(mortal_queue):
    run_state_machine_as_test(Lifecycle, settings=HOW)
    assert models.db.execute_sql("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert models.db.execute_sql("PRAGMA foreign_key_check").fetchall() == []


def _end_without_the_run(monkeypatch) -> None:
    monkeypatch.setattr(dialect, "END", dialect.END.replace(" AND run = :run", ""))


def _end_in_two_transactions(monkeypatch) -> None:
    """The job ends in one, its attempt in another: whoever dies between leaves half."""
    real = Sqlite.execute_sql

    def execute_sql(self, sql, params=None):
        result = real(self, sql, params)
        if sql == dialect.END and result.rowcount == 1:
            real(self, "COMMIT")
            real(self, "BEGIN IMMEDIATE")
        return result

    monkeypatch.setattr(Sqlite, "execute_sql", execute_sql)


def _die_at_every_statement_of_an_end() -> None:
    for statements in range(8):
        machine = Lifecycle()
        machine.begin_with_two_jobs(None, None)
        machine.claim("w1")
        machine.die("finish", 0, "complete", statements, BEFORE)
        machine.every_job_is_what_the_model_says()
        machine.every_run_that_ended_has_one_attempt_that_says_how()


def _finish_late() -> None:
    machine = Lifecycle()
    machine.begin_with_two_jobs(None, None)
    held = machine.claim("w1")
    machine.lose(held)
    machine.claim("w1")
    machine.finish(held, "complete")


def test_the_model_notices_an_end_in_two_transactions(mortal_queue, monkeypatch):
    _die_at_every_statement_of_an_end()
    _end_in_two_transactions(monkeypatch)
    with pytest.raises(AssertionError):
        _die_at_every_statement_of_an_end()


def test_the_model_notices_an_end_without_the_run(mortal_queue, monkeypatch):
    _finish_late()
    _end_without_the_run(monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="StaleClaim"):
        _finish_late()
