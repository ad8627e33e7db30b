"""The life of a job: every verb from every state, and the sentence when it is refused."""

from __future__ import annotations

import json

import pytest

import models
from engine import config, dlq, jobs, queries
from engine.errors import InvalidInput, NotFound, Refused, StaleClaim
from engine.jobs import Claim, Ending, steering
from engine.output import Output
from models import STATES, Attempt, Job
from tests.engine.conftest import DONE, FAILED, counted, really

LOST = "worker w1 died: killed by SIGKILL"
NOT_RUNNING = tuple(state for state in STATES if state != "processing")


def lose(held: Claim) -> str | None:
    """Bury the run as its supervisor does when the worker is found dead."""
    return jobs.lose(held.pk, held.run, held.worker, held.host, LOST)


# --- coming in


def test_a_new_job_is_pending_with_the_defaults(queue):
    job = queue.job(queue.add())
    assert (job.state, job.queue, job.priority, job.max_retries) == ("pending", "default", 0, 3)
    assert (job.run, job.attempts, job.crashes, job.cancel_requested) == (0, 0, 0, False)


def test_a_new_job_is_due_at_once_and_has_the_present_instants(queue, clock):
    job = queue.job(queue.add())
    assert job.created_at == job.updated_at == job.next_run_at == clock.now
    assert (job.locked_by, job.locked_at, job.finished_at, job.return_code) == (None, None, None, None)


def test_a_new_job_keeps_every_field_it_was_given(queue, clock):
    given = {
        "id": "all",
        "command": "echo ü",
        "queue": "mail",
        "priority": -7,
        "max_retries": 9,
        "timeout_sec": 1.5,
        "run_at": "+10m",
        "cwd": "/srv/app",
        "env": {"A": "b", "U_": "ü"},
        "tags": ["x", "y"],
    }
    shown = queries.as_json(queue.job(jobs.enqueue(given)))
    assert {name: shown[name] for name in given if name != "run_at"} == {
        k: v for k, v in given.items() if k != "run_at"
    }
    assert shown["next_run_at"] == queries.iso(clock.now + 600_000)


def test_max_retries_comes_from_the_config_when_the_job_does_not_say_it(queue):
    config.set("max_retries_default", 7)
    assert queue.job(queue.add()).max_retries == 7


def test_a_later_change_of_the_default_does_not_touch_stored_jobs(queue):
    job_id = queue.add()
    config.set("max_retries_default", 7)
    assert queue.job(job_id).max_retries == 3


def test_a_second_job_of_the_same_id_is_refused_with_a_sentence(queue):
    queue.add("twin")
    with pytest.raises(Refused, match=r"^There is a job twin already; choose another id, or leave it out\.$"):
        queue.add("twin")


def test_a_refused_twin_leaves_the_first_job_as_it_was(queue):
    queue.add("twin", priority=3)
    before = queue.snapshot("twin")
    with pytest.raises(Refused):
        queue.add("twin", priority=4)
    assert queue.snapshot("twin") == before


@pytest.mark.parametrize("state", STATES)
def test_an_id_is_taken_whatever_the_state_of_its_job(queue, state):
    queue.bring_to(state)
    with pytest.raises(Refused):
        queue.add("job")


def test_ids_differ_by_case(queue):
    queue.add("job")
    assert queue.add("JOB") == "JOB"


def test_the_id_of_a_deleted_job_is_free_again(queue):
    queue.add("job")
    jobs.delete("job")
    assert queue.add("job") == "job"


def test_many_jobs_are_stored_in_their_order(queue):
    ids = jobs.enqueue_many({"command": f"echo {n}"} for n in range(50))
    stored = [row.id for row in Job.select().order_by(Job.pk)]
    assert stored == ids


def test_generated_ids_are_unique_over_many_jobs(queue):
    ids = jobs.enqueue_many({"command": "true"} for _ in range(3000))
    ids += [queue.add() for _ in range(50)]
    assert len(set(ids)) == 3050


def test_generated_ids_are_valid_ids_that_sort_by_time(queue, clock):
    first = queue.add()
    clock.forward(1)
    second = queue.add()
    assert first < second
    jobs.delete(first)
    assert queue.add(first) == first


def test_no_jobs_at_all_is_no_error(queue):
    assert jobs.enqueue_many([]) == []


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ({"command": ""}, InvalidInput),
        ({"command": "x", "id": "taken"}, Refused),
        ({"command": "x", "id": "a"}, Refused),
    ],
    ids=["an invalid one", "a taken id", "the same id twice"],
)
def test_many_jobs_are_stored_all_or_none(queue, broken, error):
    queue.add("taken")
    with pytest.raises(error):
        jobs.enqueue_many([{"command": "true", "id": "a"}, {"command": "true"}, broken, {"command": "true"}])
    assert Job.select().count() == 1


def test_a_payload_stream_that_breaks_stores_nothing(queue):
    def lines():
        yield {"command": "true"}
        raise InvalidInput("line 2 is broken")

    with pytest.raises(InvalidInput, match="line 2"):
        jobs.enqueue_many(lines())
    assert Job.select().count() == 0


# --- claim


def test_a_claim_holds_the_job_for_its_worker(queue, clock):
    queue.add("job")
    clock.forward(1)
    held = queue.claim("w7")
    job = queue.job("job")
    assert (job.state, job.locked_by, job.locked_at, job.run) == ("processing", "w7", clock.now, 1)
    assert (held.id, held.run, held.worker, held.started_at) == ("job", 1, "w7", clock.now)


def test_a_claim_tells_the_worker_all_it_needs(queue):
    queue.add("job", command="echo hi", timeout_sec=2, cwd="/tmp", env={"A": "b"}, max_retries=4)
    held = queue.claim()
    assert (held.command, held.timeout_ms, held.cwd, held.max_retries) == ("echo hi", 2000, "/tmp", 4)
    assert json.loads(held.env) == {"A": "b"}


def test_a_claim_begins_an_attempt(queue, clock):
    queue.add("job")
    queue.claim("w7")
    (attempt,) = queries.attempts(queue.job("job"))
    assert (attempt.run, attempt.worker, attempt.outcome) == (1, "w7", "running")
    assert (attempt.started_at, attempt.finished_at) == (clock.now, None)


def test_nothing_is_claimed_from_an_empty_queue(queue):
    assert jobs.claim("w1", "host") is None


@pytest.mark.parametrize("state", ["processing", "completed", "dead", "cancelled"])
def test_a_job_that_does_not_wait_is_not_claimed(queue, clock, state):
    queue.bring_to(state)
    clock.forward(10**6)
    assert jobs.claim("w2", "host") is None


def test_a_job_is_handed_to_one_worker_only(queue):
    queue.add()
    queue.claim("w1")
    assert jobs.claim("w2", "host") is None


def test_a_delayed_job_is_not_claimed_a_moment_too_soon(queue, clock):
    queue.add(run_at="+10s")
    clock.now += 9_999
    assert jobs.claim("w1", "host") is None
    clock.now += 1
    assert queue.claim()


def test_a_failed_job_is_claimed_again_when_its_backoff_is_over(queue, clock):
    queue.bring_to("failed")
    clock.now += 1_999
    assert jobs.claim("w1", "host") is None
    clock.now += 1
    assert queue.claim().run == 2


# --- how a run ends


def test_a_completed_job_has_its_result_and_is_free(queue, clock):
    queue.add("job")
    held = queue.claim()
    clock.forward(3)
    jobs.complete(held, Ending(return_code=0, duration_ms=3000))
    job = queue.job("job")
    assert (job.state, job.return_code, job.duration_ms, job.finished_at) == ("completed", 0, 3000, clock.now)
    assert (job.locked_by, job.locked_at, job.last_error, job.attempts) == (None, None, None, 0)


def test_an_attempt_keeps_all_that_is_known_of_its_run(queue, clock):
    queue.add("job")
    held = queue.claim()
    clock.forward(3)
    used = {"user_ms": 11, "system_ms": 12, "max_rss_kb": 13}
    jobs.complete(held, Ending(0, None, 3000, **used, stdout=Output(b"out\xff"), stderr=Output(b"ab", 900, 1)))
    attempt = queries.attempt(queue.job("job"))
    assert (attempt.outcome, attempt.return_code, attempt.duration_ms) == ("success", 0, 3000)
    assert (attempt.finished_at, attempt.user_ms, attempt.system_ms, attempt.max_rss_kb) == (clock.now, 11, 12, 13)
    assert (attempt.stdout, attempt.stdout_bytes, attempt.stdout_cut) == (b"out\xff", 0, None)
    assert (attempt.stderr, attempt.stderr_bytes, attempt.stderr_cut) == (b"ab", 900, 1)


def test_a_failed_job_waits_for_its_retry(queue, clock):
    queue.add("job", max_retries=2)
    jobs.fail(queue.claim(), FAILED)
    job = queue.job("job")
    assert (job.state, job.attempts, job.return_code, job.last_error) == ("failed", 1, 1, "exit code 1")
    assert (job.next_run_at, job.finished_at, job.locked_by) == (clock.now + 2000, None, None)


@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
def test_a_job_dies_at_the_failure_after_its_last_retry(queue, clock, max_retries):
    queue.add("job", max_retries=max_retries)
    for _ in range(max_retries):
        jobs.fail(queue.claim(), FAILED)
        assert queue.state("job") == "failed"
        clock.forward(10**5)
    jobs.fail(queue.claim(), FAILED)
    job = queue.job("job")
    assert (job.state, job.attempts, job.finished_at) == ("dead", max_retries + 1, clock.now)


def test_a_job_that_succeeds_at_its_retry_keeps_the_count_of_its_failures(queue, clock):
    queue.bring_to("failed")
    clock.forward(2)
    jobs.complete(queue.claim(), DONE)
    job = queue.job("job")
    assert (job.state, job.attempts, job.last_error) == ("completed", 1, None)
    assert queue.outcomes("job") == ["failed", "success"]


def test_a_timeout_counts_as_a_failure_and_is_called_so(queue):
    queue.add("job")
    jobs.fail(queue.claim(), FAILED, "timeout")
    assert (queue.state("job"), queue.job("job").attempts) == ("failed", 1)
    assert queue.outcomes("job") == ["timeout"]


def test_the_retries_of_a_job_are_those_it_has_now_and_not_those_of_its_claim(queue):
    """Nothing changes max_retries today; the claim's copy decides, and both are the same."""
    queue.add("job", max_retries=1)
    held = queue.claim()
    assert held.max_retries == queue.job("job").max_retries


def test_a_released_job_waits_again_and_nothing_is_counted(queue, clock):
    queue.add("job")
    held = queue.claim()
    clock.forward(5)
    jobs.release(held, Ending(error="stopped with its worker and given back"))
    job = queue.job("job")
    assert (job.state, job.attempts, job.crashes, job.run, job.finished_at) == ("pending", 0, 0, 1, None)
    assert queue.outcomes("job") == ["released"]


def test_a_released_job_keeps_its_place(queue, clock):
    queue.add("first")
    clock.forward(1)
    queue.add("second")
    jobs.release(queue.claim(), Ending())
    assert queue.claim().id == "first"


def test_a_released_retry_keeps_its_failures(queue, clock):
    queue.bring_to("failed")
    clock.forward(2)
    jobs.release(queue.claim(), Ending())
    job = queue.job("job")
    assert (job.state, job.attempts) == ("pending", 1)


def test_a_job_stopped_for_its_cancel_is_cancelled(queue, clock):
    held = queue.bring_to("processing")
    jobs.cancel("job")
    jobs.cancelled(held, Ending(return_code=-15, error="cancelled"))
    job = queue.job("job")
    assert (job.state, job.cancel_requested, job.finished_at) == ("cancelled", False, clock.now)
    assert queue.outcomes("job") == ["cancelled"]


# --- a worker that died


def test_a_lost_job_runs_again_at_once_and_spends_no_retry(queue, clock):
    held = queue.bring_to("processing")
    assert lose(held) == "pending"
    job = queue.job("job")
    assert (job.attempts, job.crashes, job.last_error) == (0, 1, LOST)
    assert queue.claim("w2").run == 2


def test_a_lost_job_keeps_its_place(queue, clock):
    held = queue.bring_to("processing")
    clock.forward(1)
    queue.add("later")
    clock.forward(1)
    lose(held)
    assert queue.claim().id == "job"


def test_a_lost_run_says_why_and_keeps_what_was_shown(queue, clock):
    held = queue.bring_to("processing")
    jobs.show_output(held, Output(b"so far", 6), Output(b"", 0))
    clock.forward(4)
    lose(held)
    attempt = queries.attempt(queue.job("job"))
    assert (attempt.outcome, attempt.error, attempt.finished_at) == ("lost", LOST, clock.now)
    assert (attempt.stdout, attempt.duration_ms) == (b"so far", 4000)


def test_a_lost_run_never_lasted_less_than_nothing(queue, clock):
    held = queue.bring_to("processing")
    clock.forward(-3600)
    lose(held)
    assert queries.attempt(queue.job("job")).duration_ms == 0


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_job_is_given_up_after_max_crashes(queue, limit):
    config.set("max_crashes", limit)
    queue.add("job")
    states = []
    for _ in range(limit):
        held = queue.claim()
        states.append(lose(held))
    assert states == ["pending"] * (limit - 1) + ["dead"]
    assert queue.job("job").last_error == f"{LOST}; given up after {limit} crashes"


def test_crashes_and_failures_are_counted_apart(queue, clock):
    queue.add("job", max_retries=1)
    held = queue.claim()
    lose(held)
    jobs.fail(queue.claim(), FAILED)
    clock.forward(2)
    held = queue.claim()
    lose(held)
    job = queue.job("job")
    assert (job.state, job.attempts, job.crashes) == ("pending", 1, 2)


def test_losing_a_run_twice_counts_once(queue):
    held = queue.bring_to("processing")
    lose(held)
    assert lose(held) is None
    assert queue.job("job").crashes == 1


@pytest.mark.parametrize("state", ["completed", "failed", "dead"])
def test_a_run_that_has_ended_cannot_be_lost(queue, state):
    held = queue.bring_to(state)
    before = queue.snapshot("job")
    assert lose(held) is None
    assert queue.snapshot("job") == before


def test_the_job_of_another_worker_cannot_be_lost(queue):
    held = queue.bring_to("processing")
    assert lose(held._replace(worker="w2")) is None
    assert queue.state("job") == "processing"


def test_a_job_that_does_not_exist_cannot_be_lost(queue):
    held = queue.bring_to("processing")
    assert lose(held._replace(pk=held.pk + 1)) is None


# --- the fence

FINISHES = {
    "complete": lambda held: jobs.complete(held, DONE),
    "fail": lambda held: jobs.fail(held, FAILED),
    "time out": lambda held: jobs.fail(held, FAILED, "timeout"),
    "release": lambda held: jobs.release(held, Ending()),
    "be cancelled": lambda held: jobs.cancelled(held, Ending()),
}
finishes = pytest.mark.parametrize("finish", FINISHES.values(), ids=FINISHES)


def _refuses_stale(queue, finish, held):
    before = queue.snapshot(held.id)
    with pytest.raises(StaleClaim, match=rf"^Job {held.id} is no longer held by run {held.run} of {held.worker}\.$"):
        finish(held)
    assert queue.snapshot(held.id) == before


@finishes
def test_a_run_that_was_lost_changes_nothing_any_more(queue, finish):
    held = queue.bring_to("processing")
    lose(held)
    _refuses_stale(queue, finish, held)


@finishes
def test_a_run_that_another_worker_took_over_changes_nothing(queue, finish):
    held = queue.bring_to("processing")
    lose(held)
    queue.claim("w2")
    _refuses_stale(queue, finish, held)


@finishes
def test_an_old_run_of_the_same_worker_changes_nothing(queue, finish):
    held = queue.bring_to("processing")
    jobs.release(held, Ending())
    queue.claim("w1")
    _refuses_stale(queue, finish, held)


@finishes
def test_the_right_run_of_the_wrong_worker_changes_nothing(queue, finish):
    held = queue.bring_to("processing")
    _refuses_stale(queue, finish, held._replace(worker="w2"))


@finishes
@pytest.mark.parametrize("state", ["completed", "failed", "dead"])
def test_a_run_ends_only_once(queue, finish, state):
    held = queue.bring_to(state)
    _refuses_stale(queue, finish, held)


@finishes
def test_the_run_of_a_deleted_job_changes_nothing(queue, finish):
    held = queue.bring_to("completed")
    jobs.delete("job")
    _refuses_stale(queue, finish, held)


@finishes
def test_the_run_of_a_deleted_job_does_not_end_the_next_job(queue, finish):
    """The next job may get the same row number, the same run number and the same worker."""
    held = queue.bring_to("completed")
    jobs.delete("job")
    queue.add("next")
    queue.claim("w1")
    before = queue.snapshot("next")
    with pytest.raises(StaleClaim):
        finish(held)
    assert queue.snapshot("next") == before


def test_the_loss_of_a_deleted_job_does_not_touch_the_next_job(queue):
    held = queue.bring_to("completed")
    jobs.delete("job")
    queue.add("next")
    queue.claim("w1")
    assert lose(held) is None


def test_output_is_shown_while_the_job_runs(queue):
    held = queue.bring_to("processing")
    assert jobs.show_output(held, Output(b"a", 9, 1), Output(b"e", 1))
    attempt = queries.attempt(queue.job("job"))
    assert (attempt.stdout, attempt.stdout_bytes, attempt.stdout_cut, attempt.stderr) == (b"a", 9, 1, b"e")


def test_output_of_a_run_that_ended_is_not_shown_late(queue):
    held = queue.bring_to("completed")
    before = queue.snapshot("job")
    assert not jobs.show_output(held, Output(b"late", 4), Output())
    assert queue.snapshot("job") == before


def test_a_stale_finish_undoes_the_whole_transaction_around_it(queue):
    held = queue.bring_to("completed")
    queue.add("next")

    def claim_and_finish_late():
        with models.db.transaction():
            queue.claim("w1")
            jobs.complete(held, DONE)

    with pytest.raises(StaleClaim):
        claim_and_finish_late()
    assert queue.state("next") == "pending"


def test_a_finish_and_the_next_claim_are_one_transaction(queue):
    """As a worker does it: when the claim cannot be stored, the finish is not stored either."""
    held = queue.bring_to("processing")
    queue.add("next")

    def finish_and_claim():
        with models.db.transaction():
            jobs.complete(held, DONE)
            queue.claim("w1")
            raise RuntimeError("the power failed")

    with pytest.raises(RuntimeError):
        finish_and_claim()
    assert (queue.state("job"), queue.state("next")) == ("processing", "pending")


# --- retry


@pytest.mark.parametrize("state", ["failed", "dead", "cancelled"])
def test_a_retried_job_begins_anew(queue, clock, state):
    queue.bring_to(state)
    clock.forward(9)
    jobs.retry("job")
    job = queue.job("job")
    assert (job.state, job.attempts, job.crashes, job.finished_at) == ("pending", 0, 0, None)
    assert job.next_run_at == job.updated_at == clock.now


@pytest.mark.parametrize("state", ["pending", "processing", "completed"])
def test_a_job_that_did_not_end_badly_cannot_be_retried(queue, state):
    queue.bring_to(state)
    before = queue.snapshot("job")
    with pytest.raises(Refused, match=rf"^Job job is {state}; only failed, dead and cancelled jobs can be retried\.$"):
        jobs.retry("job")
    assert queue.snapshot("job") == before


@pytest.mark.parametrize("state", [state for state in STATES if state != "dead"])
def test_only_a_dead_job_is_put_back_from_the_dlq(queue, state):
    queue.bring_to(state)
    before = queue.snapshot("job")
    with pytest.raises(Refused, match=rf"^Job job is {state}; only dead jobs can be retried\.$"):
        dlq.retry("job")
    assert queue.snapshot("job") == before


def test_a_dead_job_is_put_back_from_the_dlq(queue):
    queue.bring_to("dead")
    dlq.retry("job")
    assert (queue.state("job"), queue.job("job").attempts) == ("pending", 0)


def test_a_retried_job_has_all_its_retries_again(queue, clock):
    queue.add("job", max_retries=1)
    for _ in range(2):
        jobs.fail(queue.claim(), FAILED)
        clock.forward(100)
    jobs.retry("job")
    jobs.fail(queue.claim(), FAILED)
    assert queue.state("job") == "failed"


def test_a_retried_job_has_all_its_crashes_again(queue):
    config.set("max_crashes", 1)
    held = queue.bring_to("processing")
    lose(held)
    config.set("max_crashes", 2)
    jobs.retry("job")
    held = queue.claim()
    assert lose(held) == "pending"


def test_a_retried_job_keeps_its_history_and_its_run_numbers(queue):
    queue.bring_to("dead")
    jobs.retry("job")
    assert queue.claim().run == 2
    assert queue.outcomes("job") == ["failed", "running"]


def test_a_cancelled_and_retried_job_is_not_cancelled_again(queue):
    held = queue.bring_to("processing")
    jobs.cancel("job")
    jobs.cancelled(held, Ending())
    jobs.retry("job")
    jobs.fail(queue.claim(), FAILED)
    assert queue.state("job") == "failed"


VERBS_BY_ID = {"retried": jobs.retry, "retried from the dlq": dlq.retry, "cancelled": jobs.cancel}


@pytest.mark.parametrize("verb", VERBS_BY_ID.values(), ids=VERBS_BY_ID)
def test_an_unknown_job_is_not_found(queue, verb):
    with pytest.raises(NotFound, match=r"^There is no job 'nope'\.$"):
        verb("nope")


def test_an_unknown_job_cannot_be_deleted(queue):
    with pytest.raises(NotFound, match=r"^There is no job 'nope'\.$"):
        jobs.delete("nope")


@pytest.mark.parametrize("job_id", ["", "%", "' OR 1=1 --", "a\0b", "\udcff", "x" * 100_000], ids=range(6))
@pytest.mark.parametrize(
    "verb", [*VERBS_BY_ID.values(), jobs.delete, queries.find], ids=[*VERBS_BY_ID, "deleted", "found"]
)
def test_an_id_that_no_job_can_have_finds_nothing_and_breaks_nothing(queue, verb, job_id):
    queue.add("job")
    with pytest.raises((NotFound, InvalidInput)) as caught:
        verb(job_id)
    assert 0 < len(str(caught.value)) < 400


# --- many at once


def _bury(queue, count: int) -> list[str]:
    ids = jobs.enqueue_many({"command": "true", "max_retries": 0} for _ in range(count))
    Job.update(state="dead", attempts=1, finished_at=queue.clock.now).execute()  # quicker than to run them
    return ids


def test_all_dead_jobs_are_retried_over_several_batches(queue):
    _bury(queue, 3 * steering._BATCH + 1)
    assert dlq.retry_all() == 3 * steering._BATCH + 1
    assert really() == counted() == {("default", "pending"): 3 * steering._BATCH + 1}


def test_none_is_retried_when_none_is_dead(queue):
    queue.add()
    assert dlq.retry_all() == 0


def _between_batches(monkeypatch, act):
    """Call act(n) after the batch number n of a bulk retry, as another process might come in between."""
    one_batch, calls = steering.retry_where, []

    def spied(where, states):
        changed = one_batch(where, states)
        calls.append(changed)
        act(len(calls))
        return changed

    monkeypatch.setattr(steering, "retry_where", spied)
    return calls


def test_a_bulk_retry_ends_although_jobs_die_as_fast_as_it_works(queue, monkeypatch):
    _bury(queue, steering._BATCH + 1)

    def die(batch):
        queue_up = [{"command": "true", "max_retries": 0, "id": f"late-{batch}-{n}"} for n in range(steering._BATCH)]
        jobs.enqueue_many(queue_up)
        Job.update(state="dead").where(Job.id.startswith(f"late-{batch}-")).execute()

    calls = _between_batches(monkeypatch, die)
    assert dlq.retry_all() == steering._BATCH + 1
    assert len(calls) == 2


def test_a_bulk_retry_leaves_alone_what_others_changed_meanwhile(queue, monkeypatch):
    ids = _bury(queue, 2 * steering._BATCH)

    def others(batch):
        if batch == 1:
            Job.update(state="cancelled").where(Job.id == ids[-1]).execute()
            jobs.delete(ids[-2])

    _between_batches(monkeypatch, others)
    assert dlq.retry_all() == 2 * steering._BATCH - 2
    assert queue.state(ids[-1]) == "cancelled"


def test_a_bulk_retry_that_dies_half_way_has_done_whole_batches(queue, monkeypatch):
    _bury(queue, 3 * steering._BATCH)

    def die(batch):
        if batch == 2:
            raise RuntimeError("killed")

    _between_batches(monkeypatch, die)
    with pytest.raises(RuntimeError):
        dlq.retry_all()
    assert really() == counted() == {("default", "pending"): steering._BATCH, ("default", "dead"): 2 * steering._BATCH}


# --- cancel and delete


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_a_waiting_job_is_cancelled_at_once(queue, clock, state):
    queue.bring_to(state)
    clock.forward(1)
    assert jobs.cancel("job") == "cancelled"
    job = queue.job("job")
    assert (job.state, job.finished_at, job.cancel_requested) == ("cancelled", clock.now, False)


def test_a_cancelled_job_is_never_claimed(queue, clock):
    queue.bring_to("failed")
    jobs.cancel("job")
    clock.forward(10**6)
    assert jobs.claim("w1", "host") is None


def test_a_running_job_is_asked_to_end(queue):
    queue.bring_to("processing")
    assert jobs.cancel("job") == "processing"
    job = queue.job("job")
    assert (job.state, job.cancel_requested, job.locked_by) == ("processing", True, "w1")


def test_a_running_job_may_be_cancelled_twice(queue):
    queue.bring_to("processing")
    jobs.cancel("job")
    assert jobs.cancel("job") == "processing"


@pytest.mark.parametrize("state", ["completed", "dead", "cancelled"])
def test_a_job_that_has_ended_cannot_be_cancelled(queue, state):
    queue.bring_to(state)
    before = queue.snapshot("job")
    says = rf"^Job job is {state}; only pending, failed and processing jobs can be cancelled\.$"
    with pytest.raises(Refused, match=says):
        jobs.cancel("job")
    assert queue.snapshot("job") == before


RACES = {
    "failure": (lambda held: jobs.fail(held, FAILED), "cancelled"),
    "last failure": (lambda held: jobs.fail(held._replace(max_retries=0), FAILED), "cancelled"),
    "success": (lambda held: jobs.complete(held, DONE), "completed"),
    "release": (lambda held: jobs.release(held, Ending()), "cancelled"),
    "crash": (lose, "cancelled"),
}


@pytest.mark.parametrize(("ends", "state"), RACES.values(), ids=RACES)
def test_a_cancel_wins_over_every_end_but_success(queue, clock, ends, state):
    held = queue.bring_to("processing")
    jobs.cancel("job")
    clock.forward(1)
    ends(held)
    job = queue.job("job")
    assert (job.state, job.cancel_requested, job.finished_at) == (state, False, clock.now)
    assert job.locked_by is None


def test_a_crash_of_a_cancelled_job_answers_that_it_is_cancelled(queue):
    held = queue.bring_to("processing")
    jobs.cancel("job")
    assert lose(held) == "cancelled"


@pytest.mark.parametrize(("ends", "_state"), RACES.values(), ids=RACES)
def test_a_cancel_after_the_end_finds_the_new_state(queue, ends, _state):
    held = queue.bring_to("processing")
    ends(held)
    waiting = queue.state("job") in ("pending", "failed")
    if waiting:
        assert jobs.cancel("job") == "cancelled"
    else:
        with pytest.raises(Refused):
            jobs.cancel("job")


def test_the_failure_of_a_cancelled_run_is_counted_and_told(queue):
    held = queue.bring_to("processing")
    jobs.cancel("job")
    jobs.fail(held, FAILED)
    job = queue.job("job")
    assert (job.attempts, job.last_error) == (1, "exit code 1")
    assert queue.outcomes("job") == ["failed"]


@pytest.mark.parametrize("state", NOT_RUNNING)
def test_a_job_that_does_not_run_is_deleted_with_its_attempts(queue, clock, state):
    queue.bring_to(state)
    pk = queue.job("job").pk
    jobs.delete("job")
    with pytest.raises(NotFound):
        queue.job("job")
    assert jobs.purge([pk], clock.now) == 0
    assert jobs.purge([pk], clock.now + 1) == 1
    assert (Job.select().count(), Attempt.select().count()) == (0, 0)


def test_a_running_job_is_not_deleted(queue):
    queue.bring_to("processing")
    before = queue.snapshot("job")
    with pytest.raises(Refused, match=r"^Job job is running; cancel it first, then delete it\.$"):
        jobs.delete("job")
    assert queue.snapshot("job") == before


def test_deleting_a_job_leaves_the_attempts_of_others(queue):
    queue.bring_to("completed", "one")
    queue.bring_to("completed", "two")
    jobs.delete("one")
    assert queue.outcomes("two") == ["success"]
