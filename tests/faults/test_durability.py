"""What `enqueue` acknowledged survives a loss of power: the syncs of real processes, and every state they allow.

Where the kernel forbids to trace a child, what SQLite is told is checked instead of what it does.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import models
from engine import jobs
from tests.faults.power import Disk, lay_out
from tests.faults.recorder import Event, record

TRIES = 2  # states at random for each moment
SEED = 2026


def _can_trace() -> bool:
    try:
        record(["/bin/true"], Path("/nonexistent"))
    except (OSError, KeyError, subprocess.SubprocessError):
        return False
    return True


traced = pytest.mark.skipif(not _can_trace(), reason="this kernel lets no process trace its own child")


class Recording:
    """The events of programs run one after the other in one folder, and what was there before them."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.before = {
            str(path): path.read_bytes() for path in folder.iterdir() if path.name in ("queue.db", "queue.db-wal")
        }
        self.events: list[Event] = []

    def run(self, *line: str) -> None:
        self.events += record([sys.executable, *line], self.folder, cwd=models.ROOT)

    def moments(self) -> Iterator[tuple[Disk, list[str]]]:
        """The disk after each event, and the lines that were said until then."""
        disk, said = Disk(self.before), b""
        yield disk, []
        for event in self.events:
            disk.do(event)
            said += event.data if event.kind == "say" else b""
            yield disk, said.decode().splitlines()

    def power_losses(self, scratch: Path) -> Iterator[tuple[Path, list[str]]]:
        """For every moment each distinct state in which the disk may come back, laid out as files."""
        chance = random.Random(SEED)
        scratch.mkdir()
        seen: set[int] = set()
        for disk, said in self.moments():
            for state in disk.after_power_loss(chance, TRIES):
                name = hash((len(said), *sorted(state.items())))
                if name not in seen:
                    seen.add(name)
                    yield lay_out(state, scratch), said


def read(database: Path, sql: str) -> list[Any]:
    """The rows after SQLite's own recovery, from a database that must be sound; none when it has no tables yet."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'job'").fetchone():
            return []
        return connection.execute(sql).fetchall()


def lost(recording: Recording, scratch: Path) -> list[str]:
    """The acknowledged jobs that some loss of power would take."""
    missing = []
    for database, said in recording.power_losses(scratch):
        stored = {f"Enqueued {job_id}" for (job_id,) in read(database, "SELECT id FROM job")}
        missing += [line for line in said if line not in stored]
    return missing


def test_command_line_and_panel_ask_for_a_sync_at_every_commit_and_workers_for_one_at_checkpoints(tmp_path):
    for durable, level in ((True, 2), (False, 1)):  # FULL, NORMAL
        database = models.connect(str(tmp_path / "queue.db"), durable=durable)
        assert database.execute_sql("PRAGMA synchronous").fetchone() == (level,)
        assert database.execute_sql("PRAGMA journal_mode").fetchone() == ("wal",)
        models.disconnect()


@pytest.fixture(scope="module")
def enqueued(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """`queuectl enqueue` three times, the first makes the database; then two jobs at once."""
    folder = tmp_path_factory.mktemp("enqueued")
    recording = Recording(folder / "place")
    line = ["queuectl.py", "--db", str(recording.folder / "queue.db"), "enqueue"]
    for number in range(3):
        recording.run(*line, "--id", f"j{number}", f"echo {'x' * 3000}")
    many = folder / "many.json"
    many.write_text('[{"command": "true", "id": "m1"}, {"command": "true", "id": "m2"}]')
    recording.run(*line, "--file", str(many))
    return recording


@traced
def test_enqueue_says_an_id_only_when_all_it_wrote_is_synced(enqueued):
    acknowledged = 0
    for disk, said in enqueued.moments():
        if len(said) > acknowledged:
            acknowledged = len(said)
            assert disk.all_synced()
    assert said == ["Enqueued j0", "Enqueued j1", "Enqueued j2", "Enqueued m1", "Enqueued m2"]


@traced
def test_no_loss_of_power_takes_an_acknowledged_job_or_damages_the_database(enqueued, tmp_path):
    assert lost(enqueued, tmp_path / "after") == []


@traced
def test_the_replay_finds_the_jobs_that_a_commit_without_sync_would_lose(tmp_path):
    """A proof that cannot fail proves nothing: the same jobs with the workers' setting."""
    recording = Recording(tmp_path / "place")
    program = f"""
import models
from engine import jobs
models.connect({str(recording.folder / "queue.db")!r}, durable=False)
for number in range(3):
    print("Enqueued", jobs.enqueue({{"command": "true"}}), flush=True)
"""
    recording.run("-c", program)
    assert lost(recording, tmp_path / "after")


WORKER = """
import json, sys, models
from engine import jobs
from engine.jobs import Ending
from engine.output import Output
database = models.connect(sys.argv[1], durable=False)
def tell():
    found = database.execute_sql("SELECT id, state, run, attempts FROM job ORDER BY pk").fetchall()
    runs = database.execute_sql("SELECT job_pk, run, outcome FROM attempt ORDER BY 1, 2").fetchall()
    print(json.dumps([found, runs]), flush=True)
def report(end, held, *words):
    with database.transaction():
        end(held, Ending(return_code=0, stdout=Output(b"x" * 5000, 5000)), *words)
        following = jobs.claim("w1", "here")
    tell()
    return following
tell()
held = jobs.claim("w1", "here")
tell()
jobs.show_output(held, Output(b"x" * 9000, 9000), Output())
tell()
held = report(jobs.complete, held)
held = report(jobs.fail, held)
database.execute_sql("PRAGMA wal_checkpoint(PASSIVE)")
held = report(jobs.complete, held)
held = report(jobs.release, held)
database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
held = report(jobs.complete, held)
jobs.lose(held.pk, held.run, "w1", "here", "gone")
tell()
"""


@traced
def test_a_loss_of_power_takes_from_the_workers_only_their_last_steps_never_a_job(tmp_path):
    """What comes back is what the database held after some step: a result may be gone and its job run again."""
    place = tmp_path / "place"
    place.mkdir()
    models.connect(str(place / "queue.db"))
    ids = jobs.enqueue_many({"command": "true"} for _ in range(8))
    models.disconnect()
    recording = Recording(place)
    recording.run("-c", WORKER, str(place / "queue.db"))
    *_, (_, told) = recording.moments()
    steps = [json.loads(line) for line in told]
    taken = 0
    for database, said in recording.power_losses(tmp_path / "after"):
        found = read(database, "SELECT id, state, run, attempts FROM job ORDER BY pk")
        runs = read(database, "SELECT job_pk, run, outcome FROM attempt ORDER BY 1, 2")
        came_back = [[list(row) for row in found], [list(row) for row in runs]]
        assert [row[0] for row in found] == ids
        assert came_back in steps[: len(said) + 1]
        taken += came_back not in steps[max(0, len(said) - 1) :]
    assert taken  # the setting does save syncs
