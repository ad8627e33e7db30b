"""How often open tabs are asked to poll."""

from __future__ import annotations

import heapq
import os
from collections import Counter

import pytest

from views.tempo import ALLOWED, LONGEST_S, Tempo, usable_cores


def polled(tabs: int, seconds: int, cores: int = 2) -> tuple[Counter, list[int | None]]:
    """The polls in each second of so many tabs that do as they are told, and what they were told."""
    now = 0.0
    tempo = Tempo(lambda: now, cores)
    due = [(2.0 * number / tabs, number) for number in range(tabs)]
    polls, told = Counter(), []
    while due[0][0] < seconds:
        now, tab = heapq.heappop(due)
        polls[int(now)] += 1
        told.append(tempo.next_in())
        heapq.heappush(due, (now + (told[-1] or 2), tab))
    return polls, told


@pytest.mark.parametrize("tabs", [1, 5, 9])
def test_a_few_tabs_are_asked_for_nothing(tabs):
    assert set(polled(tabs, 60)[1]) == {None}


@pytest.mark.parametrize(("tabs", "cores"), [(20, 1), (40, 1), (40, 2), (70, 2), (100, 2), (400, 16)])
def test_many_tabs_poll_as_often_as_is_allowed_and_no_two_seconds_differ_much(tabs, cores):
    polls, _ = polled(tabs, 120, cores)
    by_four = [sum(polls[second] for second in four) / 4 for four in zip(*[iter(range(20, 120))] * 4, strict=True)]
    assert all(ALLOWED * cores * 0.7 <= rate <= ALLOWED * cores * 1.3 for rate in by_four)


def test_nobody_waits_longer_than_the_longest():
    assert max(wait or 0 for wait in polled(1000, 60)[1]) == LONGEST_S


def test_when_they_have_left_one_tab_polls_as_it_likes_again():
    now = 0.0
    tempo = Tempo(lambda: now)
    assert [tempo.next_in() for _ in range(500)][-1] == LONGEST_S
    now += LONGEST_S - 2
    assert tempo.next_in() is None


@pytest.mark.parametrize(("usable", "counted"), [({0}, 1), ({0, 3}, 2), (set(range(64)), 16)])
def test_only_cores_that_the_process_may_use_count_and_no_more_than_help(monkeypatch, usable, counted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: usable)
    assert usable_cores() == counted


def test_where_nobody_tells_which_cores_are_usable_all_of_them_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores() == 3
