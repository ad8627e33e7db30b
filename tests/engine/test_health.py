"""What doctor finds in the database and where it lies."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

import models
from engine import health, space
from engine.health import OK, PROBLEM, WARNING
from models import Counter, db
from tests.engine.conftest import counted, really

MOUNTS = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:44 / /mnt/share rw - nfs4 server:/share rw
31 21 0:45 / /mnt/my\\040disk rw - fuse.sshfs host: rw
32 21 0:46 / /mnt/usb rw - fuseblk /dev/sdb1 rw
33 21 0:47 / /mnt/share/local rw shared:1 - xfs /dev/sdc rw
"""


def test_a_sound_database_has_no_finding(queue):
    queue.bring_to("completed")
    assert [finding for finding in health.of_database() if finding.verdict != OK] == []


def test_what_is_wrong_says_what_to_do(queue):
    Counter.update(n=7).execute()
    queue.add("job")
    db.execute_sql("UPDATE counter SET n = 7")
    (wrong,) = [finding for finding in health.of_database() if finding.verdict != OK]
    assert (wrong.check, wrong.verdict) == ("counters", PROBLEM)
    assert "--fix" in wrong.advice


@pytest.mark.parametrize(
    "spoil", ["UPDATE counter SET n = n + 1", "DELETE FROM counter", "UPDATE counter SET shard = 1"]
)
def test_counters_are_mended(queue, spoil):
    queue.bring_to("completed")
    queue.add("waiting", queue="other")
    db.execute_sql(spoil)
    sound = "shard" in spoil  # the sum over the shards is what counts
    assert health.counters().verdict == (OK if sound else PROBLEM)
    health.mend()
    assert health.counters().verdict == OK
    assert counted() == really()


def test_nothing_is_mended_in_a_sound_database(queue):
    queue.add("job")
    assert health.mend() == []


def test_a_run_without_a_job_is_found(queue):
    queue.bring_to("completed")
    models.disconnect()
    with closing(sqlite3.connect(queue.path)) as careless:
        careless.execute("DELETE FROM job")
        careless.commit()
    models.connect(str(queue.path))
    assert health.references().verdict == PROBLEM


def test_a_damaged_file_is_found(queue):
    for n in range(50):
        queue.add(f"job{n}", command=f"# {'x' * 3000}")
    db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    models.disconnect()
    with queue.path.open("r+b") as file:
        file.seek(-50 * 2048, os.SEEK_END)  # among the commands: the schema must stay readable
        file.write(os.urandom(20 * 2048))
    models.connect(str(queue.path))
    found = health.looked_at("integrity", health.integrity)
    assert found.verdict == PROBLEM
    assert "\n" not in found.says


def test_another_journal_mode_is_found_and_mended(queue):
    models.disconnect()
    with closing(sqlite3.connect(queue.path)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
    models.connect(str(queue.path))
    assert health.schema().verdict == WARNING
    assert health.mend() == ["Set the journal mode to WAL."]
    assert health.schema().verdict == OK


def test_a_clock_that_was_set_back_is_found(queue, clock):
    queue.add("job")
    assert health.system_clock().verdict == OK
    clock.forward(-3600)
    assert health.system_clock().verdict == WARNING
    assert "3,600 s" in health.system_clock().says


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ((3, 6, 23), OK),
        ((3, 7, 0), WARNING),
        ((3, 40, 1), WARNING),
        ((3, 44, 5), WARNING),
        ((3, 44, 6), OK),
        ((3, 45, 0), WARNING),
        ((3, 50, 6), WARNING),
        ((3, 50, 7), OK),
        ((3, 51, 2), WARNING),
        ((3, 51, 3), OK),
        ((3, 53, 0), OK),
        ((4, 0, 0), OK),
    ],
)
def test_sqlite_versions_with_the_wal_reset_bug_are_named(version, verdict):
    assert health.sqlite_version(version).verdict == verdict


@pytest.mark.parametrize(("version", "verdict"), [((3, 10, 9), PROBLEM), ((3, 11, 0), OK), ((4, 0, 0), OK)])
def test_an_old_python_is_a_problem(version, verdict):
    assert health.python_version(version).verdict == verdict


@pytest.mark.parametrize(
    ("folder", "verdict", "type"),
    [
        ("/srv", OK, "ext4"),
        ("/mnt/share", PROBLEM, "nfs4"),
        ("/mnt/share/a/b", PROBLEM, "nfs4"),
        ("/mnt/share/local/a", OK, "xfs"),
        ("/mnt/shared", OK, "ext4"),
        ("/mnt/my disk", PROBLEM, "fuse.sshfs"),
        ("/mnt/usb", WARNING, "fuseblk"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(folder, verdict, type):
    found = health.file_system(folder, MOUNTS)
    assert found.verdict == verdict
    assert type in found.says


def test_without_a_list_of_mounts_nothing_is_claimed():
    assert health.file_system("/srv", "").verdict == OK


@pytest.mark.parametrize(("free", "verdict"), [(2**20, PROBLEM), (2**28, WARNING), (2**30, OK)])
def test_little_space_is_found(tmp_path, monkeypatch, free, verdict):
    monkeypatch.setattr(space, "free", lambda folder: free)
    assert health.disk_space(str(tmp_path)).verdict == verdict


def test_a_database_that_others_may_read_is_found(queue):
    queue.path.chmod(0o600)
    assert health.permissions(str(queue.path)).verdict == OK
    queue.path.chmod(0o644)
    found = health.permissions(str(queue.path))
    assert found.verdict == WARNING
    assert found.advice == f"chmod go= {queue.path}"


def test_a_long_write_ahead_log_is_found(tmp_path):
    log = tmp_path / "queue.db-wal"
    assert health.write_ahead_log(str(tmp_path / "queue.db")).verdict == OK
    with log.open("wb") as file:
        file.truncate(2**29)
    assert health.write_ahead_log(str(tmp_path / "queue.db")).verdict == WARNING
