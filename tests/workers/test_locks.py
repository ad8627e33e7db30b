"""The lock files: who holds one is seen, and asking never gets in the way of taking."""

from __future__ import annotations

import fcntl
import os
import threading

import pytest

from workers import locks


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "some.lock")


def test_a_taken_lock_is_held_until_its_descriptor_is_closed(path):
    lock = locks.take(path)
    assert locks.is_held(path)
    assert locks.take(path) is None
    os.close(lock)
    assert not locks.is_held(path)


def test_someone_who_only_asks_keeps_nobody_from_taking_the_lock(path):
    asking = os.open(path, os.O_CREAT | os.O_RDWR)
    fcntl.flock(asking, fcntl.LOCK_SH)  # as is_held does, for some microseconds
    threading.Timer(0.05, os.close, [asking]).start()
    lock = locks.take(path)
    assert lock is not None
    os.close(lock)


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    path = str(tmp_path / "lock")
    taken = locks._take

    def removed_once(path: str) -> int | None:
        fd = taken(path)
        monkeypatch.setattr(locks, "_take", taken)
        os.unlink(path)
        return fd

    monkeypatch.setattr(locks, "_take", removed_once)
    held = locks.take(path)
    assert locks.is_held(path)
    os.close(held)
