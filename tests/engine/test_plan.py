"""When a job will be tried, if each try fails at once."""

from __future__ import annotations

import pytest

from engine import config, jobs
from engine.plan import plan
from engine.spec import LAST_MS

SETTINGS = {"backoff_base": 2, "max_backoff_sec": 21_600, "backoff_jitter": 0}


def test_the_waits_grow_by_the_base_and_the_last_failure_is_the_end():
    found = plan(3, 1000, SETTINGS)
    assert [(step.number, step.at, step.wait_s) for step in found.attempts] == [
        (1, 1000, None),
        (2, 3000, 2),
        (3, 7000, 4),
        (4, 15_000, 8),
    ]
    assert found.dead_at == 15_000


def test_a_job_without_retries_has_one_try():
    found = plan(0, 1000, SETTINGS)
    assert (len(found.attempts), found.dead_at) == (1, 1000)


def test_no_wait_is_longer_than_the_limit():
    found = plan(5, 0, SETTINGS | {"max_backoff_sec": 5})
    assert [step.wait_s for step in found.attempts[1:]] == [2, 4, 5, 5, 5]


def test_a_plan_beyond_all_calendars_ends_with_them():
    found = plan(1000, LAST_MS - 5000, SETTINGS | {"max_backoff_sec": 365 * 24 * 3600})
    assert found.dead_at == LAST_MS


@pytest.mark.parametrize("base", [1, 1.5, 3])
def test_it_is_what_a_failure_really_waits(queue, base):
    config.set("backoff_base", base)
    planned = [step.wait_s for step in plan(4, 0, config.get_all()).attempts[1:]]
    assert [int(wait * 1000) for wait in planned] == [jobs.backoff_ms(attempts) for attempts in (1, 2, 3, 4)]
