"""The window on a run's output."""

from __future__ import annotations

import pytest

from engine.output import Output
from views import tail


def whole(data: bytes) -> Output:
    return Output(data, len(data), None)


def test_a_short_stream_is_shown_whole():
    assert tail.last_part(whole(b"hello\n"), ended=True) == ([(0, "hello\n")], 6)


def test_of_a_long_stream_the_end_is_shown():
    data = b"x" * tail.SHOWN_BYTES + b"end"
    ((skipped, text),), end = tail.last_part(whole(data), ended=True)
    assert (skipped, len(text), end) == (3, tail.SHOWN_BYTES, len(data))
    assert text.endswith("end")


def test_the_gap_of_a_cut_stream_is_counted():
    assert tail.last_part(Output(b"headtail", 108, 4), ended=True) == ([(0, "head"), (100, "tail")], 108)


def test_what_follows_is_only_what_is_new():
    assert tail.since(whole(b"onetwo"), 3, ended=False) == ([(0, "two")], 6)
    assert tail.since(whole(b"onetwo"), 6, ended=False) == ([], 6)


def test_what_was_missed_between_two_looks_is_counted():
    assert tail.since(Output(b"headtail", 108, 4), 50, ended=False) == ([(54, "tail")], 108)


def test_an_offset_beyond_the_end_shows_nothing():
    assert tail.since(whole(b"one"), 1000, ended=False).pieces == []


@pytest.mark.parametrize("half", ["é".encode()[:1], "€".encode()[:2], b"\x1b", b"\x1b[3", b"\x1b]0;titl"])
def test_half_a_character_or_escape_waits_for_its_rest(half):
    assert tail.since(whole(b"ab" + half), 0, ended=False) == ([(0, "ab")], 2)
    assert tail.since(whole(b"ab" + half), 0, ended=True).end == 2 + len(half)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[1;32mgreen\x1b[0m", "green"),
        ("\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("10%\r20%\r\n30%\n", "10%\n20%\n30%\n"),
        ("a\tb\x00c\x08", "a\tb\ufffdc\ufffd"),
    ],
)
def test_only_text_is_left_of_what_a_terminal_would_obey(printed, shown):
    assert tail.plain(printed) == shown


def test_a_hostile_output_takes_no_time():
    import time

    for data in (b"\x1b" * 200_000, b"\x1b]" + b"x" * 200_000, b"\x1b[" + b"1;" * 100_000):
        start = time.perf_counter()
        tail.last_part(whole(data), ended=False)
        assert time.perf_counter() - start < 0.2
