"""What jobs can be chosen by, the same for lists, bulk operations, exports and saved views."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from peewee import SQL, fn

import models
from engine import dialect, durations, moments
from engine.causes import MOST_STARS
from engine.errors import InvalidInput
from models import FAILED_RUNS, STATES, Attempt, Job

_LONGEST_TEXT = 1000  # SQLite takes patterns of 50,000 bytes
_EXIT_CODE = re.compile(r"-?[0-9]{1,5}")


class Filter(NamedTuple):
    """One thing to choose by: how its value is read (raises InvalidInput), and the condition on a job."""

    read: Callable[[str], Any]
    holds: Callable[[Any], Any]
    is_heavy: bool = False  # it reads what every run printed


def checked(filters: Mapping[str, Any]) -> dict[str, str]:
    """The filters that say something, checked. Raises InvalidInput."""
    unknown = next((name for name in filters if name not in FILTERS), None)
    if unknown is not None:
        raise InvalidInput(f"There is no filter {unknown[:32]!r}; there are {', '.join(FILTERS)}.", unknown)
    said = {name: str(value) for name, value in filters.items() if value not in (None, "")}
    for name, value in said.items():
        FILTERS[name].read(value)
    return said


def fixed(filters: Mapping[str, str]) -> dict[str, str]:
    """The filters with ages ("24h") made instants, for what is looked at later again."""
    return {name: _iso(_instant(value)) if name in _INSTANTS else value for name, value in filters.items()}


def conditions(filters: Mapping[str, str]) -> list[Any]:
    """What a job must fulfil besides being in a state, each a condition in SQL. Raises InvalidInput."""
    return [
        FILTERS[name].holds(FILTERS[name].read(value)) for name, value in checked(filters).items() if name != "state"
    ]


def of_state(state: str | None) -> Any:
    """Being in the state; for None in any, but not in the trash. Raises InvalidInput."""
    return Job.state != "deleted" if state is None else Job.state == _state(state)


def is_heavy(filters: Mapping[str, str]) -> bool:
    """Whether a look at one job reads all that it printed."""
    return any(FILTERS[name].is_heavy for name in filters)


# --- how values are read


def _state(value: str) -> str:
    if value not in STATES:
        raise InvalidInput(f"There is no state {value[:32]!r}; the states are {', '.join(STATES)}.", "state")
    return value


def _text(name: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if len(value) > _LONGEST_TEXT or "\0" in value:
            raise InvalidInput(f"Search for at most {_LONGEST_TEXT:,} characters, none of them NUL.", name)
        return value

    return read


def _pattern(value: str) -> str:
    value = _text("error")(value)
    if value.count("*") > MOST_STARS:
        raise InvalidInput(f"An error to look for has at most {MOST_STARS} asterisks.", "error")
    return re.sub(r"[?\[]", r"[\g<0>]", value)


def _exit_code(value: str) -> int:
    if not _EXIT_CODE.fullmatch(value):
        raise InvalidInput(
            f"An exit code is a number, that of a signal negative: 1, 127, -9; not {value[:32]!r}.", "exit_code"
        )
    return int(value)


def _instant(value: str) -> int:
    now = models.now_ms()
    age_s = durations.seconds(value.strip())
    if age_s is not None:
        return max(0, now - round(age_s * 1000))
    try:
        moment = moments.read(value, now, step=-1)
    except InvalidInput as error:
        raise InvalidInput(f"{value[:64]!r} is no instant: {error}", "since") from None
    if moment is None:
        raise InvalidInput(
            f'{value[:32]!r} is no instant; write an age such as "24h" or "7d", "2025-11-04T10:30Z" or "today 09:00".',
            "since",
        )
    return moment.at


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- what they ask of a job


def _of_runs(condition: Any) -> Any:
    """At least one run is so."""
    return fn.EXISTS(Attempt.select(SQL("1")).where(Attempt.job == Job.pk, condition))


def _ran_on(worker: str) -> Any:
    return (Job.locked_by == worker) | _of_runs(Attempt.worker == worker)


def _printed(text: str) -> Any:
    return _of_runs(dialect.holds_text(Attempt.stdout, text) | dialect.holds_text(Attempt.stderr, text))


def _had_failed_run(instant: int) -> Any:
    return _of_runs(Attempt.outcome.in_(FAILED_RUNS) & (Attempt.finished_at >= instant))


# When a job ended; of one that has not, when it was enqueued.
_moment: Any = fn.COALESCE(Job.finished_at, Job.created_at)
_INSTANTS = ("failed_since", "since", "until")

FILTERS = {
    "state": Filter(_state, lambda state: Job.state == state),
    "queue": Filter(_text("queue"), lambda queue: Job.queue == queue),
    "tag": Filter(_text("tag"), lambda tag: dialect.has_tag(Job.tags, tag)),
    "text": Filter(
        _text("text"), lambda text: dialect.holds_text(Job.id, text) | dialect.holds_text(Job.command, text)
    ),
    "output": Filter(_text("output"), _printed, is_heavy=True),
    "error": Filter(_pattern, lambda pattern: dialect.is_like(Job.last_error, pattern)),
    "cause": Filter(_text("cause"), lambda cause: Job.cause == cause),
    "exit_code": Filter(_exit_code, lambda code: Job.return_code == code),
    "worker": Filter(_text("worker"), _ran_on),
    "failed_since": Filter(_instant, _had_failed_run),
    "since": Filter(_instant, lambda instant: _moment >= instant),
    "until": Filter(_instant, lambda instant: _moment < instant),
}
