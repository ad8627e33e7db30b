"""A window on what a command printed: the part a page shows, and what is new since the reader last looked."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from engine.output import Output

SHOWN_BYTES = 64 * 1024

# What a terminal would obey and not show: OSC and other strings, CSI, two-byte escapes.
_ESCAPES = re.compile(r"\x1b(?:[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNFINISHED = re.compile(rb"\x1b[^\x07\x1b\n]{0,200}\Z")
_FINISHED = re.compile(rb"\x1b(?:[\]PX^_].*\x07|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-Z\\^-~])", re.DOTALL)


class Window(NamedTuple):
    """Pieces of text, each after `skipped` bytes that are not shown; `end` is the offset to go on from."""

    pieces: list[tuple[int, str]]
    end: int


def last_part(output: Output, ended: bool) -> Window:
    """The newest SHOWN_BYTES of a stream."""
    return _window(output, 0, max(0, output.total - SHOWN_BYTES), ended)


def since(output: Output, offset: int, ended: bool) -> Window:
    """What came after `offset` bytes, at most the newest SHOWN_BYTES of it."""
    return _window(output, offset, max(offset, output.total - SHOWN_BYTES), ended)


def raw(output: Output) -> bytes:
    """All that is kept, with a line that says how much is not where the middle was."""
    if output.cut is None:
        return output.data
    gap = f"\n… {output.omitted:,} bytes left out …\n".encode()
    return output.data[: output.cut] + gap + output.data[output.cut :]


def plain(text: str) -> str:
    """The text without what only a terminal understands; a lone carriage return begins a new line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", _ESCAPES.sub("", text))


def _window(output: Output, read: int, start: int, ended: bool) -> Window:
    pieces = []
    for offset, data in _kept(output):
        begin = max(start, offset)
        chunk = data[begin - offset :] if begin < offset + len(data) else b""
        last = offset + len(data) == output.total
        text, used = _decode(chunk, ended or not last)
        if used:
            pieces.append((begin - read, text))
            read = begin + used
    return Window(pieces, read)


def _kept(output: Output) -> list[tuple[int, bytes]]:
    """The parts that are kept, each with its offset in all that was printed."""
    if output.cut is None:
        return [(output.total - len(output.data), output.data)]
    head, rest = output.data[: output.cut], output.data[output.cut :]
    return [(0, head), (output.total - len(rest), rest)]


def _decode(chunk: bytes, ended: bool) -> tuple[str, int]:
    """The chunk as text and the bytes it took: half a character or half an escape waits for its rest."""
    if not ended:
        half = _UNFINISHED.search(chunk)
        if half and not _FINISHED.match(half[0]):
            chunk = chunk[: half.start()]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(chunk, ended)
    return plain(text), len(chunk) - len(decoder.getstate()[0])
