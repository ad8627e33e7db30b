"""The jobs that the words of `enqueue` name: JSON, a command, or a program and its arguments."""

from __future__ import annotations

import os
import re
import sys

from engine import batch, spec
from engine.batch import Entry
from engine.errors import InvalidInput

# "[ -f x ] && y" and '[ "$x" = y ]' are commands; '[{"command": …}]', '["echo"]' and "[]" can only be JSON.
_ARRAY = re.compile(r'\s*\[(?:\{|"|\s*\{\s*["}]|\s*\]\s*\Z)')
_PRINTED = re.compile(rb"[^ -~\n]|['%\\]")


def entries(words: tuple[str, ...]) -> list[Entry]:
    """The jobs with where each stands, "" for a single one. Raises InvalidInput with the place of the fault."""
    if len(words) > 1:
        return [("", {"command": " ".join(map(_quoted, words))})]
    text = words[0]
    if _ARRAY.match(text):
        return whole(batch.read(text), "the array")
    if text.lstrip().startswith("{"):
        return [("", spec.parse_json(text))]
    return [("", {"command": text})]


def of_file(path: str, form: str) -> list[Entry]:
    """The jobs of a file, of standard input for "-". Raises InvalidInput with the place of the fault."""
    import gc

    gc.disable()  # all that is read stays to the end: to look for garbage in it again and again would find none
    name = "standard input" if path == "-" else path
    text = batch.decode(_read(path), name)
    try:
        return whole(batch.read(text, form), name)
    except InvalidInput:
        if form == "json" and text.strip() and text.lstrip()[0] not in "{[":
            raise InvalidInput(
                f"{name} holds no JSON; with --lines each of its lines is a command. Nothing was stored."
            ) from None
        raise


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read() if sys.stdin else b""
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidInput(f"Cannot read {path}: {error.strerror}.") from None


def whole(found: batch.Batch, name: str) -> list[Entry]:
    """The jobs of a batch without mistakes. Raises InvalidInput for the first mistake, and when there is no job."""
    if found.mistakes:
        raise InvalidInput(f"{found.mistakes[0]} Nothing was stored.")
    if not found.jobs:
        raise InvalidInput(f"There is no job in {name}; write one JSON object a line.")
    return found.jobs


def _quoted(word: str) -> str:
    """The word as the shell reads it. A command is text in UTF-8: other bytes are written by printf when it runs."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return _printed(os.fsencode(word))
    import shlex

    return shlex.quote(word)


def _printed(word: bytes) -> str:
    """A word in the shell's language that is these bytes; ends of lines at its end stand behind, for $(…) drops them."""
    body = word.rstrip(b"\n")
    ends = (len(word) - len(body)) * "\n"
    import shlex

    written = _PRINTED.sub(lambda found: b"\\%03o" % found[0][0], body).decode()
    return f"\"$(printf -- '{written}')\"" + (shlex.quote(ends) if ends else "")
