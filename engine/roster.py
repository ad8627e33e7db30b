"""Who works where: the workers of each host with their supervisor, and those that have ended and why. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, NamedTuple

from peewee import fn

from engine import dialect, liveness, queries
from engine.errors import InvalidInput
from models import Meta, Supervisor, Worker

ENDS = ("lost", "stopped")  # by a crash, as asked
PAGE = 20
_LONGEST = 200  # characters of a reason that is asked for
_FOLDER = "folder"  # a key of Meta
_MOST = 1000  # workers and heirs read at once


class Crew(NamedTuple):
    """The workers of one host that live, the oldest first, and their supervisor if it has not said goodbye."""

    host: str
    workers: tuple[Worker, ...]
    supervisor: Supervisor | None
    dead: frozenset[int]  # the pks of those that died and are not cleared away yet

    @property
    def wanted(self) -> int:
        """How many shall take jobs."""
        return sum(worker.desired == "run" for worker in self.workers)

    @property
    def ready(self) -> int:
        """How many do: wanted, and begun."""
        ready = (worker for worker in self.workers if worker.pk not in self.dead)
        return sum(worker.desired == "run" and worker.status == "running" for worker in ready)

    @property
    def leaving(self) -> int:
        return len(self.workers) - self.wanted


class Deaths(NamedTuple):
    """How often workers died of one cause, and when last."""

    reason: str
    times: int
    last_at: int


def crews() -> list[Crew]:
    """Every host that has workers or a supervisor, by name."""
    living: dict[str, list[Worker]] = {}
    for worker in Worker.select().where(Worker.stopped_at.is_null()).order_by(Worker.pk).limit(_MOST):
        living.setdefault(worker.host, []).append(worker)
    supervisors = {row.host: row for row in queries.supervisors()}
    hosts = sorted(living.keys() | supervisors.keys())
    dead = frozenset(liveness.dead([worker for crew in living.values() for worker in crew]))
    return [Crew(host, tuple(living.get(host, ())), supervisors.get(host), dead) for host in hosts]


def note_folder(folder: str) -> None:
    """Remember where the workers are started: jobs without a folder of their own run there."""
    Meta.replace(key=_FOLDER, value=os.fsencode(folder).decode(errors="replace")).execute()


def folder() -> str | None:
    """Where jobs without a folder of their own run; None as long as no workers were started."""
    row = Meta.get_or_none(Meta.key == _FOLDER)
    return row.value if row else None


def ended(
    end: str | None = None, reason: str | None = None, *, before: str | None = None, limit: int = PAGE
) -> tuple[list[Worker], str | None]:
    """Workers that have ended, the last first, and the cursor of those before them (None: there are none).

    end: lost or stopped. reason: a part of the cause or the host. before: such a cursor. Raises InvalidInput.
    """
    query = Worker.select().where(Worker.stopped_at.is_null(False))
    if end:
        if end not in ENDS:
            raise InvalidInput(f"Workers end {' or '.join(ENDS)}, not {end[:32]!r}.", "end")
        query = query.where(Worker.status == end)
    if reason:
        if len(reason) > _LONGEST or "\0" in reason:
            raise InvalidInput(f"Search for at most {_LONGEST} characters, none of them NUL.", "reason")
        query = query.where(dialect.holds_text(Worker.reason, reason) | dialect.holds_text(Worker.host, reason))
    if before:
        at, pk = _place(before)
        query = query.where((Worker.stopped_at < at) | ((Worker.stopped_at == at) & (Worker.pk < pk)))
    rows = list(query.order_by(Worker.stopped_at.desc(), Worker.pk.desc()).limit(limit + 1))
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], f"{last.stopped_at}-{last.pk}" if last else None


def deaths(since: int) -> list[Deaths]:
    """What workers died of since that instant, the most frequent cause first."""
    died = (Worker.status == "lost") & (Worker.stopped_at >= since)
    found: Any = Worker.select(Worker.reason, fn.COUNT(Worker.pk), fn.MAX(Worker.stopped_at)).where(died)
    rows = found.group_by(Worker.reason).order_by(fn.COUNT(Worker.pk).desc(), Worker.reason).limit(10).tuples()
    return [Deaths(reason or "no reason is known", *rest) for reason, *rest in rows]


def heirs(workers: Collection[Worker]) -> dict[int, str]:
    """Who took the place of those of the workers that died: the id of each one's heir, by the pk of the dead."""
    pks = [worker.pk for worker in workers]
    born: Any = Worker.select(Worker.heir_of, Worker.pk).where(Worker.heir_of.in_(pks)).limit(_MOST)
    return {dead: f"w{pk}" for dead, pk in born.tuples()}


def _place(cursor: str) -> tuple[int, int]:
    at, _, pk = cursor.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in (at, pk)):
        raise InvalidInput("This page's address is broken; go back to the first page.", "before")
    return int(at), int(pk)
