"""The migrations lead to exactly the schema of the models, also when one is killed half-way."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import models
from engine import jobs, opening, presence
from engine.database import Sqlite
from engine.errors import Unavailable
from models import STATES, Attempt, Job, Worker
from tests.engine.conftest import counted, really

FOLDER = Path(models.ROOT, "migrations")


@pytest.fixture
def path(tmp_path):
    yield tmp_path / "queue.db"
    models.disconnect()


@pytest.fixture
def own_root(tmp_path, monkeypatch) -> Path:
    """A copy of the migrations that a test may break."""
    shutil.copytree(FOLDER, tmp_path / "root" / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(models, "ROOT", str(tmp_path / "root"))
    return tmp_path / "root" / "migrations"


def _numbers() -> list[int]:
    return sorted(int(file.name[:4]) for file in FOLDER.glob("[0-9]*.py"))


def test_the_schema_version_is_the_number_of_the_newest_migration():
    assert _numbers()[-1] == models.SCHEMA_VERSION


def test_migrations_are_numbered_without_a_gap():
    assert _numbers() == list(range(1, models.SCHEMA_VERSION + 1))


def test_a_migration_is_a_frozen_copy_that_imports_nothing_of_ours():
    ours = re.compile(r"^\s*(from|import) (models|engine|workers|views|app|queuectl)\b", re.MULTILINE)
    assert [file.name for file in FOLDER.glob("*.py") if ours.search(file.read_text())] == []


def test_a_migration_that_changes_how_jobs_are_counted_counts_them_from_scratch():
    """The fourth did not; the fifth makes up for it."""
    later = [file for file in FOLDER.glob("[0-9]*.py") if int(file.name[:4]) > 4]
    changing = [file for file in later if "job_counted" in file.read_text()]
    assert [file.name for file in changing if "INSERT INTO counter" not in file.read_text()] == []


# --- the migrated schema is that of the models


def _rows(connection, pragma: str) -> list[tuple]:
    return connection.execute(f"PRAGMA {pragma}").fetchall()


def _columns(connection, table: str) -> dict[str, tuple]:
    return {
        name: (kind, notnull, pk) for _, name, kind, notnull, _, pk, _ in _rows(connection, f"table_xinfo({table})")
    }


def _unique(connection, table: str) -> set[tuple[str, ...]]:
    """The columns of the indexes that enforce something; those for speed are the migrations' own."""
    indexes = [row[1] for row in _rows(connection, f"index_list({table})") if row[2] and not row[4]]
    return {tuple(column for _, _, column in _rows(connection, f"index_info({index})")) for index in indexes}


def _checks(connection, table: str) -> list[str]:
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()
    return re.findall(r"CHECK \(\w+ IN \([^)]*\)\)", sql)


def _kind(connection, table: str) -> tuple:
    """Whether it is STRICT and WITHOUT ROWID."""
    return next(row[4:] for row in _rows(connection, "table_list") if row[1] == table)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory):
    """Two connections: the schema as migrated, and as the models would make it."""
    folder = tmp_path_factory.mktemp("schemas")
    models.connect(str(folder / "migrated.db"))
    models.disconnect()
    made = Sqlite(str(folder / "made.db"))
    with made.bind_ctx(models.TABLES):
        made.create_tables(models.TABLES)
    made.close()
    both = [sqlite3.connect(folder / name) for name in ("migrated.db", "made.db")]
    yield both
    for connection in both:
        connection.close()


TABLES = [table._meta.table_name for table in models.TABLES]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "ask",
    [
        _columns,
        _unique,
        _checks,
        _kind,
        lambda connection, table: _rows(connection, f"foreign_key_list({table})"),
    ],
    ids=["columns", "unique", "checks", "kind", "foreign keys"],
)
def test_the_migrated_table_is_the_table_of_the_models(schemas, ask, table):
    migrated, made = (ask(connection, table) for connection in schemas)
    assert migrated == made


def test_the_migrated_schema_has_no_table_too_many(schemas):
    named = schemas[0].execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    assert {name for (name,) in named} == {*TABLES, "schema_migration"}


# --- interrupted


def _is_usable(path) -> bool:
    models.connect(str(path))
    jobs.enqueue({"command": "true", "id": "after"})
    applied = models.db.execute_sql("SELECT count(*) FROM schema_migration").fetchone()[0]
    return applied == models.SCHEMA_VERSION and Job.get(Job.id == "after").state == "pending"


def _break(migrations: Path, statement: str) -> None:
    """Make the last step of the first migration end like this."""
    with open(migrations / "0001_initial.py", "a") as file:
        file.write(f"    {statement}\n")


def test_a_migration_that_fails_half_way_leaves_nothing_behind(path, own_root):
    _break(own_root, "raise RuntimeError('no more')")
    with pytest.raises(RuntimeError, match="no more"):
        models.connect(str(path))
    assert "job" not in models.db.get_tables()


def test_a_migration_that_failed_half_way_is_done_at_the_next_start(path, own_root, monkeypatch):
    _break(own_root, "raise RuntimeError('no more')")
    with pytest.raises(RuntimeError):
        models.connect(str(path))
    models.disconnect()
    monkeypatch.setattr(models, "ROOT", str(FOLDER.parent))
    assert _is_usable(path)


def test_a_migration_that_was_killed_half_way_is_done_at_the_next_start(path, own_root):
    _break(own_root, "import os; os._exit(9)")
    code = "import sys, models; models.ROOT = sys.argv[1]; models.connect(sys.argv[2])"
    killed = subprocess.run([sys.executable, "-c", code, own_root.parent, path], cwd=FOLDER.parent)
    assert killed.returncode == 9
    shutil.copy(FOLDER / "0001_initial.py", own_root)
    assert _is_usable(path)


def test_a_start_that_was_killed_before_it_noted_the_version_is_finished_at_the_next(path):
    models.connect(str(path)).execute_sql("PRAGMA user_version = 0")
    models.disconnect()
    assert _is_usable(path)


def test_a_start_that_was_killed_before_the_first_migration_is_finished_at_the_next(path, own_root, monkeypatch):
    (own_root / "0001_initial.py").write_text("raise RuntimeError('cannot even be read')")
    with pytest.raises(RuntimeError, match="cannot even be read"):
        models.connect(str(path))
    models.disconnect()
    monkeypatch.setattr(models, "ROOT", str(FOLDER.parent))
    assert _is_usable(path)


def test_a_migrated_database_is_not_migrated_again(path, monkeypatch):
    models.connect(str(path))
    models.disconnect()
    monkeypatch.setattr(opening, "_migrate", lambda *_: pytest.fail("it is up to date"))
    models.connect(str(path))


def test_jobs_survive_reopening(path):
    models.connect(str(path))
    jobs.enqueue({"command": "true", "id": "job"})
    models.disconnect()
    models.connect(str(path))
    assert Job.get(Job.id == "job").command == "true"


def test_an_incomplete_installation_is_told_in_a_sentence(path, own_root):
    (own_root / "0001_initial.py").unlink()
    with pytest.raises(Unavailable, match=r"is incomplete; install QueueCTL again\.$"):
        models.connect(str(path))


# --- from the first schema

OLD_JOB = {"queue": "mail", "priority": 5, "next_run_at": 7, "run": 2, "attempts": 1, "crashes": 1, "max_retries": 3}
OLD_JOB |= {"timeout_ms": 0, "cancel_requested": 0, "created_at": 8, "updated_at": 9, "return_code": 1}
OLD_JOB |= {"duration_ms": 4, "last_error": "no", "tags": '["a"]', "cwd": "/", "env": '{"A": "b"}', "command": "true"}
OLD_RUN = {"worker": "w1", "host": "h", "started_at": 1, "finished_at": 2, "outcome": "failed", "stdout": b"said"}


def _insert(database, table: str, row: dict) -> None:
    marks = ", ".join("?" * len(row))
    database.execute_sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


@pytest.fixture
def later(own_root) -> Path:
    """The migrations after the first, out of the way until a test brings them back."""
    folder = own_root.parent / "later"
    folder.mkdir()
    for file in own_root.glob("[0-9]*.py"):
        if not file.name.startswith("0001"):
            file.rename(folder / file.name)
    return folder


@pytest.fixture
def of_schema_1(path, later, monkeypatch) -> Path:
    """A database of the first schema: a job of each state with two runs, one deleted after them, and a worker."""
    monkeypatch.setattr(models, "SCHEMA_VERSION", 1)
    old = models.connect(str(path))
    for pk, state in enumerate((*STATES, "completed"), 1):
        held = {"locked_by": "w1", "locked_at": 3} if state == "processing" else {}
        ended = {"finished_at": 2} if state in jobs.FINAL else {}
        _insert(old, "job", OLD_JOB | held | ended | {"id": f"job{pk}", "state": state})
        for run in (1, 2):
            _insert(old, "attempt", OLD_RUN | {"job_pk": pk, "run": run})
    old.execute_sql(f"DELETE FROM job WHERE pk = {len(STATES) + 1}")
    worker = {"host": "h", "desired": "run", "status": "running", "early_deaths": 0, "start_after": 0, "created_at": 1}
    _insert(old, "worker", worker)
    models.disconnect()
    monkeypatch.setattr(models, "SCHEMA_VERSION", _numbers()[-1])
    return path


def _bring_back(later: Path, own_root: Path) -> None:
    for file in later.glob("*.py"):
        shutil.copy(file, own_root)


def _content(path: Path, table: str, order: str) -> list[dict]:
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}")]
    connection.close()
    return rows


def test_an_upgrade_keeps_every_job_run_worker_and_count(of_schema_1, later, own_root):
    tables = {"job": "pk", "attempt": "job_pk, run", "worker": "pk", "counter": "queue, state"}
    before = {table: _content(of_schema_1, table, order) for table, order in tables.items()}
    _bring_back(later, own_root)
    models.connect(str(of_schema_1))
    after = {table: _content(of_schema_1, table, order) for table, order in tables.items()}
    assert len(before["job"]) == len(STATES)
    for table, rows in before.items():
        new = set(after[table][0]) - set(rows[0]) - {"cause"}  # of the dead, see below
        assert [{name: row[name] for name in rows[0]} for row in after[table]] == rows
        assert {row[name] for row in after[table] for name in new} <= {None}
    causes = {(row["state"], row["cause"]) for row in after["job"] if row["cause"] is not None}
    assert causes == {("dead", "no")}
    assert models.db.execute_sql("PRAGMA foreign_key_check").fetchall() == []
    assert models.db.execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)
    assert models.db.execute_sql("PRAGMA foreign_keys").fetchone() == (1,)


def test_after_an_upgrade_the_key_of_a_job_that_was_deleted_does_not_come_back(of_schema_1, later, own_root):
    _bring_back(later, own_root)
    models.connect(str(of_schema_1))
    jobs.enqueue({"command": "true", "id": "next"})
    assert Job.get(Job.id == "next").pk == len(STATES) + 2


def test_after_an_upgrade_the_jobs_live_on(of_schema_1, later, own_root):
    _bring_back(later, own_root)
    models.connect(str(of_schema_1))
    jobs.complete(jobs.claim("w1", "h"), jobs.Ending(return_code=0))
    assert jobs.retry_dead() == 1
    Job.delete().where(Job.state == "cancelled").execute()
    assert Attempt.select().where(Attempt.job == STATES.index("cancelled") + 1).count() == 0
    found = models.db.execute_sql("SELECT state, n FROM counter WHERE n <> 0").fetchall()
    assert dict(found) == {"pending": 1, "processing": 1, "completed": 2, "failed": 1}
    assert Worker.select().count() == 1


def test_an_upgraded_database_has_the_schema_of_a_new_one(of_schema_1, later, own_root, tmp_path):
    _bring_back(later, own_root)
    models.connect(str(of_schema_1))
    models.disconnect()
    models.connect(str(tmp_path / "new.db"))
    models.disconnect()
    upgraded, new = (
        {row["name"]: row["sql"] for row in _content(file, "sqlite_master", "name")}
        for file in (of_schema_1, tmp_path / "new.db")
    )
    assert upgraded == new


@pytest.mark.parametrize("end", ["raise RuntimeError('no more')", "import os; os._exit(9)"], ids=["fails", "killed"])
def test_an_upgrade_that_ends_half_way_leaves_the_first_schema(of_schema_1, later, own_root, end):
    before = _content(of_schema_1, "sqlite_master", "name"), _content(of_schema_1, "job", "pk")
    _bring_back(later, own_root)
    broken = own_root / "0002_operator.py"
    broken.write_text(broken.read_text() + f"    {end}\n")
    code = "import sys, models; models.ROOT = sys.argv[1]; models.connect(sys.argv[2])"
    ended = subprocess.run([sys.executable, "-c", code, own_root.parent, of_schema_1], cwd=FOLDER.parent)
    assert ended.returncode != 0
    assert (_content(of_schema_1, "sqlite_master", "name"), _content(of_schema_1, "job", "pk")) == before
    _bring_back(later, own_root)
    assert _is_usable(of_schema_1)


# --- while others have it open

_HOLD = """
import sys, models
models.SCHEMA_VERSION, models.ROOT = 1, sys.argv[1]
models.connect(sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def open_elsewhere(of_schema_1, own_root, monkeypatch):
    """A process of the first schema has the database open, until its standard input is closed."""
    monkeypatch.setattr(presence, "PATIENCE_S", 0.05)
    line = [sys.executable, "-c", _HOLD, own_root.parent, of_schema_1]
    with subprocess.Popen(line, cwd=FOLDER.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.stdin.close()


def test_no_schema_changes_under_a_process_that_has_the_database_open(open_elsewhere, of_schema_1, later, own_root):
    before = _content(of_schema_1, "sqlite_master", "name")
    _bring_back(later, own_root)
    with pytest.raises(Unavailable, match=rf"has schema 1, not \d+ yet, but .*\({open_elsewhere.pid}\); stop"):
        models.connect(str(of_schema_1))
    assert _content(of_schema_1, "sqlite_master", "name") == before
    open_elsewhere.communicate("")
    assert _is_usable(of_schema_1)


@pytest.mark.parametrize("name", ["supervisor.lock", "w12.lock"])
def test_no_schema_changes_under_the_workers_of_a_version_that_shares_no_lock(of_schema_1, later, own_root, name):
    _bring_back(later, own_root)
    with open(f"{of_schema_1}.run/{name}", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match=rf"\({os.getpid()}\); stop the workers"):
            models.connect(str(of_schema_1))
    assert _is_usable(of_schema_1)


def test_a_new_file_is_made_where_another_was_deleted_that_a_process_has_open(
    open_elsewhere, of_schema_1, later, own_root
):
    _bring_back(later, own_root)
    for end in ("", "-wal", "-shm"):
        Path(f"{of_schema_1}{end}").unlink(missing_ok=True)
    assert _is_usable(of_schema_1)


def test_a_connection_that_is_opened_after_a_newer_version_changed_the_schema_is_refused(path):
    models.connect(str(path))
    models.disconnect()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {models.SCHEMA_VERSION + 1}")
    with pytest.raises(Unavailable, match="start it again"):
        Job.select().count()
    assert models.db.is_closed()


def test_an_upgrade_that_was_killed_between_two_steps_is_not_taken_for_the_version_before(of_schema_1, later, own_root):
    _bring_back(later, own_root)
    broken = own_root / "0003_due.py"
    broken.write_text(broken.read_text() + "    raise RuntimeError('no more')\n")
    with pytest.raises(RuntimeError):
        models.connect(str(of_schema_1))
    assert models.db.execute_sql("PRAGMA user_version").fetchone() == (2,)


def test_an_upgrade_counts_the_jobs_from_scratch(of_schema_1, later, own_root):
    with closing(sqlite3.connect(of_schema_1)) as wrong:
        wrong.execute("UPDATE counter SET n = n + 3 WHERE state <> 'pending'")
        wrong.execute("DELETE FROM counter WHERE state = 'pending'")
        wrong.commit()
    _bring_back(later, own_root)
    models.connect(str(of_schema_1))
    assert counted() == really()
