"""What a terminal would show of a line: colours as classes, the last state of a line that was written over.

Everything that comes out is escaped text in <i> elements whose classes are made here; what else a terminal would obey
(titles, links, movements) is left out. The cost grows with the length of the line and with nothing else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from markupsafe import Markup, escape

from engine import visible

_LONGEST = 100  # characters of an SGR that are heeded
LOOK_BACK = 16 * 1024  # how far before a part of the output its first colour is looked for

# OSC and other strings, CSI, two-byte escapes; a carriage return takes the line back to its begin.
_ESCAPE = r"\x1b(?:\[(?P<sgr>[0-9;:]*)m|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])"
_ESCAPES = re.compile(_ESCAPE)
_OBEYED = re.compile(rf"{_ESCAPE}|(?P<back>\r)")
_SGR = re.compile(rb"\x1b\[([0-9;:]*)m")
_UNFINISHED = re.compile(rb"\x1b(?:[\]PX^_][^\x07\x1b]*|\[[0-?]*[ -/]*|[ -/]*)\Z")
_CONTROLS = re.compile(r"[\x00-\x07\x0a-\x1f\x7f-\x9f]")

BOLD, DIM, ITALIC, UNDERLINE, INVERSE, STRIKE = 1, 2, 4, 8, 16, 32
_NAMES = ((BOLD, "bold"), (ITALIC, "italic"), (UNDERLINE, "under"), (STRIKE, "strike"))
_ON = {1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: INVERSE, 9: STRIKE, 21: UNDERLINE}
_OFF = {22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 27: INVERSE, 29: STRIKE}

# Colours have four bits a channel: 0xRGB. So every colour is one of three times sixteen classes.
_GROUND, _INK = 0x112, 0xEEE
_SIXTEEN = (
    0x000,
    0xE55,
    0x5C7,
    0xDB5,
    0x6AF,
    0xC8E,
    0x4CD,
    0xCCC,
    0x889,
    0xF88,
    0x8EA,
    0xFD7,
    0x9CF,
    0xEAF,
    0x8EE,
    0xFFF,
)
_CUBE = (0, 6, 8, 10, 13, 15)
_LEGIBLE = 4.5  # the contrast that WCAG asks of text


class Style(NamedTuple):
    """How text is shown: colours or None for the usual one, and the sum of flags."""

    ink: int | None = None
    ground: int | None = None
    flags: int = 0


PLAIN = Style()


def show(line: str, style: Style = PLAIN) -> tuple[Markup, Style]:
    """The line, without its newline, as markup; and the style that the next line begins with."""
    runs: list[tuple[Style, str]] = []
    at, back = 0, False
    for found in _OBEYED.finditer(line):
        back = _put(runs, style, line[at : found.start()], back)
        at = found.end()
        if found["back"]:
            back = True
        elif found["sgr"] is not None:
            style = _after(style, found["sgr"])
    _put(runs, style, line[at:], back)
    return Markup("").join(_markup(style, text) for style, text in runs), style


def plain(text: str) -> str:
    """All of the text as a terminal would show it, without colours."""
    return "\n".join(_plain_line(line) for line in text.split("\n"))


def style_at(data: bytes, index: int) -> Style:
    """The style that the text before `index` leaves behind, as far as LOOK_BACK bytes tell."""
    begin = max(0, index - LOOK_BACK)
    begin = max(begin, data.rfind(b"\x1b[0m", begin, index), data.rfind(b"\x1b[m", begin, index))
    style = PLAIN
    for found in _SGR.finditer(data, begin, index):
        style = _after(style, found[1].decode())
    return style


def without_half_escape(line: bytes) -> bytes:
    """The line without an escape at its end that is not all there yet."""
    half = _UNFINISHED.search(line, max(0, len(line) - 200))
    return line[: half.start()] if half else line


def _put(runs: list[tuple[Style, str]], style: Style, text: str, back: bool) -> bool:
    """Add text to what the line shows; after a carriage return it takes the place of all that was there."""
    text = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
    if not text:
        return back
    if back:
        runs.clear()
    if runs and runs[-1][0] == style:
        text = runs.pop()[1] + text
    runs.append((style, _rubbed_out(text) if "\b" in text else text))
    return False


def _rubbed_out(text: str) -> str:
    """The text after its backspaces, each of which takes the character before it away."""
    left: list[str] = []
    for character in text:
        if character != "\b":
            left.append(character)
        elif left:
            left.pop()
    return "".join(left)


def _plain_line(line: str) -> str:
    runs: list[tuple[Style, str]] = []
    for text in _ESCAPES.sub("", line).split("\r"):
        _put(runs, PLAIN, text, back=True)
    return "".join(text for _, text in runs)


def _markup(style: Style, text: str) -> Markup:
    classes = _classes(style)
    return (
        Markup(f'<i class="{classes}">{escape(visible.marked(text))}</i>') if classes else escape(visible.marked(text))
    )


# --- SGR: what the numbers between ESC [ and m mean


def _after(style: Style, parameters: str) -> Style:
    return _obeyed(style, parameters[:_LONGEST])


@lru_cache(4096)
def _obeyed(style: Style, parameters: str) -> Style:
    codes = [_code(part) for part in parameters.split(";")]
    at = 0
    while at < len(codes):
        code, *more = codes[at]
        at += 1
        if code in (38, 48):
            if not more:
                more = [part[0] for part in codes[at : at + 4]]
                at += 4 if more[:1] == [2] else 2
            colour = _chosen(more)
            if colour is not None:
                style = style._replace(**{"ink" if code == 38 else "ground": colour})
        else:
            style = _plain_code(style, code, more)
    return style


def _code(part: str) -> list[int]:
    """38:2::1:2:3 as numbers; what is empty counts as 0."""
    return [int(number) if 0 < len(number) < 5 else 0 for number in part.split(":")[:8]]


def _plain_code(style: Style, code: int, more: list[int]) -> Style:
    if code == 0:
        return PLAIN
    if code == 4 and more[:1] == [0]:
        code = 24
    if code in _ON:
        return style._replace(flags=style.flags | _ON[code])
    if code in _OFF:
        return style._replace(flags=style.flags & ~_OFF[code])
    if 30 <= code <= 37 or 90 <= code <= 97 or code == 39:
        return style._replace(ink=_of_sixteen(code - 30))
    if 40 <= code <= 47 or 100 <= code <= 107 or code == 49:
        return style._replace(ground=_of_sixteen(code - 40))
    return style


def _of_sixteen(place: int) -> int | None:
    """The colour at 0 to 7, its bright sister at 60 to 67, the usual one at 9."""
    return None if place == 9 else _SIXTEEN[place if place < 8 else place - 52]


def _chosen(more: list[int]) -> int | None:
    """The colour after 38 or 48: [5, n] of the table of 256, [2, r, g, b] or [2, space, r, g, b] any."""
    if more[:1] == [5] and len(more) > 1 and more[1] < 256:
        return _of_256(more[1])
    if more[:1] == [2] and len(more) > 3:
        red, green, blue = (min(255, channel) * 15 // 255 for channel in (more[2:5] if len(more) > 4 else more[1:4]))
        return red << 8 | green << 4 | blue
    return None


def _of_256(number: int) -> int:
    if number < 16:
        return _SIXTEEN[number]
    if number < 232:
        red, green, blue = (_CUBE[(number - 16) // step % 6] for step in (36, 6, 1))
        return red << 8 | green << 4 | blue
    return (8 + 10 * (number - 232)) * 15 // 255 * 0x111


# --- classes


@lru_cache(4096)
def _classes(style: Style) -> str:
    """The classes of app.css for this style, "" for plain text."""
    ink, ground = style.ink, style.ground
    if style.flags & INVERSE:
        ink, ground = _GROUND if ground is None else ground, _INK if ink is None else ink
    if style.flags & DIM:
        ink = _mixed(_INK if ink is None else ink, _GROUND if ground is None else ground, 2 / 3)
    names = [name for flag, name in _NAMES if style.flags & flag]
    if ground is not None:
        names.append("k R{:x} G{:x} B{:x}".format(*_channels(ground)))
    if ink is not None or ground is not None:
        shown = _legible(_INK if ink is None else ink, _GROUND if ground is None else ground)
        names.append("f r{:x} g{:x} b{:x}".format(*_channels(shown)))
    return " ".join(names)


def _channels(colour: int) -> tuple[int, int, int]:
    return colour >> 8, colour >> 4 & 15, colour & 15


def _mixed(colour: int, other: int, share: float) -> int:
    red, green, blue = (
        round(mine * share + its * (1 - share)) for mine, its in zip(_channels(colour), _channels(other), strict=True)
    )
    return red << 8 | green << 4 | blue


def _legible(ink: int, ground: int) -> int:
    """The ink, made lighter or darker until it can be read on this ground."""
    far = max((0xFFF, 0x000), key=lambda colour: _contrast(colour, ground))
    shown = (_mixed(ink, far, step / 8) for step in range(8, -1, -1))
    return next((colour for colour in shown if _contrast(colour, ground) >= _LEGIBLE), far)


def _contrast(one: int, other: int) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: int) -> float:
    linear = (
        part / 12.92 if part <= 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in map(_share, _channels(colour))
    )
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _share(channel: int) -> float:
    return channel / 15
