"""The migrations lead to exactly the schema of the models, also when one is killed half-way."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import models
from engine import jobs
from engine.database import Sqlite
from engine.errors import Unavailable
from models import Job

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
    monkeypatch.setattr(models, "_migrate", lambda opened: pytest.fail("it is up to date"))
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
