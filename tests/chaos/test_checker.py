"""The judge itself: sound evidence passes, and each broken promise is seen. A judge that never objects proves nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

import models
from engine import jobs
from engine.jobs import Ending
from tests.chaos import checker, witness
from tests.chaos.checker import Evidence, Kill

LIVING_WORKER = """
INSERT INTO worker (pk, host, desired, status, early_deaths, start_after, created_at)
VALUES (9, 'here', 'run', 'running', 0, 0, 0)
"""


@pytest.fixture
def evidence(tmp_path):
    """Three jobs: one ran through, one lost its worker first, one failed once on purpose."""
    models.connect(str(tmp_path / "queue.db"))
    witness.prepare(tmp_path)
    ids = [jobs.enqueue({"id": name, "command": "true"}) for name in ("plain", "crashed", "flaky")]
    _run("plain", "w1", "success")
    _run("crashed", "w2", "lost")
    _run("crashed", "w1", "success")
    _run("flaky", "w1", "failed")
    jobs.retry("flaky")
    _run("flaky", "w1", "success")
    models.disconnect()
    for job, run in (("plain", 1), ("crashed", 1), ("crashed", 2), ("flaky", 1), ("flaky", 2)):
        _write(tmp_path, f"begin {job} {run} 4711")
        if (job, run) not in (("crashed", 1), ("flaky", 1)):
            _write(tmp_path, f"end {job} {run}")
    kills = [Kill(models.now_ms(), "worker", 4712, "w2", alone=True)]
    return Evidence(tmp_path, tmp_path / "queue.db", ids, kills)


def _run(job_id: str, worker: str, outcome: str) -> None:
    held = jobs.claim(worker, "here")
    assert held is not None
    assert held.id == job_id
    if outcome == "success":
        jobs.complete(held, Ending(return_code=0))
    elif outcome == "failed":
        jobs.fail(held, Ending(return_code=witness.FIRST_FAILURE))
    else:
        jobs.lose(held.pk, held.run, worker, "here", "killed by SIGKILL")


def _write(folder, line: str) -> None:
    with open(folder / "ledger", "a") as ledger:
        ledger.write(f"{line}\n")


def _sql(statement: str) -> Callable[[Evidence], None]:
    def doctor(evidence: Evidence) -> None:
        with closing(sqlite3.connect(evidence.database)) as db, db:
            assert db.execute(statement).rowcount > 0

    return doctor


def _line(line: str) -> Callable[[Evidence], None]:
    return lambda evidence: _write(evidence.folder, line)


def _without(line: str) -> Callable[[Evidence], None]:
    def doctor(evidence: Evidence) -> None:
        ledger = evidence.folder / "ledger"
        ledger.write_text(ledger.read_text().replace(f"{line}\n", ""))

    return doctor


def test_sound_evidence_passes(evidence):
    verdict = checker.judge(evidence)
    assert verdict.violations == []
    assert verdict.figures["extra runs"] == 2


@pytest.mark.parametrize(
    ("doctor", "says"),
    [
        (lambda evidence: evidence.ids.append("gone"), "lost: gone"),
        (lambda evidence: evidence.ids.remove("plain"), "appeared: nobody enqueued plain"),
        (_sql("UPDATE job SET state = 'dead' WHERE id = 'plain'"), "lost: plain is dead"),
        (_sql("UPDATE job SET state = 'processing' WHERE id = 'plain'"), "held: plain"),
        (_sql("UPDATE job SET locked_by = 'w1' WHERE id = 'plain'"), "held: plain"),
        (_sql("UPDATE counter SET n = n + 1 WHERE state = 'completed'"), "counters"),
        (_sql(LIVING_WORKER), "left: worker w9"),
        (_sql("DELETE FROM attempt WHERE run = 1 AND outcome = 'lost'"), "unrecorded: run 1 of crashed"),
        (_sql("DELETE FROM attempt WHERE run = 1 AND outcome = 'lost'"), "history: crashed"),
        (_sql("UPDATE job SET run = 2 WHERE id = 'plain'"), "history: plain"),
        (_sql("UPDATE attempt SET outcome = 'success' WHERE outcome = 'lost'"), "untrue: crashed"),
        (_sql("UPDATE attempt SET outcome = 'timeout' WHERE outcome = 'lost'"), "unexplained: run 1 of crashed"),
        (_sql("UPDATE attempt SET outcome = 'cancelled' WHERE outcome = 'lost'"), "unexplained: run 1 of crashed"),
        (_sql("UPDATE attempt SET return_code = -9 WHERE outcome = 'failed'"), "unexplained: run 1 of flaky"),
        (_sql("UPDATE attempt SET finished_at = finished_at + 61000 WHERE outcome = 'lost'"), "for its recovery"),
        (lambda evidence: evidence.kills.clear(), "unexplained: run 1 of crashed"),
        (lambda evidence: evidence.left.append("sleep, pid 1"), "left alive: sleep"),
        (_line("overlap plain 1"), "overlap: run 1 of plain"),
        (_line("begin plain 1 4713"), "order: run 1 of plain"),
        (_line("begin crashed 1 4713"), "order: run 1 of crashed began after run 2"),
        (_without("end plain 1"), "untrue: run 1 of plain"),
    ],
)
def test_a_broken_promise_is_seen(evidence, doctor, says):
    doctor(evidence)
    violations = checker.judge(evidence).violations
    assert any(says in violation for violation in violations), violations
