"""How long a failed job waits: base ^ attempts seconds, bounded, spread by jitter."""

from __future__ import annotations

import pytest

from engine import config, jobs
from tests.engine.conftest import FAILED


def test_the_wait_doubles_by_default(queue):
    assert [jobs.backoff_ms(attempts) for attempts in (1, 2, 3, 4)] == [2000, 4000, 8000, 16_000]


@pytest.mark.parametrize(("base", "waits"), [(3, [3000, 9000, 27_000]), (1, [1000] * 3), (1.5, [1500, 2250, 3375])])
def test_the_base_is_a_setting(queue, base, waits):
    config.set("backoff_base", base)
    assert [jobs.backoff_ms(attempts) for attempts in (1, 2, 3)] == waits


def test_the_wait_is_never_longer_than_the_limit(queue):
    config.set("max_backoff_sec", 10)
    assert [jobs.backoff_ms(attempts) for attempts in (3, 4, 5)] == [8000, 10_000, 10_000]


def test_the_limit_is_six_hours_by_default(queue):
    assert jobs.backoff_ms(20) == 6 * 3600 * 1000


@pytest.mark.parametrize("attempts", [155, 1001, 10**6])
def test_a_power_too_large_for_any_number_is_the_limit(queue, attempts):
    config.set("backoff_base", 100)
    assert jobs.backoff_ms(attempts) == 6 * 3600 * 1000


def test_jitter_adds_at_most_its_share(queue):
    config.set("backoff_jitter", 0.5)
    assert all(4000 <= jobs.backoff_ms(2) <= 6000 for _ in range(500))


def test_jitter_tells_jobs_apart(queue):
    config.set("backoff_jitter", 1)
    assert len({jobs.backoff_ms(10) for _ in range(100)}) > 10


def test_without_jitter_the_wait_is_always_the_same(queue):
    assert {jobs.backoff_ms(5) for _ in range(100)} == {32_000}


def test_a_failed_job_waits_by_the_number_of_its_failures(queue, clock):
    queue.add("job", max_retries=5)
    waits = []
    for _ in range(4):
        jobs.fail(queue.claim(), FAILED)
        waits.append(queue.job("job").next_run_at - clock.now)
        clock.now = queue.job("job").next_run_at
    assert waits == [2000, 4000, 8000, 16_000]


def test_a_new_setting_counts_from_the_next_failure(queue, clock):
    queue.add("job")
    held = queue.claim()
    config.set("backoff_base", 10)
    jobs.fail(held, FAILED)
    assert queue.job("job").next_run_at == clock.now + 10_000


def test_a_dead_job_does_not_wait(queue, clock):
    queue.add("job", max_retries=0)
    due_at = queue.job("job").next_run_at
    clock.forward(1)
    jobs.fail(queue.claim(), FAILED)
    assert queue.job("job").next_run_at == due_at
