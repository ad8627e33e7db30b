"""The part of a run's output that a page shows, row by row."""

from __future__ import annotations

import pytest

from engine.output import Output
from views import tail


def whole(data: bytes) -> Output:
    return Output(data, len(data), None)


def rows(part: tail.Part) -> list[tuple[int | None, str]]:
    return [(row.number, str(row.text)) for row in part.rows]


def test_a_short_stream_is_shown_whole():
    part = tail.newest(whole(b"hello\nworld\n"), ended=True)
    assert rows(part) == [(1, "hello"), (2, "world")]
    assert (part.begin, part.end, part.earlier, part.later) == (0, 12, None, None)


def test_of_many_lines_the_last_are_shown_with_their_numbers():
    data = b"x\n" * (tail.PART_LINES + 5)
    part = tail.newest(whole(data), ended=True)
    assert (part.rows[0].number, part.rows[-1].number) == (6, tail.PART_LINES + 5)
    assert (part.begin, part.earlier) == (10, 0)


def test_of_a_long_line_the_end_is_shown_and_belongs_to_no_number():
    data = "é".encode() * tail.PART_BYTES
    part = tail.newest(whole(data), ended=True)
    assert part.rows[0].number is None
    assert set(part.rows[0].text) == {"é"}
    assert part.earlier == part.begin - tail.PART_BYTES


def test_a_part_begins_with_a_line():
    data = b"".join(b"%06d %s\n" % (number, b"x" * 200) for number in range(1000))
    part = tail.newest(whole(data), ended=True)
    assert part.rows[0].text.startswith(f"{part.rows[0].number - 1:06d} ")


def test_parts_that_lie_beside_each_other_show_every_line_once():
    data = b"".join(b"%d %s\n" % (number, b"x" * (number % 300)) for number in range(1, 4000))
    output = whole(data)
    part = tail.newest(output, ended=True)
    shown = rows(part)
    while part.earlier is not None:
        part = tail.ending(output, part.begin)
        shown = rows(part) + shown
    assert [number for number, _ in shown] == list(range(1, 4000))
    assert all(text.startswith(f"{number} ") for number, text in shown)
    forwards, at = [], 0
    while at is not None:
        part = tail.beginning(output, at)
        forwards += rows(part)
        at = part.later
    assert forwards == shown


CUT = Output(b"one\nhead" + b"tail\nlast\n", 118, 8, 40)  # 40 line ends were in the middle that was left out


def test_rows_behind_the_part_left_out_have_the_numbers_of_all_that_was_printed():
    for part in (tail.newest(CUT, ended=True), tail.since(CUT, 0, ended=True), tail.beginning(CUT, 0)):
        assert rows(part) == [(1, "one"), (2, "head"), (None, "tail"), (43, "last")]
        assert [row.skipped for row in part.rows] == [0, 0, 100, 0]
    assert part.end == 118
    assert rows(tail.beginning(CUT, 108)) == [(None, "tail"), (43, "last")]
    assert rows(tail.since(CUT, 113, ended=False)) == [(43, "last")]


def test_rows_behind_a_part_whose_lines_were_not_counted_have_no_numbers():
    part = tail.newest(CUT._replace(cut_lines=None), ended=True)
    assert rows(part) == [(1, "one"), (2, "head"), (None, "tail"), (None, "last")]
    assert tail.begin_of(CUT._replace(cut_lines=None), 43) == (0, 2)


@pytest.mark.parametrize(("asked", "shown"), [(1, 1), (2, 2), (43, 43), (44, 43)])
def test_a_line_of_a_stream_with_a_part_left_out_is_found_by_its_number(asked, shown):
    begin, line = tail.begin_of(CUT, asked)
    assert line == shown
    assert shown in [number for number, _ in rows(tail.beginning(CUT, begin))]


def test_a_line_that_was_left_out_leads_to_where_it_was():
    begin, line = tail.begin_of(CUT, 30)
    assert (begin, line) == (108, 30)


def test_what_follows_is_only_what_is_new():
    part = tail.since(whole(b"one\ntwo\n"), 4, ended=False)
    assert rows(part) == [(2, "two")]
    part = tail.since(whole(b"one\ntwo\n"), 8, ended=False)
    assert (part.rows, part.end) == ([], 8)


def test_an_unfinished_line_is_shown_apart_and_asked_for_again():
    part = tail.since(whole(b"one\ntw"), 0, ended=False)
    assert rows(part) == [(1, "one")]
    assert (part.rest, part.end, part.seen) == ("tw", 4, 6)
    part = tail.since(whole(b"one\ntwo\n"), part.end, ended=False)
    assert (rows(part), part.rest) == ([(2, "two")], "")


def test_a_progress_bar_is_one_line_that_changes():
    part = tail.since(whole(b"10%\r20%"), 0, ended=False)
    assert (part.rows, part.rest, part.end) == ([], "20%", 0)
    part = tail.since(whole(b"10%\r20%\r100%\ndone\n"), part.end, ended=False)
    assert rows(part) == [(1, "100%"), (2, "done")]


def test_a_long_unfinished_line_is_not_sent_again_and_again():
    data = b"x" * (tail.REST_BYTES + 1)
    part = tail.since(whole(data), 0, ended=False)
    assert (rows(part), part.rest, part.end) == ([(1, data.decode())], "", len(data))
    part = tail.since(whole(data + b"yz\nnext\n"), part.end, ended=False)
    assert rows(part) == [(None, "yz"), (2, "next")]


def test_what_was_missed_between_two_looks_is_counted():
    part = tail.since(Output(b"head" + b"\ntail\n", 110, 4), 50, ended=False)
    assert part.rows[0].skipped == 54
    assert [text for _, text in rows(part)] == ["", "tail"]


def test_an_offset_beyond_the_end_shows_nothing():
    assert tail.since(whole(b"one\n"), 1000, ended=False).rows == []
    assert tail.beginning(whole(b"one\n"), 1000).rows == []


@pytest.mark.parametrize("half", ["é".encode()[:1], "€".encode()[:2], b"\x1b", b"\x1b[3", b"\x1b]0;titl"])
def test_half_a_character_or_escape_waits_for_its_rest(half):
    long = b"x" * (tail.REST_BYTES + 1)
    part = tail.since(whole(long + half), 0, ended=False)
    assert part.end == len(long)
    assert tail.since(whole(long + half), 0, ended=True).end == len(long + half)


def test_colour_goes_on_from_line_to_line_and_part_to_part():
    data = b"\x1b[31mred\n" + b"still\n" * 3 + b"\x1b[0mplain\n"
    part = tail.newest(whole(data), ended=True)
    assert [str(row.text).startswith('<i class="f') for row in part.rows] == [True, True, True, True, False]
    part = tail.beginning(whole(data), len(b"\x1b[31mred\n"))
    assert str(part.rows[0].text).startswith('<i class="f')


def test_a_line_is_found_by_its_number():
    output = whole(b"".join(b"line %d\n" % number for number in range(1, 20_001)))
    begin, line = tail.begin_of(output, 15_000)
    assert line == 15_000
    assert (15_000, "line 15000") in rows(tail.beginning(output, begin))
    assert tail.begin_of(output, 10**9)[1] == 20_000
    assert tail.begin_of(whole(b""), 5) == (0, 1)
    assert tail.begin_of(whole(b"one\ntwo"), 5)[1] == 2


HOSTILE = (
    b"\x1b" * 1_000_000,
    b"\x1b]" + b"x" * 1_000_000,
    b"\x1b[" + b"1;" * 500_000,
    b"\x1b[31m" * 200_000,
    b"".join(b"\x1b[3%dma" % (number % 8) for number in range(200_000)),
    b"x" * 300_000,
    bytes(range(128, 256)) * 3000,
    b"99%\r" * 250_000,
    b"\n" * 1_000_000,
    b"a\b" * 500_000,
    b"<script>alert(1)</script>" * 10_000,
)


@pytest.mark.parametrize("data", HOSTILE)
def test_a_hostile_output_makes_a_part_of_bounded_size(data):
    for part in (tail.newest(whole(data), ended=False), tail.ending(whole(data), len(data) // 2)):
        markup = "".join(str(row.text) for row in part.rows) + str(part.rest)
        assert len(part.rows) <= tail.PART_LINES
        assert len(markup) < 6 * tail.PART_BYTES
        assert "<script" not in markup
        assert not set(markup) & {"\x1b", "\x07", "\r", "\b"}
