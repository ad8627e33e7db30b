"""What may be asked of a job: the fields of an enqueue, their limits, and the sentence for each mistake.

The one table of fields. The command line, the form, files and the API all pass through `parse`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from engine import durations
from engine.errors import InvalidInput

COMMAND_BYTES = 100_000  # Linux takes one argument of at most 131,072 bytes
ENV_BYTES = 64_000
PRIORITIES = (-100, 100)  # bounded: a claim looks at each priority once
YEAR_S = 365 * 24 * 3600
LAST_MS = 253_402_300_799_000  # the end of the year 9999

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@+-]{0,127}")
_QUEUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_TAG = re.compile(r"[^\s,\x00-\x1f\x7f]{1,64}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHER_BYTES = 'Give the program and its arguments as words, which may hold any bytes: queuectl enqueue -- cat "$file".'


class Field(NamedTuple):
    """One field of an enqueue: `read` turns what was given into what is stored, or raises InvalidInput."""

    name: str
    read: Callable[[Any], Any]
    help: str


def parse_json(text: str | bytes) -> dict[str, Any]:
    """The object in `text`. Raises InvalidInput with line and column when it is not a JSON object."""
    try:
        payload = _JSON.decode(text) if isinstance(text, str) else json.loads(text, **_HOOKS)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"Not valid JSON: {_where_json_ends(error)}. "
            """Give an object, for example '{"command": "echo hi"}'."""
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"Not valid UTF-8 at byte {error.start}; save the payload as UTF-8.") from error
    except RecursionError as error:
        raise InvalidInput("The JSON is nested too deeply; a job is one flat object.") from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise InvalidInput("Not valid JSON: a number has too many digits.") from error
    if not isinstance(payload, dict):
        raise InvalidInput(f"""A job is a JSON object, for example '{{"command": "echo hi"}}', not {_kind(payload)}.""")
    return payload


def _where_json_ends(error: json.JSONDecodeError) -> str:
    """The character that cannot stand there, with line and column, in the same words on every version of Python."""
    text, at = error.doc, error.pos
    if text[at : at + 1] == ",":  # Python 3.13 names a trailing comma, older ones the bracket behind it
        at += 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip())
    if at >= len(text):
        found = "unexpected end of the text"
    elif text[at] == '"' and '"' not in text[at + 1 :]:
        found = "a string without its closing quote"
    else:
        found = f"unexpected {text[at]!r}"
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"{found} at line {line}, column {column}"


def parse(payload: dict[str, Any], now: int) -> dict[str, Any]:
    """The columns that `payload` sets, ready to store. `now`: milliseconds, for run_at written as "+5m".

    Raises InvalidInput for the first field that is unknown, missing or out of its limits.
    """
    if not payload.keys() <= FIELDS.keys():
        raise _unknown(next(name for name in payload if name not in FIELDS))
    if payload.get("command") is None:
        raise InvalidInput('command is missing; say what to run, for example "echo hi".', "command")
    row = {}
    for name, value in payload.items():
        if value is None:
            continue
        try:
            column, stored = _READ[name](value)
            row[column] = stored(now) if column == "next_run_at" else stored
        except InvalidInput as error:
            raise InvalidInput(f"{name}: {error}", name) from None
    return row


def mistakes(payload: dict[str, Any], now: int) -> list[InvalidInput]:
    """Every mistake in `payload`, where `parse` raises the first of them; none when it can be stored."""
    found = []
    for name, value in {"command": None, **payload}.items():
        try:
            parse({"command": ":", name: value}, now)
        except InvalidInput as error:
            found.append(error)
    return found


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    payload = dict(pairs)
    if len(payload) < len(pairs):
        twin = next(name for name, number in Counter(name for name, _ in pairs).items() if number > 1)
        raise InvalidInput(f"{twin[:64]!r} is given twice; give it once.")
    return payload


def _no_constant(name: str) -> None:
    raise InvalidInput(f"Not valid JSON: {name} is not a number that can be stored.")


_HOOKS: Any = {"object_pairs_hook": _no_twins, "parse_constant": _no_constant}
_JSON = json.JSONDecoder(**_HOOKS)  # json.loads would make one for every line of a file


def _unknown(name: str) -> InvalidInput:
    if name in ("state", "attempts", "created_at", "updated_at", "next_run_at", "run", "crashes"):
        return InvalidInput(f"{name} is set by the queue; leave it out.", name)
    return InvalidInput(f"{name[:64]!r} is not a field of a job; the fields are {', '.join(FIELDS)}.", name)


def _kind(value: Any) -> str:
    kinds = {
        bool: "true or false",
        str: "text",
        int: "a number",
        float: "a fraction",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else kinds.get(type(value), type(value).__name__)


def _text(value: Any, of_other_bytes: str = "") -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"must be text, not {_kind(value)}.")
    if "\0" in value:
        raise InvalidInput("contains a NUL byte, which no command can be given; remove it.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            if "\udc80" <= value[error.start] <= "\udcff":  # how Python gives a byte of an argument that is no text
                raise InvalidInput(f"is not UTF-8. {of_other_bytes}".strip()) from None
            raise InvalidInput("contains half of a surrogate pair, which is not text; remove it.") from None
    return value


def _size(text: str) -> int:
    """In bytes, as UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"must be a whole number from {low} to {high}, not {_kind(value)}.")
    if not low <= value <= high:
        raise InvalidInput(f"must be from {low} to {high}.")
    return value


def _id(value: Any) -> tuple[str, str]:
    value = _text(value)
    if not _ID.fullmatch(value):
        raise InvalidInput("use 1 to 128 letters, digits and . _ : @ + - and begin with a letter, digit or _.")
    return "id", value


def _command(value: Any) -> tuple[str, str]:
    value = _text(value, _OTHER_BYTES).replace(
        "\r\n", "\n"
    )  # as an editor on Windows writes it; the shell would read "\r" as text
    if not value or value.isspace():
        raise InvalidInput('is empty; say what to run, for example "echo hi".')
    size = _size(value)
    if size > COMMAND_BYTES:
        raise InvalidInput(f"is {size:,} bytes; at most {COMMAND_BYTES:,} can be run. Put it in a script and run that.")
    return "command", value


def _queue(value: Any) -> tuple[str, str]:
    value = _text(value)
    if not _QUEUE.fullmatch(value):
        raise InvalidInput("use 1 to 64 letters, digits and . _ - and begin with a letter, digit or _.")
    return "queue", value


def _priority(value: Any) -> tuple[str, int]:
    return "priority", _whole(value, *PRIORITIES)


def _max_retries(value: Any) -> tuple[str, int]:
    return "max_retries", _whole(value, 0, 1000)


def _timeout(value: Any) -> tuple[str, int]:
    number = durations.seconds(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        said = _kind(value)
        raise InvalidInput(f'must be a number of seconds or a text such as "90s" or "1h30m", not {said}.')
    if not 0 <= number <= YEAR_S:
        raise InvalidInput(f"must be from 0 (no timeout) to {YEAR_S} seconds.")
    return "timeout_ms", math.ceil(number * 1000)


def _run_at(value: Any) -> tuple[str, Callable[[int], int]]:
    return "next_run_at", partial(_due, _text(value).strip())


def _due(text: str, now: int) -> int:
    """The instant that `text` names at `now`, both in milliseconds."""
    from engine import moments  # most jobs name no instant

    delay_s = durations.seconds(text[1:]) if text.startswith("+") else None
    if delay_s is not None:
        if delay_s > 10 * YEAR_S:
            raise InvalidInput("is more than ten years ahead.")
        return now + round(delay_s * 1000)
    if moments.is_day_alone(text):
        raise InvalidInput(f'{text[:64]!r} has no time; write "{text.split()[0]} 09:00".')
    moment = moments.read(text, now, step=1)
    if moment is None:
        raise InvalidInput(
            'use "2025-11-04T10:30:00Z", "tomorrow 09:00 Europe/Berlin", "09:00", '
            'or a delay such as "+90s", "+10m", "+2h", "+1d", "+1w".'
        )
    if not moment.has_zone:
        raise InvalidInput(f'has no time zone; write "{text} UTC", or a zone like Europe/Berlin in the place of UTC.')
    if not 0 <= moment.at <= LAST_MS:
        raise InvalidInput("must lie between the years 1970 and 9999.")
    return moment.at


def _cwd(value: Any) -> tuple[str, str]:
    value = _text(value)
    if not os.path.isabs(value) or _size(value) > 4096:
        raise InvalidInput('must be an absolute path such as "/srv/app", of at most 4,096 bytes.')
    return "cwd", value


def _env(value: Any) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise InvalidInput(f'must be an object such as {{"NAME": "value"}}, not {_kind(value)}.')
    for name, content in value.items():
        if not _ENV_NAME.fullmatch(_text(name)):
            raise InvalidInput(f"{name[:64]!r} is not a name; use letters, digits and _.")
        if name.startswith("QUEUECTL_"):
            raise InvalidInput(f"{name[:64]} is set by QueueCTL; choose another name.")
        try:
            _text(content)
        except InvalidInput as error:
            raise InvalidInput(f"{name[:64]} {error}") from None
    stored = json.dumps(value, ensure_ascii=False)
    if _size(stored) > ENV_BYTES:
        raise InvalidInput(f"is more than {ENV_BYTES:,} bytes in total; put the values in a file.")
    return "env", stored


def _tags(value: Any) -> tuple[str, str]:
    if not isinstance(value, list):
        raise InvalidInput(f'must be a list such as ["nightly"], not {_kind(value)}.')
    if len(value) > 20:
        raise InvalidInput("has more than 20 tags.")
    for tag in value:
        if not _TAG.fullmatch(_text(tag)):
            raise InvalidInput("each tag has 1 to 64 characters, without spaces and commas.")
    return "tags", json.dumps(list(dict.fromkeys(value)), ensure_ascii=False)


FIELDS = {
    field.name: field
    for field in (
        Field("id", _id, "its name, unique; made up when left out"),
        Field("command", _command, "what /bin/sh runs"),
        Field("queue", _queue, "the queue it waits in; default: default"),
        Field("priority", _priority, "-100 to 100, higher runs first; default 0"),
        Field("max_retries", _max_retries, "retries after the first failure; default: max_retries_default"),
        Field(
            "timeout_sec", _timeout, 'seconds, or "1h30m", until it is stopped; 0 for none; default: job_timeout_sec'
        ),
        Field(
            "run_at", _run_at, 'not before: "2025-11-04T10:30:00Z", "2025-11-04 10:30 Europe/Berlin", "09:00", "+10m"'
        ),
        Field("cwd", _cwd, "the folder it runs in, absolute; default: the supervisor's"),
        Field("env", _env, "environment variables added, an object of strings"),
        Field("tags", _tags, "words to find it by, a list"),
    )
}
_READ = {name: field.read for name, field in FIELDS.items()}
