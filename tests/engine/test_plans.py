"""No hot statement reads what it does not need: each is asked for its plan as it is sent, and for the work it does."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Any

import peewee
import pytest

import models
from engine import alarms, dialect, driver, figures, jobs, pace, queries, queues, retention
from engine.output import Output
from models import db
from tests.engine.conftest import DONE, FAILED
from tests.support import dead_page

OLD_MS = 40 * 24 * 3600 * 1000
FEW = 120  # ended jobs; half are completed, half dead, so that each list is longer than its page
MANY = 1200  # more of them; to look at one takes SQLite several instructions
LINE = Output(b"a line\n", 7, None)


class Recording(driver.Connection):
    """A connection that keeps what it is asked, the statement and its parameters apart: a plan depends on both."""

    sent: list[tuple[str, Any]]

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self._keep(sql, parameters)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        kept = list(rows)
        if kept:
            self._keep(sql, kept[0])
        return super().executemany(sql, kept)

    def cursor(self, factory: Any = None) -> sqlite3.Cursor:
        return super().cursor(factory or RecordingCursor)

    def _keep(self, sql: str, parameters: Any) -> None:
        self.__dict__.setdefault("sent", []).append((sql, parameters))


class RecordingCursor(driver.Cursor):
    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.connection._keep(sql, parameters)
        return super().execute(sql, parameters)


class Work:
    """A queue where every state occurs, and one job of each for the actions to meet."""

    def __init__(self, queue: Any):
        self.queue = queue
        for verb, ending in ((jobs.complete, DONE), (jobs.fail, FAILED)):
            queue.add(max_retries=0)
            verb(queue.claim(), ending._replace(stdout=LINE))
        self.add_finished(FEW)
        for name in ("retried", "buried"):
            queue.bring_to("dead", name)
        queue.bring_to("failed", "waiting")
        queue.bring_to("pending", "unwanted")
        queue.add("later", run_at="+1d", queue="nightly", priority=-5)
        queue.add("first", priority=50)
        self.held = queue.claim("w1")
        for _ in range(3):
            queue.add(priority=40)

    def add_finished(self, count: int) -> None:
        """As many copies of the first two jobs and of their runs: half completed, half dead."""
        for table, key, fresh in (("job", "pk", {"id": "hex(randomblob(8))"}), ("attempt", "job_pk", {})):
            names = [column.name for column in db.get_columns(table) if column.name != key]
            copied = ", ".join(fresh.get(name, name) for name in names)
            first = db.execute_sql(f"SELECT max({key}) FROM {table}").fetchone()[0]
            db.execute_sql(
                f"""WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
                    INSERT INTO {table} ({key}, {", ".join(names)})
                    SELECT {first} + n, {copied} FROM number JOIN {table} ON {key} = 1 + n % 2"""
            )

    def job(self) -> models.Job:
        return self.queue.job(self.held.id)

    def limits(self) -> list[retention.Limit]:
        return [retention.Limit("completed", self.queue.clock.now - OLD_MS)]


def _report(work: Work) -> None:
    """As a worker does it: the end of a run and the next claim in one transaction."""
    with db.transaction():
        jobs.complete(work.held, DONE)
        assert jobs.claim("w1", "host")


def _next_due(work: Work) -> None:
    assert db.execute_sql(dialect.NEXT_DUE, {"now": work.queue.clock.now}).fetchone()


def _prune(work: Work) -> None:
    work.queue.clock.forward(2 * OLD_MS / 1000)
    assert sum(number for _, number in retention.sweep(work.limits()))


def _drop_outputs(work: Work) -> None:
    work.queue.clock.forward(2 * OLD_MS / 1000)
    assert sum(retention.drop_outputs(work.limits()[0].before))


Action = Callable[[Work], Any]

# What happens for every job, and at every look of the supervisor.
HOT: dict[str, Action] = {
    "enqueue": lambda work: jobs.enqueue({"command": ":"}),
    "claim": lambda work: jobs.claim("w2", "host"),
    "complete and claim": _report,
    "fail": lambda work: jobs.fail(work.held, FAILED),
    "release": lambda work: jobs.release(work.held, FAILED),
    "show output": lambda work: jobs.show_output(work.held, LINE, LINE),
    "lose": lambda work: jobs.lose(work.held.pk, work.held.run, "w1", "host", "its worker died"),
    "next due": _next_due,
}
# What people do to one job, and the pages they look at.
STEERING: dict[str, Action] = {
    "retry": lambda work: jobs.retry("retried"),
    "cancel": lambda work: jobs.cancel("unwanted"),
    "delete": lambda work: jobs.delete("buried"),
}
LISTS: dict[str, Action] = {
    "the newest": lambda work: queries.page(),
    "the next page": lambda work: queries.page(before="40"),
    "the page before": lambda work: queries.page(after="40"),
    "one state": lambda work: queries.page("completed"),
    "one state, the next page": lambda work: queries.page("completed", before="40"),
    "dead": lambda work: dead_page(limit=10),
    "dead, the next page": lambda work: dead_page(before=dead_page(limit=10).older, limit=10),
    "last failures": lambda work: queries.last_failures(),
    "running": lambda work: queries.running(),
    "counts": lambda work: queries.counts(),
    "workers": lambda work: queries.workers(),
    "queues": lambda work: queues.standings(),
    "alarms": lambda work: alarms.ring(queues.standings(), work.queue.clock.now),
    "one job": lambda work: (queries.attempts(work.job()), queries.attempt(work.job())),
}
# These count the jobs that died lately, along an index and up to a limit.
FIGURES: dict[str, Action] = {
    "figures": lambda work: figures.of(figures.WINDOWS["7d"], work.queue.clock.now),
    "pace": lambda work: pace.forecast(9, 1, ("nightly",), work.queue.clock.now + 30_000),
}
DELETING: dict[str, Action] = {"prune": _prune, "drop outputs": _drop_outputs}

# These sort a handful of rows: the priorities that occur, the jobs that run, the states that are counted.
MAY_SORT = {
    "queues",
    "alarms",
    "claim",
    "complete and claim",
    "running",
    "counts",
    "workers",
    "drop outputs",
}


@pytest.fixture
def work(queue, monkeypatch) -> Work:
    """The queue, on a connection that records."""
    models.disconnect()
    connect = peewee.sqlite3.connect
    monkeypatch.setattr(
        peewee.sqlite3, "connect", lambda *args, **given: connect(*args, **given | {"factory": Recording})
    )
    db.connect()
    return Work(queue)


def _sent(act: Action, work: Work) -> list[tuple[str, Any]]:
    """The statements of the action that read or write rows."""
    connection = db.connection()
    connection.sent = []
    act(work)
    sent, connection.sent = connection.sent, []
    return [(sql, given) for sql, given in sent if re.match(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b", sql)]


def _plan(sql: str, given: Any) -> list[str]:
    with sqlite3.connect(db.database) as other:
        return [row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {sql}", given or ())]


def _reads_it_all(sql: str, step: str) -> bool:
    """Whether this step of the plan goes through the jobs or the attempts one by one, and not along an index or the key."""
    named = set(re.findall(r'"?\b(?:job|attempt)"?(?:\s+AS)?\s+"?(\w+)"?', sql)) | {"job", "attempt"}
    scanned = re.match(r"SCAN (\w+)(?! USING)(?!.* USING)", step)
    by_key = re.search(r'ORDER BY ("?\w+"?\.)?"pk" (ASC|DESC)\s+LIMIT', sql)
    is_empty = "(0 = 1)" in sql  # of no keys at all: it ends before it begins
    return bool(scanned and scanned[1] in named and not by_key and not is_empty)


@pytest.mark.parametrize("name", HOT | STEERING | LISTS | FIGURES | DELETING)
def test_every_statement_finds_its_rows_by_an_index(work, name):
    sent = _sent((HOT | STEERING | LISTS | FIGURES | DELETING)[name], work)
    assert sent
    for sql, given in sent:
        assert [step for step in _plan(sql, given) if _reads_it_all(sql, step)] == [], sql


@pytest.mark.parametrize("name", sorted((HOT | STEERING | LISTS | DELETING).keys() - MAY_SORT))
def test_no_statement_sorts_what_an_index_has_in_order(work, name):
    for sql, given in _sent((HOT | STEERING | LISTS | DELETING)[name], work):
        assert [step for step in _plan(sql, given) if "TEMP B-TREE" in step] == [], sql


@pytest.mark.parametrize("name", HOT)
def test_the_waiting_are_found_by_the_index_made_for_them(work, name):
    """By name: SQLite would also find the waiting by their state, and read them all."""
    plans = [step for sql, given in _sent(HOT[name], work) for step in _plan(sql, given)]
    assert [step for step in plans if "job_state" in step] == []


def _instructions(act: Action, work: Work) -> int:
    """How much SQLite does for it, in the steps of its own machine: the same on every computer."""
    done = 0

    def step() -> int:
        nonlocal done
        done += 1
        return 0

    db.connection().set_progress_handler(step, 1)
    try:
        act(work)
    finally:
        db.connection().set_progress_handler(None, 1)
    return done


@pytest.mark.parametrize("name", HOT | STEERING | LISTS)
def test_nothing_costs_more_because_more_jobs_have_ended(work, name):
    act = (HOT | STEERING | LISTS)[name]
    with db.atomic() as undone:
        few = _instructions(act, work)
        undone.rollback()
    work.add_finished(MANY)
    assert _instructions(act, work) < few + MANY


@pytest.mark.parametrize("when", ["+0s", "+1d"])
@pytest.mark.parametrize("name", HOT)
def test_nothing_costs_more_because_more_jobs_wait(work, name, when):
    with db.atomic() as undone:
        few = _instructions(HOT[name], work)
        undone.rollback()
    jobs.enqueue_many({"command": ":", "run_at": when, "priority": 40} for _ in range(MANY))
    assert _instructions(HOT[name], work) < few + MANY
