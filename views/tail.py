"""A part of what a command printed, as rows that a page shows; and what is new since the reader last looked.

Offsets and the numbers of rows count all that was printed, also the middle that is not kept.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

from markupsafe import Markup

from engine.output import Output
from views import ansi

PART_BYTES = 64 * 1024
PART_LINES = 1000
REST_BYTES = 4096  # an unfinished line longer than this is shown as a row and gone on with below it
_CONTEXT_LINES = 10  # rows shown before a line that was asked for


class Row(NamedTuple):
    """A line. `skipped`: bytes before it that are not shown.

    `number` is None when it goes on from the row before, and behind a middle whose lines were not counted.
    """

    number: int | None
    text: Markup
    skipped: int = 0


class Part(NamedTuple):
    """Rows from the offset `begin` to `end`; `rest`: the line that is not finished yet, after them.

    seen: all that had been printed. earlier, later: where the parts beside it begin, None where there is none.
    """

    rows: list[Row]
    rest: Markup
    begin: int
    end: int
    seen: int
    earlier: int | None
    later: int | None


def newest(output: Output, ended: bool) -> Part:
    """The last part of a stream."""
    kept = _Kept(output)
    return kept.part(kept.start_before(0, kept.size), kept.size, ended)


def since(output: Output, offset: int, ended: bool) -> Part:
    """What came after `offset`, where a row begins; no more of it than the last part."""
    kept = _Kept(output)
    start = kept.start_before(kept.index(offset), kept.size)
    return kept.part(start, kept.size, ended, skipped=kept.offset(start) - offset)


def beginning(output: Output, offset: int) -> Part:
    """The part that begins at `offset`."""
    kept = _Kept(output)
    start = kept.index(offset)
    return kept.part(start, kept.end_after(start), ended=True)


def ending(output: Output, offset: int) -> Part:
    """The part before the one that begins at `offset`."""
    kept = _Kept(output)
    end = kept.index(offset)
    return kept.part(kept.start_before(0, end), end, ended=True)


def begin_of(output: Output, line: int) -> tuple[int, int]:
    """Where a part begins that shows this line, and the number of the line: the last one when there are fewer."""
    kept = _Kept(output)
    line = max(1, min(line, kept.last_line()))
    return kept.offset(kept.index_of_line(max(1, line - _CONTEXT_LINES))), line


def raw(output: Output) -> bytes:
    """All that is kept, with a line that says how much is not where the middle was."""
    if output.cut is None:
        return output.data
    gap = f"\n… {output.omitted:,} bytes left out …\n".encode()
    return output.data[: output.cut] + gap + output.data[output.cut :]


class _Kept:
    """The kept bytes of a stream, found by offset (in all that was printed) or by index (in what is kept)."""

    def __init__(self, output: Output):
        self.data = output.data
        self.size = len(output.data)
        self.omitted = output.omitted
        self.cut = output.cut if output.cut is not None else 0 if output.omitted else None
        self.cut_lines = output.cut_lines
        self.total = output.total

    def index(self, offset: int) -> int:
        if self.cut is None or offset <= self.cut:
            return max(0, min(offset, self.size))
        return max(self.cut, min(offset - self.omitted, self.size))

    def offset(self, index: int) -> int:
        return index if self.cut is None or index < self.cut else index + self.omitted

    def line_at(self, index: int) -> int:
        """The number of the line at this index; 0 when it is not known."""
        line = 1 + self.data.count(b"\n", 0, index)
        if self.cut is None or index < self.cut:
            return line
        return 0 if self.cut_lines is None else line + self.cut_lines

    def last_line(self) -> int:
        """The number of the last line; where the lines left out were not counted, of the last one before them."""
        return (
            self.line_at(self.size) - self.data.endswith(b"\n") if self.line_at(self.size) else self._line_before_cut()
        )

    def _line_before_cut(self) -> int:
        return 1 + self.data.count(b"\n", 0, self.cut)

    def index_of_line(self, line: int) -> int:
        """Where this line begins; one in the middle that is not kept: where that was left out."""
        if self.cut is not None and line > self._line_before_cut():
            line -= self.cut_lines or 0
            if line <= self._line_before_cut():
                return self.cut
        index, left = 0, line - 1
        while left and (found := self.data.count(b"\n", index, index + PART_BYTES)) < left:
            left -= found
            index += PART_BYTES
        for _ in range(left):
            index = self.data.index(b"\n", index) + 1
        return index

    def start_before(self, floor: int, end: int) -> int:
        """Where the last part between `floor` and `end` starts: with a line, if one begins within its bounds."""
        start = max(floor, end - PART_BYTES)
        at = end - self.data.endswith(b"\n", 0, end)
        for _ in range(PART_LINES):
            at = self.data.rfind(b"\n", start, at)
            if at < 0:
                break
        else:
            return at + 1
        return start if start == floor else self._aligned(start, end)

    def end_after(self, start: int) -> int:
        """Where the part that starts here ends: with a line, if one ends within its bounds."""
        end = min(self.size, start + PART_BYTES)
        at = start
        for _ in range(PART_LINES):
            found = self.data.find(b"\n", at, end)
            if found < 0:
                break
            at = found + 1
        else:
            return at
        return end if end == self.size or at == start else at

    def _aligned(self, start: int, end: int) -> int:
        """The first begin of a line from here on; where none is, the first begin of a character."""
        found = self.data.find(b"\n", start - 1, end)
        if 0 <= found < end - 1:
            return found + 1
        while start < end and self.data[start] & 0xC0 == 0x80:
            start += 1
        return start

    def part(self, start: int, end: int, ended: bool, skipped: int = 0) -> Part:
        maker = _Maker(self.line_at(start), ansi.style_at(self.data, start), skipped)
        stop = end
        if self.cut is not None and start <= self.cut < end:
            if start < self.cut:
                maker.add(self.data[start : self.cut], self._begins(start))
            maker.skipped = maker.skipped or self.omitted
            maker.line = self.line_at(self.cut)
            stop = self.cut
        first = start if stop == end else stop
        finished = ended or end < self.size
        used = maker.add(self.data[first:end], self._begins(first), finished)
        earlier = self.offset(self.start_before(0, start)) if start else None
        at = first + used
        return Part(
            maker.rows,
            maker.rest,
            self.offset(start),
            self.total if at == self.size else self.offset(at),
            self.total,
            earlier,
            self.offset(end) if end < self.size else None,
        )

    def _begins(self, index: int) -> bool:
        return index == 0 or (index != self.cut and self.data[index - 1 : index] == b"\n")


class _Maker:
    """Makes rows of bytes, one piece after the other, with the style that each hands on."""

    def __init__(self, line: int, style: ansi.Style, skipped: int):
        self.rows: list[Row] = []
        self.rest = Markup("")
        self.line = line
        self.style = style
        self.skipped = skipped

    def add(self, data: bytes, begins: bool, finished: bool = True) -> int:
        """Take the lines of a piece; how many bytes of it became rows. The last one may be unfinished."""
        *lines, last = data.split(b"\n")
        for line in lines:
            self._row(line, begins)
            self.line += self.line > 0
            begins = True
        if not last:
            return len(data)
        if finished:
            self._row(last, begins)
            return len(data)
        return len(data) - len(last) + self._unfinished(last, begins)

    def _row(self, line: bytes, begins: bool) -> None:
        text, self.style = ansi.show(line.decode(errors="replace").removesuffix("\r"), self.style)
        self.rows.append(Row((self.line or None) if begins else None, text, self.skipped))
        self.skipped = 0

    def _unfinished(self, line: bytes, begins: bool) -> int:
        """Show what is there of the last line; a long one becomes a row, but for half a character or escape."""
        line = ansi.without_half_escape(line)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(line)
        if len(line) <= REST_BYTES or "\r" in text[-REST_BYTES:]:
            self.rest, _ = ansi.show(text, self.style)
            return 0
        used = len(line) - len(decoder.getstate()[0])
        self._row(line[:used], begins)
        return used
