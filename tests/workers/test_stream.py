"""What is kept of a stream, and what is known of the middle that is not."""

from __future__ import annotations

import os

import pytest

from workers.stream import Stream


@pytest.mark.parametrize("piece", [1000, 4096, 50_000])
def test_the_lines_of_the_part_left_out_are_counted(piece):
    printed = b"".join(b"line %d\n" % number for number in range(1, 20_001))
    reading, writing = os.pipe()
    stream = Stream(reading, 4096)
    for begin in range(0, len(printed), piece):
        os.write(writing, printed[begin : begin + piece])
        while stream.total < min(begin + piece, len(printed)):
            assert stream.read()
    kept = stream.output()
    os.close(reading)
    os.close(writing)
    assert kept.cut == 1024
    assert kept.data == printed[:1024] + printed[-3072:]
    assert kept.cut_lines == printed[1024:-3072].count(b"\n")


def test_nothing_is_counted_while_all_is_kept():
    reading, writing = os.pipe()
    os.write(writing, b"a\n" * 100)
    stream = Stream(reading, 4096)
    assert stream.read()
    os.close(reading)
    os.close(writing)
    assert stream.output() == (b"a\n" * 100, 200, None, None)
