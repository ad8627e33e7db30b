"""Truly at once: processes that claim, end, lose, cancel and retry the same few jobs, judged by a model afterwards."""

from __future__ import annotations

import os

import pytest

import models
from engine import jobs
from tests.engine import history

SEEDS = range(int(os.environ.get("CONCURRENT_SEEDS", 3)))


@pytest.fixture
def database(tmp_path):
    models.connect(str(tmp_path / "queue.db"), durable=False)
    yield
    models.disconnect()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_processes_do_at_once_is_what_they_might_do_one_after_the_other(database, seed):
    assert history.play(seed) == []


def test_much_happens_in_such_a_history(database):
    history.play(seed=1)
    claims = "SELECT count(*), count(DISTINCT locked_by), max(run) FROM told WHERE was_run < run"
    number, holders, runs_of_one_job = models.db.execute_sql(claims).fetchone()
    assert number > 100
    assert holders == 3
    assert runs_of_one_job > 5


def test_a_claim_that_nobody_was_told_of_is_seen(database):
    history._prepare()
    held = jobs.claim("w1", "here")
    assert held is not None
    assert list(history.judge([["claim", held.pk, held.run, "w1"]])) == []
    (violation,) = history.judge([])
    assert violation.endswith("happened and was not answered")
