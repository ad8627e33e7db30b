"""Jobs come in: enqueued by people and programs, or taken over from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from peewee import IntegrityError

import models
from engine import config, counters, dialect, ids, spec, wakeup
from engine.errors import Refused
from models import Job, db

_OPTIONAL = ("timeout_ms", "tags", "cwd", "env", "origin")  # columns that most jobs leave empty
_MANY = 100  # jobs at once
_COURTESY_S, _COURTESY_OF_MANY_S = 0.002, 0.01  # for workers that wait to store what they did


def enqueue(payload: dict[str, Any], origin: str | None = None) -> str:
    """Store one job and return its id; it is on the disk when this returns. Raises InvalidInput, Refused.

    origin: the id of the job that it was made from.
    """
    return enqueue_many([payload], origin)[0]


def enqueue_many(payloads: Iterable[dict[str, Any]], origin: str | None = None) -> list[str]:
    """Store all the jobs, or none of them, and return their ids. Raises InvalidInput, Refused for a taken id."""
    now = models.now_ms()
    return _store((spec.parse(payload, now) for payload in payloads), now, origin)


def enqueue_parsed(parsed: Iterable[dict[str, Any]], origin: str | None = None) -> list[str]:
    """As `enqueue_many`, of what `spec.parse` has made of the payloads already."""
    return _store(parsed, models.now_ms(), origin)


def _store(parsed: Iterable[dict[str, Any]], now: int, origin: str | None) -> list[str]:
    default = config.get("max_retries_default")
    unsaid = {"queue": "default", "priority": 0, "next_run_at": now, "max_retries": default, "now": now}
    if origin is not None:
        unsaid["origin"] = origin
    rows = [unsaid | row for row in parsed]
    new_ids = ids.new_ids(now)
    for row in rows:
        if "id" not in row:
            row["id"] = next(new_ids)
    db.give_way(_COURTESY_S if len(rows) < _MANY else _COURTESY_OF_MANY_S)
    with db.transaction():
        _insert_all(rows)
        counters.stored((row["queue"], "pending") for row in rows)
        wakeup.nudge()
    return [row["id"] for row in rows]


def payload_of(job: Job) -> dict[str, Any]:
    """What would have to be enqueued to get this job once more, under another id."""
    given = {
        "command": job.command,
        "queue": job.queue,
        "priority": job.priority,
        "max_retries": job.max_retries,
        "timeout_sec": None if job.timeout_ms is None else job.timeout_ms / 1000,
        "cwd": job.cwd,
        "env": json.loads(job.env) if job.env else None,
        "tags": json.loads(job.tags) if job.tags else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _insert_all(rows: list[dict[str, Any]]) -> None:
    """Columns that none of the rows sets are left out: to bind nothing to them would take an eighth of the time."""
    used = set[str]().union(*rows)
    also = [name for name in _OPTIONAL if name in used]
    empty = dict.fromkeys(also)
    row: dict[str, Any] = {}

    def each() -> Iterator[dict[str, Any]]:
        nonlocal row
        for row in rows:  # the one that cannot be stored is the last that was asked for
            yield empty | row if also else row

    try:
        db.execute_many(dialect.insert_jobs(also), each())
    except IntegrityError:
        raise Refused(f"There is a job {row['id']} already; choose another id, or leave it out.") from None


def take_in(row: dict[str, Any]) -> int:
    """Store a job as it was elsewhere, all columns but its key, and return the key it has here.

    Raises Refused for a taken id.
    """
    if row["state"] == "dead":
        from engine.causes import pattern_of  # few jobs come dead

        row = row | {"cause": pattern_of(row["last_error"] or "")}
    with db.transaction():
        try:
            key = db.execute_sql(dialect.insert("job", row), row).lastrowid
        except IntegrityError:
            raise Refused(f"There is a job {row['id']} already.") from None
        counters.stored([(row["queue"], row["state"])])
    return key
