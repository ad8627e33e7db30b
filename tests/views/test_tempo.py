"""How often open tabs are asked to poll."""

from __future__ import annotations

import heapq
from collections import Counter

import pytest

from views.tempo import ALLOWED, LONGEST_S, Tempo


def polled(tabs: int, seconds: int) -> tuple[Counter, list[int | None]]:
    """The polls in each second of so many tabs that do as they are told, and what they were told."""
    now = 0.0
    tempo = Tempo(lambda: now)
    due = [(2.0 * number / tabs, number) for number in range(tabs)]
    polls, told = Counter(), []
    while due[0][0] < seconds:
        now, tab = heapq.heappop(due)
        polls[int(now)] += 1
        told.append(tempo.next_in())
        heapq.heappush(due, (now + (told[-1] or 2), tab))
    return polls, told


@pytest.mark.parametrize("tabs", [1, 7, 13])
def test_a_few_tabs_are_asked_for_nothing(tabs):
    assert set(polled(tabs, 60)[1]) == {None}


@pytest.mark.parametrize("tabs", [40, 70, 100])
def test_many_tabs_poll_as_often_as_is_allowed_and_no_two_seconds_differ_much(tabs):
    polls, _ = polled(tabs, 120)
    by_four = [sum(polls[second] for second in four) / 4 for four in zip(*[iter(range(20, 120))] * 4, strict=True)]
    assert all(ALLOWED * 0.7 <= rate <= ALLOWED * 1.3 for rate in by_four)


def test_nobody_waits_longer_than_the_longest():
    assert max(wait or 0 for wait in polled(1000, 60)[1]) == LONGEST_S


def test_when_they_have_left_one_tab_polls_as_it_likes_again():
    now = 0.0
    tempo = Tempo(lambda: now)
    assert [tempo.next_in() for _ in range(500)][-1] == LONGEST_S
    now += LONGEST_S - 2
    assert tempo.next_in() is None
