"""All that a queue knows, as lines of JSON, and back: jobs, their runs with what they printed, settings, queues, views."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from engine import config, dialect, jobs, records, wakeup
from engine.columns import COLUMNS
from engine.errors import InvalidInput, NotFound, Refused
from engine.records import Record
from models import Config, Job, Queue, View, db

_PAGE = 200
_REASON = "it was running when it was exported"
_JOB = [Job._meta.fields[name] for name in COLUMNS["job"]]
_RUN = [name for name in COLUMNS["attempt"] if name != "job"]
_NAMED: dict[str, Any] = {"queue": Queue, "view": View}
_DECIDED = {"queue": ("paused", "max_running"), "view": ("query",)}
_RUNS = f"SELECT {', '.join(_RUN)} FROM attempt WHERE job_pk = ? ORDER BY run"
_STORE_RUN = dialect.insert("attempt", ["job_pk", *_RUN])


class Tally(NamedTuple):
    """What came in, and what was left out because it was there already. Queues and views count as settings."""

    jobs: int
    runs: int
    settings: int
    skipped: int


def export(state: str | None = None) -> Iterator[bytes]:
    """The lines of everything, as it is at one instant; with `state` the jobs in it alone, without the settings."""
    found = dict.fromkeys(COLUMNS, 0)
    with db.snapshot():
        yield records.head()
        for type, columns in _everything(state):
            found[type] += 1
            yield records.dump(type, columns)
        yield records.dump("end", found)


def load(file: BinaryIO, skip_existing: bool = False, tell: Callable[[str], Any] = lambda sentence: None) -> Tally:
    """Store what an export holds: all of it, or nothing. A job that was running is pending again.

    A job or setting that is here already refuses the whole, or with `skip_existing` stays as it is, and `tell` is given
    a sentence about it. The file is checked before the database is locked, and from a pipe it is kept on the disk until then.
    Raises InvalidInput, Refused.
    """
    if not file.seekable():
        with tempfile.TemporaryFile(dir=os.environ.get("TMPDIR") or os.path.dirname(db.database)) as kept:
            shutil.copyfileobj(file, kept)
            kept.seek(0)
            return load(kept, skip_existing, tell)
    begin = file.tell()
    for _ in records.read(file):
        pass
    file.seek(begin)
    with db.transaction():
        tally = _Store(skip_existing, tell).take_all(records.read(file))
        wakeup.nudge()
    return tally


def _everything(state: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    if state is None:
        settings: Any = Config.select().order_by(Config.key).dicts()
        for row in settings:
            yield "config", row | {"value": json.loads(row["value"])}
        for type, table in _NAMED.items():
            rows: Any = table.select().order_by(table.name).dicts()
            for row in rows:
                yield type, row
    for pk, job in _jobs(state):
        yield "job", job
        for run in db.execute_sql(_RUNS, (pk,)):  # one at a time: each may have printed much
            yield "attempt", {"job": job["id"], **dict(zip(_RUN, run, strict=True))}


def _jobs(state: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    after = 0
    while True:
        query: Any = Job.select(Job.pk, *_JOB).where(Job.pk > after).order_by(Job.pk).limit(_PAGE)
        rows = list((query.where(Job.state == state if state else Job.state != "deleted")).dicts())
        for row in rows:
            after = row.pop("pk")
            yield after, row
        if len(rows) < _PAGE:
            return


class _Store:
    """Takes in the records of one export, inside a transaction."""

    def __init__(self, skip_existing: bool, tell: Callable[[str], Any]):
        self.skip_existing = skip_existing
        self.tell = tell
        self.pk: int | None = None  # of the last job; None when it is skipped
        self.running: list[int] = []
        self.counts = dict.fromkeys(Tally._fields, 0)

    def take_all(self, found: Iterator[Record]) -> Tally:
        verbs = {"config": self._take_setting, "job": self._take_job, "attempt": self._take_run}
        verbs |= {type: partial(self._take_named, type) for type in _NAMED}
        for line, type, row in found:
            try:
                verbs[type](row)
            except (InvalidInput, NotFound) as error:
                raise InvalidInput(f"line {line}: {error}") from None
            except Refused as error:
                raise Refused(f"line {line}: {error} Nothing was imported; --skip-existing leaves out such.") from None
        for pk in self.running:
            jobs.give_back(pk, _REASON)
        return Tally(**self.counts)

    def _take_setting(self, row: dict[str, Any]) -> None:
        stored = Config.get_or_none(Config.key == row["key"])
        if stored and json.loads(stored.value) != row["value"]:
            self._leave_out(Refused(f"The setting {row['key']} is {stored.value} here."))
        else:
            config.set(row["key"], row["value"], row["updated_at"], actor="import")
            self.counts["settings"] += 1

    def _take_named(self, type: str, row: dict[str, Any]) -> None:
        table = _NAMED[type]
        stored = table.select().where(table.name == row["name"]).dicts().first()
        if stored and any(stored[name] != row[name] for name in _DECIDED[type]):
            self._leave_out(Refused(f"There is another {type} {row['name']} here."))
        else:
            table.insert(**row).on_conflict_replace().execute()
            self.counts["settings"] += 1

    def _take_job(self, row: dict[str, Any]) -> None:
        try:
            self.pk = jobs.take_in(row)
        except Refused as error:
            self.pk = None
            self._leave_out(error)
            return
        self.counts["jobs"] += 1
        if row["state"] == "processing":
            self.running.append(self.pk)

    def _take_run(self, row: dict[str, Any]) -> None:
        if self.pk is not None:
            db.execute_sql(_STORE_RUN, row | {"job_pk": self.pk})
            self.counts["runs"] += 1

    def _leave_out(self, error: Refused) -> None:
        if not self.skip_existing:
            raise error
        self.counts["skipped"] += 1
        self.tell(str(error))
