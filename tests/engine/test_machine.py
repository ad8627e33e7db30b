"""The engine beside a small model of it: random histories, and after each step both must say the same.

Claims are kept and used again when they are stale, the clock jumps both ways, settings change in between.
MODEL_EXAMPLES=50000 makes a long night of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

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
from engine import config, dlq, jobs
from engine.errors import Refused, StaleClaim
from engine.jobs import Claim, Ending
from engine.output import Output
from models import STATES, Config, Job
from tests.engine.conftest import counted, really

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", 100))
WORKERS = ("w1", "w1", "w2")
PICK = st.integers(0, 5)  # which of the jobs there are

MAX_RETRIES = st.sampled_from([None, 0, 1])
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
    outcomes: dict[int, str] = field(default_factory=dict)

    def columns(self) -> tuple:
        counts = (self.run, self.attempts, self.crashes, self.max_retries)
        return (self.pk, self.state, *counts, self.next_run_at, self.holder, self.cancel_requested)

    def is_waiting(self) -> bool:
        return self.state in ("pending", "failed")

    def is_held_by(self, claim: Claim) -> bool:
        return (self.pk, self.run, self.holder) == (claim.pk, claim.run, claim.worker)

    def end(self, outcome: str, state: str) -> None:
        self.outcomes[self.run] = outcome
        self.state = "cancelled" if self.cancel_requested and state != "completed" else state
        self.holder, self.cancel_requested = None, False


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
        self.enqueued = 0

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
            job.state = "cancelled"
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
            jobs.delete(name)
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
        first = min(self._due(), key=lambda job: (-job.priority, job.next_run_at, job.pk))
        held = jobs.claim(worker, "host")
        assert held is not None
        assert held.pk == first.pk, "the most urgent due job comes first"
        first.run += 1
        first.state, first.holder = "processing", worker
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

    @rule(held=claims)
    def lose(self, held):
        job = self._holding(held)
        state = jobs.lose(held.pk, held.run, held.worker, held.host, "killed")
        if job is None:
            assert state is None
            return
        job.crashes += 1
        job.end("lost", "dead" if job.crashes >= self.max_crashes else "pending")
        assert state == job.state

    @rule(held=claims)
    def show_output(self, held):
        assert jobs.show_output(held, Output(b"so far", 6), Output()) == (self._holding(held) is not None)

    # --- what must be true after each step

    @invariant()
    def every_job_is_what_the_model_says(self):
        stored = _rows(
            "SELECT id, pk, state, run, attempts, crashes, max_retries, next_run_at, locked_by, cancel_requested FROM job"
        )
        assert sorted(stored) == sorted((name, *job.columns()) for name, job in self.jobs.items())

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
        assert not _rows(f"SELECT id FROM job WHERE ({ended}) <> (finished_at IS NOT NULL)")

    @invariant()
    def every_run_that_ended_has_one_attempt_that_says_how(self):
        stored = _rows("SELECT job_pk, run, outcome FROM attempt WHERE outcome <> 'running'")
        assert sorted(stored) == sorted((job.pk, *end) for job in self.jobs.values() for end in job.outcomes.items())

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
        self.jobs[name] = Modelled(
            pk=Job.get(Job.id == name).pk,
            priority=priority,
            queue=queue,
            max_retries=self.max_retries if max_retries is None else max_retries,
            next_run_at=self.clock.now + delay_s * 1000,
        )

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

    def _renew(self, job: Modelled) -> None:
        job.state, job.attempts, job.crashes, job.next_run_at = "pending", 0, 0, self.clock.now

    def _finish(self, held: Claim, how: str) -> None:
        if how == "timeout":
            jobs.fail(held, Ending(error="timed out"), "timeout")
        else:
            getattr(jobs, how)(held, Ending(return_code=0 if how == "complete" else 1))


def test_any_history_leaves_the_engine_as_the_model_says(queue):
    Lifecycle.queue = queue
    run_state_machine_as_test(
        Lifecycle,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    assert models.db.execute_sql("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert models.db.execute_sql("PRAGMA foreign_key_check").fetchall() == []
