"""A process is killed, frozen or refused at each point where it matters: no job is lost, and every run is explained."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos import checker
from tests.faults import crashes
from tests.faults.crashes import SCENES, SCRIPTS, Stage
from tests.faults.crashpoints import COMMAND, POINTS
from tests.support import new_database

CASES = [(name, how) for name, point in POINTS.items() for how in point.how.split()]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory) -> Path:
    return new_database(tmp_path_factory.mktemp("template") / "queue.db")


@pytest.fixture
def setting(tmp_path, monkeypatch, empty_database):
    """Makes the stage for a case, and clears it away."""
    monkeypatch.setenv("QUEUECTL_DB", str(tmp_path / "queue.db"))
    monkeypatch.chdir(tmp_path)
    stages: list[Stage] = []

    def make(name: str, how: str) -> Stage:
        stages.append(Stage(tmp_path, name, how, empty_database))
        return stages[0]

    yield make
    for stage in stages:
        stage.close()


@pytest.mark.parametrize(("name", "how"), CASES, ids=[f"{name}, {how}" for name, how in CASES])
def test_nothing_is_lost_at(setting, name, how):
    stage = setting(name, how)
    evidence = crashes.play(stage)
    verdict = checker.judge(evidence)
    assert verdict.violations == [], stage.log.read_text()
    assert _lost_runs(stage) == _expected(stage)


def _lost_runs(stage: Stage) -> int:
    with closing(sqlite3.connect(stage.path)) as db:
        return db.execute("SELECT count(*) FROM attempt WHERE outcome = 'lost'").fetchone()[0]


def _expected(stage: Stage) -> int:
    """A kill costs what its point says; what only stands still or is refused something loses no run of its own."""
    if stage.point.scene == "restore":
        return int(stage.point.done)
    return stage.point.lost if stage.how == "kill" or stage.point.scene == "death" else 0


def test_every_scene_is_played():
    told = {point.scene for point in POINTS.values()}
    assert told == SCENES.keys() | SCRIPTS.keys()
    assert {point.scene for point in POINTS.values() if point.who == COMMAND} == SCRIPTS.keys()
