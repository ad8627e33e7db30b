"""Opening a database: new, shared, newer, foreign, damaged, locked, forbidden."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys

import pytest

import models
from engine import database, jobs
from engine.errors import Unavailable
from models import Job


@pytest.fixture
def path(tmp_path):
    yield tmp_path / "queue.db"
    models.disconnect()


@pytest.fixture
def restore_connection():
    yield
    models.disconnect()


def _python(code: str, *args: object) -> subprocess.Popen:
    """Another process that runs this code; args are its sys.argv[1:]."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=models.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _results(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    return [(process.communicate(timeout=60)[0], process.returncode)[::-1] for process in processes]


def _refusal(url) -> str:
    with pytest.raises(Unavailable) as caught:
        models.connect(str(url))
    models.disconnect()
    return str(caught.value)


def _sqlite(path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


# --- a new database


def test_a_new_database_is_made_and_can_be_used(path):
    models.connect(str(path))
    assert jobs.enqueue({"command": "true", "id": "job"}) == "job"


def test_a_new_database_is_its_owners_alone(path):
    umask = os.umask(0)
    models.connect(str(path))
    os.umask(umask)
    files = [path, *path.parent.glob("queue.db-*"), path.parent / "queue.db.run"]
    assert len(files) >= 3
    assert [oct(stat.S_IMODE(file.stat().st_mode) & 0o077) for file in files] == ["0o0"] * len(files)


def test_the_mode_of_an_existing_file_is_left_as_it_is(path):
    path.touch(0o640)
    path.chmod(0o640)
    models.connect(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_an_empty_file_becomes_a_database(path):
    path.touch()
    models.connect(str(path))
    assert Job.select().count() == 0


def test_a_url_names_the_same_file_as_its_path(path):
    models.connect(f"sqlite:///{path}")
    assert models.db.database == str(path)


def test_a_link_leads_to_the_database_it_points_to(path, tmp_path):
    """So that the folder with its locks is one, by whatever name it is opened."""
    (tmp_path / "link.db").symlink_to(path)
    models.connect(str(tmp_path / "link.db"))
    assert models.run_folder() == f"{path}.run"


@pytest.mark.parametrize("name", ["with space.db", "ü🎉.db", "a'b\"c.db", "%41?x=1#y.db", ":memory:", "-rf"])
def test_any_file_name_will_do(tmp_path, restore_connection, name):
    models.connect(str(tmp_path / name))
    jobs.enqueue({"command": "true"})
    assert (tmp_path / name).stat().st_size > 0


def test_a_file_name_that_is_no_utf8_will_do(tmp_path, restore_connection):
    models.connect(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.db"))
    assert jobs.enqueue({"command": "true"})


def test_the_environment_names_the_database(path, monkeypatch):
    monkeypatch.setenv("QUEUECTL_DB", str(path))
    models.connect()
    assert models.db.database == str(path)


def test_every_database_has_a_name_of_its_own(tmp_path, restore_connection):
    names = []
    for name in ("a.db", "b.db"):
        models.connect(str(tmp_path / name))
        names.append(models.instance())
        models.disconnect()
    models.connect(str(tmp_path / "a.db"))
    assert models.instance() == names[0] != names[1]


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2), ("auto_vacuum", 2)],
)
def test_a_connection_is_set_up_for_safety(path, pragma, value):
    models.connect(str(path))
    assert models.db.execute_sql(f"PRAGMA {pragma}").fetchone()[0] == value


def test_a_worker_waits_for_no_disk(path):
    models.connect(str(path), durable=False)
    assert models.db.execute_sql("PRAGMA synchronous").fetchone()[0] == 1


def test_a_closed_connection_opens_again(path):
    models.connect(str(path))
    models.disconnect()
    models.disconnect()
    models.db.connect()
    assert Job.select().count() == 0


def test_a_database_has_room_only_for_known_states(path):
    models.connect(str(path))
    jobs.enqueue({"command": "true"})
    with pytest.raises(Exception, match="CHECK constraint failed"):
        Job.update(state="lost").execute()


# --- many at once

OPEN_AND_ENQUEUE = """
import sys, models
from engine import jobs
models.connect(sys.argv[1])
jobs.enqueue({"command": "true", "id": sys.argv[2]})
"""


def test_twelve_processes_open_a_new_database_at_once(path):
    results = _results([_python(OPEN_AND_ENQUEUE, path, f"j{n}") for n in range(12)])
    assert results == [(0, "")] * 12
    models.connect(str(path))
    assert Job.select().count() == 12
    assert models.db.execute_sql("SELECT count(*) FROM schema_migration").fetchone()[0] == models.SCHEMA_VERSION


WRITE = """
import sys, models
from engine import jobs
models.connect(sys.argv[1], durable=False)
for n in range(200):
    jobs.enqueue({"command": "true"})
"""


def test_writers_wait_for_each_other(path):
    models.connect(str(path))
    results = _results([_python(WRITE, path) for _ in range(4)])
    assert results == [(0, "")] * 4
    assert Job.select().count() == 800


def test_a_lock_that_is_held_too_long_is_told_in_a_sentence(path):
    models.connect(str(path)).patience_s = 0.02
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"^The database .*queue.db is locked by another process; try again"):
        jobs.enqueue({"command": "true"})
    other.close()
    assert Job.select().count() == 0


def test_a_lock_that_is_given_up_in_time_is_waited_for(path, monkeypatch):
    models.connect(str(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waits = []

    def wait(_seconds):
        waits.append(1)
        if len(waits) == 3:
            other.execute("ROLLBACK")

    monkeypatch.setattr(database.time, "sleep", wait)
    jobs.enqueue({"command": "true"})
    other.close()
    assert (len(waits), Job.select().count()) == (3, 1)


def test_a_reader_never_waits_for_a_writer(path):
    models.connect(str(path)).patience_s = 0.0
    jobs.enqueue({"command": "true"})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM job")
    assert Job.select().count() == 1
    other.close()


# --- what is refused


def test_a_database_of_a_newer_schema_is_refused_with_a_sentence(path):
    models.connect(str(path)).execute_sql("PRAGMA user_version = 99")
    models.disconnect()
    says = _refusal(path)
    assert says.endswith(
        f"has schema 99, newer than this program knows ({models.SCHEMA_VERSION}); upgrade QueueCTL, or start it again if it "
        "was upgraded already."
    )


def test_a_refused_newer_database_is_left_as_it_was(path):
    models.connect(str(path)).execute_sql("PRAGMA user_version = 99")
    models.disconnect()
    before = path.read_bytes()
    _refusal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1])
def test_the_database_of_another_program_is_refused_and_left_as_it_was(path, version):
    _sqlite(path, "CREATE TABLE song (title TEXT)", "INSERT INTO song VALUES ('x')", f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    assert "holds the tables of another program; name another file with --db or QUEUECTL_DB." in _refusal(path)
    assert path.read_bytes() == before


def test_another_program_may_have_a_table_called_job(path):
    _sqlite(path, "CREATE TABLE job (id INTEGER)")
    assert "another program" in _refusal(path)


def test_nothing_is_left_beside_the_database_of_another_program(path):
    _sqlite(path, "CREATE TABLE song (title TEXT)")
    _refusal(path)
    assert os.listdir(path.parent) == ["queue.db"]


@pytest.mark.parametrize("content", [b"just some text\n" * 100, b"SQLite format 3\0" + b"\xff" * 4096, b"\0" * 8192])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path, content):
    path.write_bytes(content)
    assert str(path) in _refusal(path)
    assert path.read_bytes() == content


def test_a_truncated_database_is_called_damaged(path):
    models.connect(str(path))
    jobs.enqueue_many({"command": "x" * 1000} for _ in range(200))
    models.db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    models.disconnect()
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert _refusal(path).endswith("is damaged; stop the workers and restore a backup.")


def test_a_missing_folder_is_told_in_a_sentence(tmp_path):
    says = _refusal(tmp_path / "nowhere" / "queue.db")
    assert says.startswith("Cannot create the database")
    assert says.endswith("No such file or directory; choose another place.")


def test_a_folder_is_no_database_and_the_sentence_names_a_file_in_it(tmp_path):
    assert _refusal(tmp_path) == f"{tmp_path} is a folder; name a file in it, for example {tmp_path}/queue.db."


@pytest.mark.parametrize("url", ["a\0b", "/tmp/\0", "x" * 300, "/proc/nope/queue.db", "/dev/null/x"], ids=range(5))
def test_a_path_that_cannot_be_is_refused_with_a_sentence(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _refusal(url).endswith(".")


@pytest.mark.parametrize("url", ["postgresql://localhost/x", "postgres://localhost/x"])
def test_a_database_server_is_not_mistaken_for_a_file(url):
    assert "keeps its jobs in SQLite" in _refusal(url)


def _as_another_user(folder, act) -> str:
    """What act(folder) says when run by someone without rights: by nobody in a root of its own when we are root."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.chroot(folder)  # the folders above are root's alone
                folder = "/"
                os.setgid(65534)
                os.setuid(65534)
            os.write(writer, act(str(folder)).encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as says:
        answer = says.read()
    os.waitpid(pid, 0)
    return answer


def _says(act) -> str:
    try:
        act()
    except Unavailable as error:
        return str(error)
    return "done"


def test_a_folder_one_may_not_write_to_is_told_in_a_sentence(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(0o555)
    tmp_path.chmod(0o755)
    says = _as_another_user(tmp_path, lambda root: _says(lambda: models.connect(f"{root}/closed/queue.db")))
    assert says.startswith("Cannot create the database")
    assert says.endswith("Permission denied; choose another place.")


def test_a_database_one_may_not_read_is_told_in_a_sentence(path, tmp_path):
    models.connect(str(path))
    models.disconnect()
    path.chmod(0o000)
    tmp_path.chmod(0o755)
    says = _as_another_user(tmp_path, lambda root: _says(lambda: models.connect(f"{root}/queue.db")))
    assert says.startswith("Cannot open the database") or "belongs to the user 0" in says


def test_a_database_one_may_only_read_is_told_in_a_sentence_and_not_changed(path, tmp_path):
    models.connect(str(path))
    models.disconnect()
    before = path.read_bytes()
    path.chmod(0o444)
    tmp_path.chmod(0o755)

    def enqueue(root):
        def act():
            models.connect(f"{root}/queue.db")
            jobs.enqueue({"command": "true"})

        return _says(act)

    says = _as_another_user(tmp_path, enqueue)
    assert "read-only" in says or "Cannot open the database" in says or "belongs to the user 0" in says
    assert path.read_bytes() == before


def test_a_database_that_vanished_is_told_in_a_sentence(path):
    models.connect(str(path))
    models.disconnect()
    path.unlink()
    with pytest.raises(Unavailable, match="was deleted or moved away"):
        Job.select().count()


def test_all_of_the_life_of_a_job_is_found_where_it_is_looked_for():
    assert sorted(jobs._HOME) == sorted(jobs.__all__)
    assert all(getattr(jobs, name) is not None for name in jobs.__all__)
    with pytest.raises(AttributeError, match="forget"):
        jobs.forget  # noqa: B018
