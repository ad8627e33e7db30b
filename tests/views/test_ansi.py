"""What a terminal would show, as markup that is safe."""

from __future__ import annotations

import re

import pytest

from views import ansi
from views.ansi import Style


def shown(line: str) -> str:
    return str(ansi.show(line)[0])


def text(line: str) -> str:
    return re.sub(r"<[^>]*>", "", shown(line))


@pytest.mark.parametrize(
    ("printed", "markup"),
    [
        ("plain & <b>", "plain &amp; &lt;b&gt;"),
        ("\x1b[1mbold\x1b[22m not", '<i class="bold">bold</i> not'),
        ("\x1b[4;9mboth\x1b[m", '<i class="under strike">both</i>'),
        ("\x1b[3mitalic", '<i class="italic">italic</i>'),
        ("\x1b[31mred\x1b[39m", '<i class="f re g5 b5">red</i>'),
        ("\x1b[91mbright", '<i class="f rf g8 b8">bright</i>'),
        ("\x1b[38;5;196mof 256", '<i class="f rf g0 b0">of 256</i>'),
        ("\x1b[38;5;244mgrey", '<i class="f r8 g8 b8">grey</i>'),
        ("\x1b[38;2;255;120;0mtrue", '<i class="f rf g7 b0">true</i>'),
        ("\x1b[38:2::255:120:0mcolons", '<i class="f rf g7 b0">colons</i>'),
        ("\x1b[38:2:255:120:0mcolons", '<i class="f rf g7 b0">colons</i>'),
        ("\x1b[4:3mcurly\x1b[4:0m", '<i class="under">curly</i>'),
        ("\x1b[7minverse\x1b[27m", '<i class="k Re Ge Be f r1 g1 b2">inverse</i>'),
        ("\x1b[38;5mbroken\x1b[38;9;1mbroken", "brokenbroken"),
        ("\x1b[31m\x1b[32m", ""),
        ("\x1b[31ma\x1b[31mb", '<i class="f re g5 b5">ab</i>'),
    ],
)
def test_colours_become_classes(printed, markup):
    assert shown(printed) == markup


@pytest.mark.parametrize(
    ("printed", "left"),
    [
        ("\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("\x1b[2J\x1b[10;20Hmoved", "moved"),
        ("10%\r20%", "20%"),
        ("10%\r", "10%"),
        ("10%\r\x1b[K", "10%"),
        ("10%\r\x1b[32m100%\x1b[0m", "100%"),
        ("|\b/\b-\b", ""),
        ("a\tb\x00c", "a\tb\N{REPLACEMENT CHARACTER}c"),
        ("\x1b", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_only_text_is_left_of_what_a_terminal_would_obey(printed, left):
    assert text(printed) == left
    assert ansi.plain(printed) == left


def test_plain_text_keeps_its_lines():
    assert ansi.plain("one\r\ntw\rTWO\n\n\x1b[1mthree") == "one\nTWO\n\nthree"


def test_a_style_is_handed_on():
    _, style = ansi.show("\x1b[1;31mred")
    assert ansi.show("more", style) == ansi.show("\x1b[1;31mmore")
    assert ansi.show("\x1b[0mplain", style)[1] == Style()


def test_the_style_at_a_place_is_what_was_set_before_it():
    data = b"\x1b[1m\x1b[0m\x1b[31mred\n\x1b[42m"
    assert ansi.style_at(data, data.index(b"\n")) == ansi.show("\x1b[31m")[1]
    assert ansi.style_at(data, len(data)) == ansi.show("\x1b[31;42m")[1]
    assert ansi.style_at(data, 0) == Style()


@pytest.mark.parametrize("ground", [None, 0x000, 0xE55, 0x6AF, 0xCCC, 0xFFF, 0x0F0])
@pytest.mark.parametrize("ink", [0x000, 0x00A, 0xE55, 0x888, 0xFFF])
def test_every_colour_can_be_read_on_its_ground(ink, ground):
    classes = dict(re.findall(r"\b([rgbRGB])([0-9a-f])\b", ansi._classes(Style(ink, ground))))
    shown_ink = int(classes["r"] + classes["g"] + classes["b"], 16)
    shown_ground = ansi._GROUND if ground is None else ground
    assert ansi._contrast(shown_ink, shown_ground) >= 4.5


def test_every_class_is_in_the_style_sheet():
    import os

    import models

    with open(os.path.join(models.ROOT, "static", "job.css")) as file:
        css = file.read()
    names = [f"{channel}{value:x}" for channel in "rgbRGB" for value in range(16)]
    for name in (*names, "f", "k", "bold", "italic", "under", "strike"):
        assert re.search(rf"\.{name} \{{", css), name
