"""Giving back to the disk what the database no longer uses."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

import models
from engine import space
from engine.errors import Unavailable
from models import Job


@pytest.fixture
def half_empty(queue):
    """A database of about 4 MB, most of it deleted again."""
    for n in range(40):
        queue.add(f"job{n}", command=f"# {'x' * 90_000}")
    _remove(range(35))
    return queue


def _remove(numbers: range) -> None:
    Job.delete().where(Job.id.in_([f"job{n}" for n in numbers])).execute()


@pytest.mark.parametrize("act", [space.give_back, space.rewrite])
def test_the_file_gets_shorter_and_the_jobs_stay(half_empty, act):
    change = act()
    assert change.before > 4_000_000
    assert change.after < 1_000_000
    assert change.after == space.size(half_empty.path)
    assert Job.select().count() == 5
    assert models.db.execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_second_time_there_is_nothing_to_give_back(half_empty):
    space.give_back()
    change = space.give_back()
    assert change.before == change.after


def test_a_full_vacuum_makes_later_ones_possible(half_empty):
    """In a database that was made without incremental vacuum."""
    models.db.execute_sql("PRAGMA auto_vacuum = NONE")
    models.db.execute_sql("VACUUM")
    _remove(range(35, 40))
    models.disconnect()
    models.connect(str(half_empty.path))
    assert space.give_back().after > 100_000
    assert space.rewrite().after < 100_000
    assert models.db.execute_sql("PRAGMA auto_vacuum").fetchone() == (2,)


@pytest.mark.parametrize("act", [space.give_back, space.rewrite])
def test_a_vacuum_is_refused_when_the_disk_is_too_small(half_empty, act, monkeypatch):
    monkeypatch.setattr(space, "free", lambda folder: 1000)
    with pytest.raises(Unavailable, match="make room"):
        act()


def test_others_write_while_space_is_given_back(half_empty, monkeypatch):
    monkeypatch.setattr(space, "_STEP_PAGES", 100)

    def enqueue(_: float) -> None:
        with closing(sqlite3.connect(half_empty.path, timeout=0)) as other:
            other.execute("INSERT INTO config (key, value, updated_at) VALUES (hex(randomblob(8)), '1', 0)")
            other.commit()

    monkeypatch.setattr(space.time, "sleep", enqueue)
    space.give_back()
    assert models.Config.select().count() > 10
