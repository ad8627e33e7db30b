"""A copy while everything runs, and the way back from it."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

import models
from engine import backup, files, jobs, presence, space
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


# --- while others write, and killed at any instant


def test_nothing_is_stored_between_the_copy_that_is_kept_and_the_restored_database(queue, copy, monkeypatch):
    """Else it would be in neither: whoever writes waits, or is refused in a sentence when that takes long."""
    copied = backup._copy
    locked = []

    def and_try_to_write(source, path, *begun) -> None:
        copied(source, path, *begun)
        if path.endswith("kept.db"):
            with closing(sqlite3.connect(queue.path, timeout=0)) as other:
                try:
                    other.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    locked.append(str(error))

    monkeypatch.setattr(backup, "_copy", and_try_to_write)
    _restore(copy, queue)
    assert locked == ["database is locked"]


def test_a_restore_that_fails_after_it_kept_a_copy_leaves_the_database_as_it_was(queue, copy, monkeypatch):
    copied = backup._copy

    def fail(source, path, *begun) -> None:
        copied(source, path, *begun)
        if path.endswith("kept.db"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_copy", fail)
    with pytest.raises(OSError, match="No space"):
        _restore(copy, queue)
    assert _ids_in(queue.path) == {"kept", "later"}


def test_what_a_killed_restore_left_is_removed_by_the_next(queue, copy):
    left = Path(models.run_folder(), "restore", "queue.db")
    left.parent.mkdir()
    left.write_text("half")
    _restore(copy, queue)
    assert not left.parent.exists()


def test_a_broken_database_is_whole_under_both_names_until_it_is_replaced(queue, copy, monkeypatch):
    models.db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    models.disconnect()
    _not_a_database(queue.path)
    broken = queue.path.read_bytes()

    def killed(source: str, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            _restore(copy, queue)
    assert queue.path.read_bytes() == Path(f"{queue.path}.20251009T085320Z").read_bytes() == broken
    queue.clock.forward(1)
    _restore(copy, queue)
    assert _ids() == {"kept"}


def test_a_database_of_another_page_size_is_replaced_and_kept_with_all_that_is_in_it(queue, copy):
    models.disconnect()
    with closing(sqlite3.connect(queue.path, isolation_level=None)) as opened:
        for pragma in (
            "PRAGMA journal_mode = DELETE",
            "PRAGMA page_size = 8192",
            "VACUUM",
            "PRAGMA journal_mode = WAL",
        ):
            opened.execute(pragma)
    kept = _restore(copy, queue).kept
    assert _ids_in(kept) == {"kept", "later"}
    assert _ids() == {"kept"}


def test_the_log_of_a_database_that_was_deleted_does_not_come_back_in_the_restored_one(queue, copy, tmp_path):
    log = Path(f"{queue.path}-wal").read_bytes()
    models.disconnect()
    queue.path.unlink()
    Path(f"{queue.path}-wal").write_bytes(log)
    _restore(copy, queue)
    assert _ids() == {"kept"}
    assert models.db.execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_made_meanwhile_is_not_overwritten(queue, copy, monkeypatch):
    models.disconnect()
    queue.path.unlink()

    def made_meanwhile(path: str) -> None:
        Path(path).write_text("mine")

    monkeypatch.setattr(backup, "_remove_logs", made_meanwhile)
    with pytest.raises(FileExistsError):
        _restore(copy, queue)
    assert queue.path.read_text() == "mine"


def test_no_older_schema_is_replaced_under_a_process_that_has_it_open(queue, copy, monkeypatch):
    monkeypatch.setattr(presence, "PATIENCE_S", 0.05)
    models.db.execute_sql("PRAGMA user_version = 1")
    share = presence.share(models.run_folder())
    with pytest.raises(Unavailable, match=r"has schema 1, .* stop the workers and the panel"):
        _restore(copy, queue)
    assert _ids_in(queue.path) == {"kept", "later"}
    os.close(share)
    _restore(copy, queue)
    assert _ids() == {"kept"}
