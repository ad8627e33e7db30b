"""Text that others wrote is shown, never obeyed; what cannot be seen has a mark."""

from __future__ import annotations

import json

import pytest

from engine import sheet, visible

UNSEEN = "\u202e\u2066\u200b\u200d\u061c\ufeff\u2028\u2029\u00ad\U000e0041"


@pytest.mark.parametrize("character", UNSEEN)
def test_a_character_that_is_not_seen_has_a_mark(character):
    mark = f"a<U+{ord(character):04X}>b"
    for shown in (visible.marked, visible.plain, visible.coloured):
        assert shown(f"a{character}b") == mark
    assert visible.has_unseen(f"a{character}b")
    assert json.loads(visible.in_json(json.dumps(f"ä{character}", ensure_ascii=False))) == f"ä{character}"
    assert character not in visible.in_json(json.dumps(f"ä{character}", ensure_ascii=False))


@pytest.mark.parametrize("text", ["", "echo hi", "äöü ÄÖÜ", "日本語 🎉", "a\tb\nc", "<U+202E>"])
def test_other_text_stays_as_it_is(text):
    assert visible.marked(text) == visible.plain(text) == visible.coloured(text) == visible.in_json(text) == text
    assert not visible.has_unseen(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[38;2;1;2;3mx\x1b[4:3my\x1b[m", "\x1b[38;2;1;2;3mx\x1b[4:3my\x1b[m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x1b]52;c;aGk=\x1b\\", "␛]52;c;aGk=␛\\"),
        ("\x1b[2J\x1b[H", "␛[2J␛[H"),
        ("\x1b[?1m\x1b[31 m\x1bc", "␛[?1m␛[31 m␛c"),
        ("\x9b2J\x9d0;x\x9c", "�2J�0;x�"),
        ("10%\r20%\b\x7f\0", "10%␍20%␈␡␀"),
        ("a\r\nb", "a\nb"),
        ("\x1b[" + "1" * 101 + "m", "␛[" + "1" * 101 + "m"),
    ],
)
def test_on_a_terminal_colours_pass_and_nothing_else(text, shown):
    assert visible.coloured(text) == shown
    assert "\x1b" not in visible.plain(text)


@pytest.mark.parametrize(
    ("text", "half"), [("a\x1b", "\x1b"), ("a\x1b[3", "\x1b[3"), ("\x1b[31m", ""), ("\x1b]0", ""), ("a", "")]
)
def test_a_colour_that_is_half_there_is_known(text, half):
    assert visible.half_sgr(text) == half


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@a", "\ta", "\ra", "\na", " =1", "\u3000=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20a"],
)
def test_a_cell_that_a_spreadsheet_would_compute_is_text(text):
    row = dict.fromkeys(sheet.COLUMNS) | {"command": text, "tags": []}
    assert f"'{text}" in list(sheet.lines([row]))[1].replace('""', '"')


@pytest.mark.parametrize("text", ["a=1", "1-1", " a", "ä\uff1d"])
def test_other_cells_are_left_alone(text):
    row = dict.fromkeys(sheet.COLUMNS) | {"command": text, "tags": []}
    assert f"'{text}" not in list(sheet.lines([row]))[1]
