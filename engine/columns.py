"""What an exported column may hold: from JSON to what is stored, or the sentence for the mistake."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any

from engine import spec
from engine.errors import InvalidInput
from models import OUTCOMES, STATES

Check = Callable[[Any], Any]
_LAST_INSTANT = 253_402_300_799_999  # of the year 9999
_LARGEST = 2**53 - 1  # the largest whole number that every JSON reader keeps


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InvalidInput(f"must be a whole number from {low} to {high}.")
        return value

    return check


def _word(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            raise InvalidInput(f"must be one of {', '.join(words)}.")
        return value

    return check


def _or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _as_enqueued(name: str) -> Check:
    return lambda value: spec.FIELDS[name].read(value)[1]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput("must be text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput("contains half of a surrogate pair, which is not text.") from None
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput("must be true or false.")
    return value


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict) and list(value) == ["base64"]:
        try:
            return b64decode(_text(value["base64"]), validate=True)
        except ValueError:
            raise InvalidInput("is not base64.") from None
    return _text(value).encode()


def _anything(value: Any) -> Any:
    return value


_instant = _whole(0, _LAST_INSTANT)
_count = _whole(0, _LARGEST)
_code = _whole(-(2**31), 2**31 - 1)

# What exports of the first format do not have.
ADDED = {"job": {"origin": None}, "attempt": {"stdout_cut_lines": None, "stderr_cut_lines": None}}

COLUMNS: dict[str, dict[str, Check]] = {
    "config": {"key": _text, "value": _anything, "updated_at": _instant},
    "queue": {
        "name": _as_enqueued("queue"),
        "paused": _flag,
        "max_running": _or_null(_whole(1, 1000)),
        "actor": _text,
        "updated_at": _instant,
    },
    "view": {"name": _text, "query": _text, "actor": _text, "created_at": _instant},
    "job": {
        "id": _as_enqueued("id"),
        "queue": _as_enqueued("queue"),
        "state": _word(*STATES),
        "priority": _as_enqueued("priority"),
        "next_run_at": _instant,
        "run": _count,
        "attempts": _count,
        "crashes": _count,
        "max_retries": _as_enqueued("max_retries"),
        "timeout_ms": _or_null(_whole(0, spec.YEAR_S * 1000)),
        "cancel_requested": _flag,
        "locked_by": _or_null(_text),
        "locked_at": _or_null(_instant),
        "created_at": _instant,
        "updated_at": _instant,
        "finished_at": _or_null(_instant),
        "return_code": _or_null(_code),
        "duration_ms": _or_null(_count),
        "last_error": _or_null(_text),
        "origin": _or_null(_as_enqueued("id")),
        "tags": _or_null(_as_enqueued("tags")),
        "cwd": _or_null(_as_enqueued("cwd")),
        "env": _or_null(_as_enqueued("env")),
        "command": _as_enqueued("command"),
    },
    "attempt": {
        "job": _text,
        "run": _count,
        "worker": _text,
        "host": _text,
        "started_at": _instant,
        "finished_at": _or_null(_instant),
        "duration_ms": _or_null(_count),
        "outcome": _word(*OUTCOMES),
        "return_code": _or_null(_code),
        "error": _or_null(_text),
        "user_ms": _or_null(_count),
        "system_ms": _or_null(_count),
        "max_rss_kb": _or_null(_count),
        "stdout_bytes": _count,
        "stdout_cut": _or_null(_count),
        "stderr_bytes": _count,
        "stderr_cut": _or_null(_count),
        "stdout": _or_null(_bytes),
        "stderr": _or_null(_bytes),
        "stdout_cut_lines": _or_null(_count),
        "stderr_cut_lines": _or_null(_count),
    },
}
