"""The one rule by which searches ignore case: for the letters of every alphabet, not of English alone."""

from __future__ import annotations


def fold(text: str) -> str:
    """The text with every letter in the form that its upper and its lower case share."""
    return text.casefold()


def holds(data: str | bytes | None, folded: str) -> bool:
    """Whether the text, or the bytes read as UTF-8, hold `folded`, which `fold` has made. Time grows with the length alone."""
    if not data:
        return False
    return folded in fold(data if isinstance(data, str) else data.decode(errors="replace"))


def is_same(text: str | None, folded: str) -> bool:
    """Whether the text, folded, is `folded`."""
    return text is not None and fold(text) == folded
