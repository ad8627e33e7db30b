"""What lies in the trash and until when. Changes nothing; `jobs.delete` and `jobs.undelete` do."""

from __future__ import annotations

from typing import Any, NamedTuple

from peewee import fn

from engine import config, dialect
from engine.queries import PAGE, iso
from models import Counter, Job


class Trashed(NamedTuple):
    """A job in the trash: the token that brings it back, the id and the state it had, and until when it lies there."""

    token: str
    id: str
    state: str
    queue: str
    command: str
    deleted_at: int
    until: int

    def as_json(self) -> dict[str, Any]:
        """As scripts see it."""
        return self._asdict() | {"deleted_at": iso(self.deleted_at), "until": iso(self.until)}


def listed(limit: int = PAGE) -> list[Trashed]:
    """What lies there, the last deleted first."""
    kept_ms = int(config.get("trash_minutes") * 60_000)
    return [
        Trashed(
            job.id, job.deleted_id, job.deleted_from, job.queue, job.command, job.deleted_at, job.deleted_at + kept_ms
        )
        for job in Job.raw(dialect.TRASH, limit)
    ]


def count() -> int:
    """How many jobs lie there."""
    return Counter.select(fn.SUM(Counter.n)).where(Counter.state == "deleted").scalar() or 0
