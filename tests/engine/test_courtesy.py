"""Who writes again and again lets those who wait for the lock have it in between."""

from __future__ import annotations

import threading
import time

import pytest

import models
from engine import jobs
from engine.database import Sqlite
from engine.jobs import incoming
from models import db
from tests.support import wait_until


@pytest.fixture
def other(queue):
    """Another connection to the same database, as another process has one."""
    models.run_folder()
    opened = Sqlite(str(queue.path), lock_type="IMMEDIATE", timeout=0)
    yield opened
    opened.close()


def _write(database: Sqlite, done: threading.Event) -> None:
    with database.atomic():
        database.execute_sql("INSERT INTO meta (key, value) VALUES ('other', '')")
    database.close()
    done.set()


def _has_written() -> bool:
    return models.Meta.get_or_none(models.Meta.key == "other") is not None


def test_who_waits_writes_before_who_gives_way_writes_again(queue, other, monkeypatch):
    monkeypatch.setattr(incoming, "_COURTESY_S", 20.0)
    done = threading.Event()
    waiting = threading.Thread(target=_write, args=(other, done))
    with db.transaction():
        queue.add("first")
        waiting.start()
        wait_until(other.is_waiting)
    jobs.enqueue_many([{"command": "true"}])
    assert _has_written()
    waiting.join()


def test_nobody_gives_way_to_nobody(queue):
    assert db.give_way() is False


def test_one_gives_way_for_a_moment_only(queue, other):
    """Who is stopped while it waits holds up nobody."""
    with other.queued():
        before = time.monotonic()
        assert db.give_way(0.01) is True
        queue.add("job")
    assert time.monotonic() >= before + 0.01
    assert db.give_way() is False
