"""Charts and forecasts: exact on the rows they read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import buckets, figures, jobs, pace, tally
from engine.errors import InvalidInput
from engine.figures import Bar, Sums
from engine.tally import HOUR_MS, MINUTE_MS
from models import Job, Stat
from tests.engine.conftest import DONE, FAILED

HOUR, DAY, WEEK = figures.WINDOWS.values()
NOTHING = Sums(0, 0, None, None)


def ended(ago_ms: int, n: int = 1, outcome: str = "success", took_ms: int = 100, queue: str = "default", span: int = 1):
    """So many runs that ended so long before the clock's present minute (or hour)."""
    length = span * MINUTE_MS
    at = NOW - ago_ms
    Stat.insert(
        span=span,
        at=at - at % length,
        queue=queue,
        outcome=outcome,
        bucket=buckets.of(took_ms),
        n=n,
        total_ms=n * took_ms,
    ).execute()


NOW = 1_760_000_000_000  # the clock's, 13 min 20 s before an hour of ours ends


def shown(bars: list[Bar]) -> dict[int, Sums]:
    return {place: bar.sums for place, bar in enumerate(bars) if bar.sums != NOTHING}


def test_an_hour_is_sixty_minutes_up_to_this_one(queue, clock):
    ended(0, 2)
    ended(0, 1, "failed", took_ms=100)
    ended(MINUTE_MS, 3, "timeout", took_ms=100)
    ended(59 * MINUTE_MS, 4, "lost")
    ended(5 * MINUTE_MS, 7, "cancelled")
    found = figures.of(HOUR, clock.now)
    usual = buckets.middle_ms(buckets.of(100))
    assert shown(found.bars) == {
        59: Sums(2, 1, usual, usual),
        58: Sums(0, 3, usual, usual),
        0: Sums(0, 4, None, None),
    }
    assert found.total == Sums(2, 8, usual, usual)
    assert [bar.at % MINUTE_MS for bar in found.bars] == [0] * 60
    assert found.bars[-1].at <= clock.now < found.bars[-1].at + MINUTE_MS


def test_the_window_before_is_as_long_as_this_one_is_by_now(queue, clock):
    ended(60 * MINUTE_MS, 5)
    ended(119 * MINUTE_MS, 6, "failed")
    ended(120 * MINUTE_MS, 7)
    assert figures.of(HOUR, clock.now).before[:2] == (5, 6)
    assert figures.of(HOUR, clock.now).total == NOTHING


@pytest.mark.parametrize(("window", "hours"), [(DAY, 1), (WEEK, 6)])
def test_longer_windows_are_made_of_hours_and_of_the_minutes_not_rolled_up_yet(queue, clock, window, hours):
    ended(0, 1)
    ended(4 * HOUR_MS * hours, 10, span=60)
    found = figures.of(window, clock.now)
    assert {place: sums.completed for place, sums in shown(found.bars).items()} == {
        window.bars - 1: 1,
        window.bars - 5: 10,
    }
    assert {bar.at % (hours * HOUR_MS) for bar in found.bars} == {0}


@pytest.mark.parametrize("window", [DAY, WEEK])
def test_rolling_up_changes_no_figure(queue, clock, window):
    for ago in range(0, 30 * 60, 7):
        ended(ago * MINUTE_MS, ago + 1, took_ms=ago + 1)
    before = figures.of(window, clock.now)
    list(tally.roll_up(clock.now))
    assert Stat.select().where(Stat.span == 60).exists()
    assert figures.of(window, clock.now) == before


def test_an_hour_needs_no_minute_that_was_rolled_up(queue, clock):
    for ago in range(120):
        ended(ago * MINUTE_MS)
    before = figures.of(HOUR, clock.now)
    clock.forward(59)
    list(tally.roll_up(clock.now))
    assert (before.total.completed, before.before.completed) == (60, 60)
    assert figures.of(HOUR, NOW) == before


def test_those_that_died_in_the_window_are_counted(queue, clock):
    for name in ("old", "new"):
        queue.bring_to("dead", name)
        clock.forward(3600)
    assert figures.of(HOUR, clock.now).died == 0
    assert figures.of(HOUR, clock.now - MINUTE_MS).died == 1
    assert figures.deaths(NOW) == 2


def test_each_queue_has_its_last_hour_in_twelve_parts(queue, clock):
    ended(0, 2, queue="mail")
    ended(0, 1, "failed", queue="mail")
    ended(54 * MINUTE_MS, 5, queue="mail")
    ended(61 * MINUTE_MS, 9, queue="old")
    assert figures.last_hour(clock.now) == {"mail": [5, *[0] * 10, 3]}


def test_an_unknown_window_is_refused(queue):
    assert figures.window(None) is HOUR
    with pytest.raises(InvalidInput, match="There is no window 'year'; there are 1h, 24h, 7d"):
        figures.window("year")


@given(st.lists(st.integers(2, 10**8), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_off_by_a_quarter_at_most(durations, share):
    counted: dict[int, int] = {}
    for ms in durations:
        counted[buckets.of(ms)] = counted.get(buckets.of(ms), 0) + 1
    exact = sorted(durations)[max(0, -int(-share * len(durations) // 1) - 1)]
    assert abs(figures.percentile(counted, share) / exact - 1) < 0.25


def test_there_is_no_percentile_of_nothing():
    assert figures.percentile({}, 0.5) is None


# --- the pace


def test_a_burst_is_worked_off_and_the_end_is_foreseen(queue, clock):
    jobs.enqueue_many({"command": ":"} for _ in range(60))
    clock.forward(120)
    for _ in range(20):
        jobs.complete(queue.claim(), DONE)
    clock.forward(60)
    seen = pace.forecast(40, clock.now - 180_000, (), clock.now)
    elapsed = (clock.now - Stat.select(Stat.at).scalar()) / MINUTE_MS
    assert seen.per_minute == pytest.approx(-20 / elapsed)
    assert seen.empty_in_ms == pytest.approx(2 * elapsed * MINUTE_MS, abs=1)


def test_what_comes_faster_than_it_is_done_grows(queue, clock):
    for _ in range(10):
        jobs.enqueue_many({"command": ":"} for _ in range(6))
        jobs.complete(queue.claim(), DONE)
        clock.forward(30)
    seen = pace.forecast(50, clock.now - 300_000, (), clock.now)
    assert 9 < seen.per_minute < 11
    assert seen.empty_in_ms is None


def test_what_dies_leaves_and_what_is_tried_again_does_not(queue, clock):
    for retries in (0, 0, 5, 5):
        queue.add(max_retries=retries)
    clock.forward(300)
    for _ in range(4):
        jobs.fail(queue.claim(), FAILED)
    elapsed = clock.now - clock.now % MINUTE_MS
    clock.forward(60)
    assert pace.forecast(9, 1, (), clock.now).per_minute == pytest.approx(-2 / ((clock.now - elapsed) / MINUTE_MS))


def test_what_may_not_run_yet_does_not_grow_the_backlog(queue, clock):
    queue.add()
    queue.add()
    clock.forward(90)
    jobs.complete(queue.claim(), DONE)
    jobs.enqueue_many({"command": ":", "run_at": "+1d"} for _ in range(500))
    jobs.enqueue_many({"command": ":", "queue": "paused"} for _ in range(500))
    assert pace.forecast(1, clock.now - 90_000, ("paused",), clock.now).per_minute < 0


@pytest.mark.parametrize(("backlog", "age_s"), [(0, 600), (5, 10)])
def test_nothing_is_foreseen_of_what_is_empty_or_has_just_come(queue, clock, backlog, age_s):
    ended(0)
    assert pace.forecast(backlog, clock.now - age_s * 1000, (), clock.now) is None


def test_nothing_is_foreseen_while_nothing_ends(queue, clock):
    queue.add()
    clock.forward(600)
    assert pace.forecast(1, clock.now - 600_000, (), clock.now) is None


@pytest.mark.parametrize("came", [1, 2, 3, 50, 1000])
def test_what_came_lately_is_found_by_a_few_looks(queue, clock, monkeypatch, came):
    jobs.enqueue_many({"command": ":"} for _ in range(700))
    Job.delete().where(Job.pk.in_([*range(7, 701, 7)])).execute()
    clock.forward(600)
    jobs.enqueue_many({"command": ":"} for _ in range(came))
    newest = 700 + came
    looks = []
    arrival = pace._arrival
    monkeypatch.setattr(pace, "_arrival", lambda pk: looks.append(pk) or arrival(pk))
    first = pace._first_since(clock.now, newest)
    assert 698 < first <= 701  # a gap belongs to what comes after it
    assert len(looks) < 25
    assert pace._first_since(clock.now + 1, newest) == newest + 1
