"""A copy while everything runs, and the way back from it."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

import models
from engine import backup, files, jobs, space
from engine.errors import InvalidInput, Refused, Unavailable
from engine.output import EMPTY, Output
from models import Job, Supervisor, Worker
from tests.engine.conftest import DONE, counted, really


def _ids() -> set[str]:
    return {job_id for (job_id,) in Job.select(Job.id).tuples()}


def _ids_in(path: Path | str) -> set[str]:
    with closing(sqlite3.connect(path)) as opened:
        return {job_id for (job_id,) in opened.execute("SELECT id FROM job")}


@pytest.fixture
def copy(queue, tmp_path) -> Path:
    """A backup with the job "kept"; the job "later" came after it."""
    queue.add("kept")
    path = tmp_path / "copy.db"
    backup.write(str(path))
    queue.add("later")
    return path


def _restore(copy: Path, queue) -> backup.Restored:
    models.disconnect()
    return backup.restore(str(copy), str(queue.path))


def test_a_backup_holds_what_was_there_and_only_its_owner_may_read_it(queue, copy):
    assert _ids_in(copy) == {"kept"}
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_backup_is_one_file(queue, copy, tmp_path):
    assert [name for name in os.listdir(tmp_path) if name.startswith("copy")] == ["copy.db"]


def test_its_size_is_told(queue, tmp_path):
    assert backup.write(str(tmp_path / "copy.db")) == (tmp_path / "copy.db").stat().st_size


def test_a_backup_overwrites_nothing(queue, tmp_path):
    target = tmp_path / "precious"
    target.write_text("mine")
    with pytest.raises(Refused, match="exists already"):
        backup.write(str(target))
    assert target.read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_followed(queue, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="exists already"):
        backup.write(str(tmp_path / "link"))


def test_an_unfinished_backup_stands_in_the_way_of_its_own_name_alone(queue, tmp_path):
    (tmp_path / "copy.db.part").touch()
    with pytest.raises(Refused, match="remove it"):
        backup.write(str(tmp_path / "copy.db"))
    backup.write(str(tmp_path / "other.db"))


def test_a_backup_that_fails_leaves_nothing(queue, tmp_path, monkeypatch):
    def broken(path: str) -> None:
        raise Refused("damaged")

    monkeypatch.setattr(backup, "_open", broken)
    before = set(os.listdir(tmp_path))
    with pytest.raises(Refused):
        backup.write(str(tmp_path / "copy.db"))
    assert set(os.listdir(tmp_path)) == before


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    target = tmp_path / "file"
    with pytest.raises(Refused), files.new_file(str(target)):
        target.write_text("mine")
    assert target.read_text() == "mine"
    assert os.listdir(tmp_path) == ["file"]


def test_a_disk_that_is_full_midway_is_said_of_the_file_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match=r"full.*/file'") as caught, files.new_file(str(tmp_path / "file")):
        raise OSError(28, "full")
    assert caught.value.filename == str(tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_backup_is_refused_when_the_disk_is_too_small(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(space, "free", lambda folder: 1000)
    with pytest.raises(Unavailable, match="make room"):
        backup.write(str(tmp_path / "copy.db"))
    assert "copy.db.part" not in os.listdir(tmp_path)


def test_a_backup_of_a_busy_database_is_whole(queue, tmp_path):
    """Another connection stores jobs all the while; the copy holds a gapless beginning of them."""
    done = threading.Event()

    def fill() -> None:
        number = 0
        while not done.is_set():
            jobs.enqueue_many([{"command": "true", "id": f"job{number + n}"} for n in range(20)])
            number += 20
        models.disconnect()

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        for n in range(5):
            backup.write(str(tmp_path / f"copy{n}.db"))
    finally:
        done.set()
        filling.join()
    for n in range(5):
        found = _ids_in(tmp_path / f"copy{n}.db")
        assert len(found) % 20 == 0
        assert found == {f"job{number}" for number in range(len(found))}


def test_restoring_brings_back_the_jobs_of_the_backup(queue, copy):
    _restore(copy, queue)
    assert _ids() == {"kept"}
    assert counted() == really() == {("default", "pending"): 1}


def test_what_was_there_is_kept_under_a_dated_name(queue, copy, clock):
    kept = _restore(copy, queue).kept
    assert kept == f"{queue.path}.20251009T085320Z"
    assert _ids_in(kept) == {"kept", "later"}
    assert os.stat(kept).st_mode & 0o777 == 0o600


def test_restoring_where_there_is_no_database_makes_one(queue, copy, tmp_path):
    models.disconnect()
    assert backup.restore(str(copy), str(tmp_path / "new.db")).kept is None
    assert _ids() == {"kept"}
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


def test_a_restored_database_is_as_a_new_one(queue, copy, tmp_path):
    models.disconnect()
    backup.restore(str(copy), str(tmp_path / "new.db"))
    pragmas = ("journal_mode", "auto_vacuum", "page_size", "user_version")
    restored = [models.db.execute_sql(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    models.connect(str(tmp_path / "fresh.db"))
    assert restored == [models.db.execute_sql(f"PRAGMA {name}").fetchone()[0] for name in pragmas]


def test_a_connection_that_is_open_sees_the_restored_jobs(queue, copy):
    """As the panel's may be."""
    with closing(sqlite3.connect(queue.path)) as other:
        assert other.execute("SELECT count(*) FROM job").fetchone() == (2,)
        _restore(copy, queue)
        assert other.execute("SELECT count(*) FROM job").fetchone() == (1,)


def test_a_job_that_ran_at_the_time_of_the_backup_is_given_back_and_its_history_says_why(queue, tmp_path):
    queue.add("job")
    held = queue.claim()
    jobs.show_output(held, Output(b"half", 4), EMPTY)
    backup.write(str(tmp_path / "copy.db"))
    jobs.complete(held, DONE)
    assert _restore(tmp_path / "copy.db", queue).given_back == 1
    job = queue.job("job")
    assert (job.state, job.attempts, job.crashes, job.locked_by) == ("pending", 0, 0, None)
    (run,) = job.runs
    assert (run.outcome, run.error, bytes(run.stdout)) == ("lost", "the database was restored from a backup", b"half")


def test_a_running_job_that_was_being_cancelled_is_cancelled(queue, tmp_path):
    queue.bring_to("processing")
    jobs.cancel("job")
    backup.write(str(tmp_path / "copy.db"))
    _restore(tmp_path / "copy.db", queue)
    assert queue.state("job") == "cancelled"


def test_no_process_of_the_time_of_the_backup_is_taken_for_alive(queue, tmp_path):
    Worker.insert(host="h", created_at=0, started_at=1).execute()
    Supervisor.insert(host="h", pid=1, started_at=0, beat_at=0).execute()
    backup.write(str(tmp_path / "copy.db"))
    _restore(tmp_path / "copy.db", queue)
    assert Worker.get().status == "lost"
    assert not Worker.select().where(Worker.stopped_at.is_null()).exists()
    assert not Supervisor.select().where(Supervisor.stopped_at.is_null()).exists()


def test_runs_after_a_restore_have_other_names_than_those_before(queue, copy):
    before = models.instance()
    _restore(copy, queue)
    assert models.instance() != before


def _not_a_database(path: Path) -> None:
    path.write_text("something else, and long enough to be read as a header " * 100)


def _of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("CREATE TABLE job (id)")


def _of_a_newer_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as opened:
        opened.execute(f"PRAGMA user_version = {models.SCHEMA_VERSION + 1}")


def _damaged(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(3 * 2048)
        file.write(b"\xff" * 4 * 2048)


def _cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(5000)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_not_a_database, "not a sound QueueCTL database"),
        (_of_a_newer_schema, "newer than this program"),
        (_damaged, "damaged|not a sound"),
        (_cut_short, "damaged|not a sound"),
        (Path.unlink, "There is no file"),
    ],
)
def test_what_is_no_sound_backup_is_refused_and_the_database_stays(queue, copy, tmp_path, spoil, sentence):
    spoil(copy)
    before = set(os.listdir(tmp_path))
    with pytest.raises((Refused, InvalidInput), match=sentence):
        _restore(copy, queue)
    assert _ids_in(queue.path) == {"kept", "later"}
    assert set(os.listdir(tmp_path)) <= before | {"queue.db-wal", "queue.db-shm"}


def test_the_database_of_another_program_is_refused(queue, tmp_path):
    _of_another_program(tmp_path / "other.db")
    with pytest.raises(Refused, match="is not a QueueCTL database"):
        _restore(tmp_path / "other.db", queue)


def test_the_database_is_no_backup_of_itself(queue):
    with pytest.raises(InvalidInput, match="itself"):
        _restore(queue.path, queue)


@pytest.mark.parametrize("spoil", [_not_a_database, _damaged, _cut_short])
def test_a_damaged_database_can_be_replaced_and_is_kept_too(queue, copy, spoil):
    models.db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    models.disconnect()
    spoil(queue.path)
    kept = _restore(copy, queue).kept
    assert _ids() == {"kept"}
    assert models.db.execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)
    assert os.path.getsize(kept) > 0
