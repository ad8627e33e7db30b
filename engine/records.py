"""The lines of an export: what each holds, and the sentence for each mistake. Knows no database.

A JSON object a line: {"type": "queuectl"} first, then the settings, queues and views, each job followed by its runs, and {"type": "end"}
with how many there were, so that a file that was cut short is noticed. Columns have the names of the tables, instants
are milliseconds since 1970.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from engine.columns import ADDED, COLUMNS
from engine.errors import InvalidInput

_FORMAT = 2
_LONGEST_LINE = 1024 * 1024 * 1024
_ENDED = ("completed", "dead", "cancelled")


class Record(NamedTuple):
    """One line: its number, its type (one of COLUMNS) and the columns as they are stored."""

    line: int
    type: str
    row: dict[str, Any]


# --- out


def head() -> bytes:
    """The first line."""
    return dump("queuectl", {"format": _FORMAT})


def dump(type: str, columns: dict[str, Any]) -> bytes:
    """One line. Bytes become text, or base64 when they are not UTF-8."""
    row = {name: _shown(name, value) for name, value in columns.items()}
    return json.dumps({"type": type, **row}, ensure_ascii=False).encode() + b"\n"


def _shown(name: str, value: Any) -> Any:
    if name in ("tags", "env"):
        return None if value is None else json.loads(value)
    return _text_or_base64(bytes(value)) if isinstance(value, (bytes, memoryview)) else value


def _text_or_base64(data: bytes) -> str | dict[str, str]:
    if b"\0" not in data:  # each would take six characters
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return {"base64": b64encode(data).decode()}


# --- in


def read(file: BinaryIO) -> Iterator[Record]:
    """Every record of an export that has come whole. Raises InvalidInput, with the number of the line at fault."""
    number = 0
    try:
        lines = _lines(file)
        number, head = next(lines, (1, None))
        _check_head(head)
        found = dict.fromkeys(COLUMNS, 0)
        job: dict[str, Any] = {}
        for number, payload in lines:
            type = payload.pop("type", None)
            if type == "end":
                _check_end(payload, found, lines)
                return
            row = _row(type, payload)
            if type == "job":
                job = row | {"last_run": 0}
            elif type == "attempt":
                _check_place(row, job)
            found[type] += 1
            yield Record(number, type, row)
        number += 1
        raise InvalidInput("the end of the export is missing; it was cut short.")
    except InvalidInput as error:
        raise InvalidInput(f"line {number}: {error}") from None


def _lines(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if not line.strip():
            continue
        yield number, _object(line)


def _object(line: bytes) -> Any:
    """What the line says. What is no JSON object has a type that the reader refuses: it knows the number of the line."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {"type": "broken"}
    return found if isinstance(found, dict) else {"type": "broken"}


def _check_head(head: Any) -> None:
    if not head or head.get("type") != "queuectl":
        raise InvalidInput(
            "this is not an export of 'queuectl export'; new jobs are stored by 'queuectl enqueue --file'."
        )
    if head.get("format") not in (1, _FORMAT):
        raise InvalidInput(
            f"the export has format {head.get('format')!r}, this program reads {_FORMAT}; upgrade QueueCTL."
        )


def _check_end(payload: dict[str, Any], found: dict[str, int], rest: Iterator[Any]) -> None:
    if dict.fromkeys(COLUMNS, 0) | payload != found:  # the first format does not know all of them
        raise InvalidInput("the counts at the end do not agree with the lines before; something is missing or doubled.")
    if next(rest, None) is not None:
        raise InvalidInput("the export goes on after its end; import one export at a time.")


def _row(type: Any, payload: dict[str, Any]) -> dict[str, Any]:
    if type == "broken":
        raise InvalidInput("not a JSON object.")
    columns = COLUMNS.get(type) if isinstance(type, str) else None
    if columns is None:
        raise InvalidInput(f"there is no record of type {str(type)[:32]!r}; the types are {', '.join(COLUMNS)}.")
    payload = ADDED.get(type, {}) | payload
    for name in (*columns, *payload):
        if name not in columns or name not in payload:
            raise InvalidInput(f"{name[:64]!r} is {'missing' if name in columns else 'not a column of this type'}.")
    row = {}
    for name, check in columns.items():
        try:
            row[name] = check(payload[name])
        except InvalidInput as error:
            raise InvalidInput(f"{name}: {error}") from None
    if type == "job":
        _check_state(row)
    return row


def _check_state(job: dict[str, Any]) -> None:
    if job["state"] in _ENDED and job["finished_at"] is None:
        raise InvalidInput(f"finished_at: must be an instant, for the job is {job['state']}.")
    if job["state"] == "processing" and not (job["locked_by"] and job["run"]):
        raise InvalidInput("locked_by: must name a worker, for the job is processing.")


def _check_place(attempt: dict[str, Any], job: dict[str, Any]) -> None:
    if attempt["job"] != job.get("id"):
        raise InvalidInput("job: a run comes after the line of its job.")
    if not job["last_run"] < attempt["run"] <= job["run"]:
        raise InvalidInput(f"run: must be more than that of the line before, and at most {job['run']}.")
    for stream in ("stdout", "stderr"):
        if len(attempt[stream] or b"") > attempt[f"{stream}_bytes"]:
            raise InvalidInput(f"{stream}_bytes: is less than what is kept of it.")
    job["last_run"] = attempt["run"]
