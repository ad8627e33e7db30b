"""When a supervisor that died is missed, so that another may begin in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import models
from engine import liveness, lockfile, locks
from models import Worker


@pytest.fixture
def died(queue):
    """A supervisor of this host that a command began died a while ago; a worker is wanted."""
    Worker.insert(host="", created_at=1).execute()
    lock = os.open(locks.of_supervisor(models.run_folder()), os.O_CREAT | os.O_RDWR)
    lockfile.write(lock, managed=False, folder=os.getcwd(), leaving=False)
    os.utime(lock, (0, 0))
    yield lock
    os.close(lock)


def test_a_supervisor_that_died_is_missed_and_said_where_its_jobs_ran(died):
    missed = liveness.missed_supervisor()
    assert missed is not None
    assert (missed.pid, missed.folder) == (os.getpid(), os.getcwd())


def _rewrite(lock: int, **said: Any) -> None:
    lockfile.write(lock, **{"managed": False, "folder": os.getcwd(), "leaving": False, **said})
    os.utime(lock, (0, 0))


EXCEPT: dict[str, Callable[[int, pytest.MonkeyPatch], Any]] = {
    "a service begins its own": lambda lock, _: _rewrite(lock, managed=True),
    "it was told to end": lambda lock, _: _rewrite(lock, leaving=True),
    "it has just begun": lambda lock, _: os.utime(lock, (models.now_ms() / 1000,) * 2),
    "it lives": lambda lock, _: locks.lock(lock, 2),
    "its words cannot be read": lambda lock, _: os.ftruncate(lock, 5),
    "no worker is wanted": lambda *_: Worker.delete().execute(),
    "it ran on another host": lambda _, patch: patch.setattr(liveness, "socket", SimpleNamespace(gethostname=str)),
    "the database is another user's": lambda _, patch: patch.setattr(liveness.os, "geteuid", lambda: -1),
    "a job asks": lambda _, patch: patch.setenv("QUEUECTL_RUN", "x-1-1"),
}


@pytest.mark.parametrize("case", EXCEPT)
def test_it_is_not_missed_where(died, monkeypatch, case):
    EXCEPT[case](died, monkeypatch)
    assert liveness.missed_supervisor() is None
