"""Numbers and instants in words."""

from __future__ import annotations

import re

import pytest

from views import words

NOW = 1_700_000_000_000


def text(markup) -> str:
    return re.sub(r"<[^>]+>", "", str(markup))


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "\N{EN DASH}"),
        (40, "40 ms"),
        (1234, "1.2 s"),
        (185_000, "3 min 5 s"),
        (7_440_000, "2 h 4 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_durations(ms, said):
    assert words.duration(ms) == said


@pytest.mark.parametrize(
    ("passed", "said"), [(0, "just now"), (12_000, "12 s ago"), (180_000, "3 min ago"), (432_000_000, "5 d ago")]
)
def test_how_long_ago(passed, said):
    assert text(words.ago(NOW - passed, NOW)) == said


@pytest.mark.parametrize(("left", "said"), [(-1, "now"), (1, "in 1 s"), (61_000, "in 1 min")])
def test_how_long_until(left, said):
    assert text(words.ahead(NOW + left, NOW)) == said


def test_a_clock_names_the_day_when_it_is_another():
    assert text(words.clock(NOW, NOW)) == "22:13:20 UTC"
    assert text(words.clock(NOW - 86_400_000, NOW)) == "13 Nov 2023, 22:13:20 UTC"


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (12_345, "12 KB"),
        (5_000_000, "5.0 MB"),
        (7 * 10**15, "7000 TB"),
    ],
)
def test_sizes(count, said):
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("code", "said"), [(None, "\N{EN DASH}"), (0, "exit 0"), (127, "exit 127"), (-9, "SIGKILL"), (-63, "signal 63")]
)
def test_exits(code, said):
    assert words.exit_words(code) == said
