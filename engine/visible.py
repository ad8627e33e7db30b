"""Characters that a reader does not see, or that turn what is read, shown as marks: <U+202E>. For terminals and the panel.

Text that others wrote can read differently from what runs: the marks say what is there. What is stored stays as it is.
"""

from __future__ import annotations

import re

# Soft hyphen, Arabic letter mark, Hangul fillers, zero-width and bidi controls, line separators, tags.
_UNSEEN = (
    "\\u00ad\\u061c\\u115f\\u1160\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f"
    "\\u3164\\ufeff\\ufff9-\\ufffb\\U000e0000-\\U000e007f"
)
_MARKED = re.compile(f"[{_UNSEEN}]")
_SGR = r"\x1b\[[0-9;:]{0,100}m"
_STEERS = re.compile(rf"{_SGR}|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HALF_SGR = re.compile(r"\x1b(?:\[[0-9;:]{0,100})?\Z")
_NOT_IN_JSON = re.compile(f"[\\x7f-\\x9f{_UNSEEN}]")


def marked(text: str) -> str:
    """The text with a mark in the place of each character that is not seen."""
    return text if text.isascii() else _MARKED.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def has_unseen(text: str) -> bool:
    """Whether the text holds a character that `marked` replaces."""
    return not text.isascii() and _MARKED.search(text) is not None


def plain(text: str) -> str:
    """The text as a terminal may show it without obeying any of it: control characters but tab and newline as pictures."""
    return _STEERS.sub(lambda found: "".join(map(_picture, found[0])), marked(text))


def coloured(text: str) -> str:
    """The same, but colours and other SGR sequences stay; the end of a line may be CR LF."""
    return _STEERS.sub(
        lambda found: found[0] if len(found[0]) > 1 else _picture(found[0]), marked(text.replace("\r\n", "\n"))
    )


def half_sgr(text: str) -> str:
    """The begin of an SGR sequence at the end of the text, whose rest may be still to come; "" when there is none."""
    half = _HALF_SGR.search(text, max(0, len(text) - 103))
    return half[0] if half else ""


def in_json(dumped: str) -> str:
    """The JSON with its unseen characters as escapes: it says the same."""
    return dumped if dumped.isascii() else _NOT_IN_JSON.sub(_escaped, dumped)


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def _picture(character: str) -> str:
    code = ord(character)
    if code >= 0x7F:
        return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
    return chr(0x2400 + code) if code < 32 and character not in "\t\n" else character
