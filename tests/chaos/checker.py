"""The judge of a storm. It shares no code with the engine: plain SQL, the ledger and what the killer noted."""

from __future__ import annotations

import sqlite3
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.chaos.witness import FIRST_FAILURE, Ledger, Line

LONGEST_RECOVERY_MS = 60_000


class Kill(NamedTuple):
    """One process that was killed, by whom it was: worker (w12), supervisor, shell (its job and run) or panel."""

    at: int
    kind: str
    pid: int
    who: str
    alone: bool  # its supervisor was left alive


@dataclass
class Evidence:
    """What is known of a storm without asking the engine."""

    folder: Path
    database: Path
    ids: list[str]
    kills: list[Kill] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)  # workers that were told to give their job back
    cancelled: set[str] = field(default_factory=set)  # jobs that were cancelled while they ran
    left: list[str] = field(default_factory=list)  # processes that live still after the end


@dataclass
class Verdict:
    violations: list[str]
    figures: dict[str, str | int]


def judge(evidence: Evidence) -> Verdict:
    """Hold the promises against the evidence."""
    lines = Ledger(evidence.folder).news()
    with closing(sqlite3.connect(evidence.database)) as db:
        db.row_factory = sqlite3.Row
        history = _history(db)
        jobs = {row["id"]: row for row in db.execute("SELECT * FROM job WHERE state <> 'deleted'")}
        recoveries = _recoveries(history, evidence.kills)
        violations = [
            *_lost(jobs, evidence.ids),
            *database(db),
            *_ledger(lines),
            *_begins_with_attempts(lines, history),
            *_runs(jobs, history, lines),
            *_extra_runs(history, evidence),
            *(
                f"lost: run {key} waited {ms} ms for its recovery"
                for key, ms, _ in recoveries
                if ms > LONGEST_RECOVERY_MS
            ),
            *(f"left alive: {process}" for process in evidence.left),
        ]
    return Verdict(violations, _figures(jobs, history, lines, evidence, recoveries))


History = dict[str, list[sqlite3.Row]]


def _history(db: sqlite3.Connection) -> History:
    """The attempts of each job, oldest first, without what they printed."""
    attempts: History = defaultdict(list)
    columns = "job.id, attempt.run, worker, attempt.finished_at, outcome, attempt.return_code, attempt.error"
    for row in db.execute(f"SELECT {columns} FROM attempt JOIN job ON job.pk = job_pk ORDER BY job_pk, attempt.run"):
        attempts[row["id"]].append(row)
    return attempts


def _lost(jobs: dict[str, sqlite3.Row], ids: list[str]) -> Iterator[str]:
    for job_id in ids:
        if job_id not in jobs:
            yield f"lost: {job_id} was acknowledged and is not there"
        elif jobs[job_id]["state"] != "completed":
            yield f"lost: {job_id} is {jobs[job_id]['state']}, not completed: {jobs[job_id]['last_error']}"
    yield from (f"appeared: nobody enqueued {job_id}" for job_id in jobs.keys() - set(ids))


def database(db: sqlite3.Connection) -> Iterator[str]:
    (integrity,) = db.execute("PRAGMA integrity_check").fetchone()
    if integrity != "ok":
        yield f"database: {integrity}"
    if broken := db.execute("PRAGMA foreign_key_check").fetchall():
        yield f"database: {len(broken)} broken references"
    locked = "state = 'processing' OR locked_by IS NOT NULL OR locked_at IS NOT NULL"
    for row in db.execute(f"SELECT id, state, locked_by FROM job WHERE {locked}"):
        yield f"held: {row['id']} is {row['state']}, held by {row['locked_by']}"
    for row in db.execute("SELECT pk, status FROM worker WHERE stopped_at IS NULL"):
        yield f"left: worker w{row['pk']} is {row['status']} still"
    counted = "SELECT queue, state, sum(n) FROM counter GROUP BY 1, 2 HAVING sum(n) <> 0"
    true = "SELECT queue, state, count(*) FROM job GROUP BY 1, 2"
    says, is_so = ({(a, b): n for a, b, n in db.execute(sql)} for sql in (counted, true))
    if says != is_so:
        yield f"counters: they say {says}, the jobs are {is_so}"


def _ledger(lines: list[Line]) -> Iterator[str]:
    newest: dict[str, int] = {}
    for line in lines:
        if line.word == "overlap":
            yield f"overlap: run {line.run} of {line.job} began while an earlier one lived"
        elif line.word == "begin":
            if line.run <= newest.get(line.job, 0):
                yield f"order: run {line.run} of {line.job} began after run {newest[line.job]}"
            newest[line.job] = line.run


def _begins_with_attempts(lines: list[Line], history: History) -> Iterator[str]:
    known = {(job_id, row["run"]) for job_id, rows in history.items() for row in rows}
    for line in lines:
        if line.word == "begin" and (line.job, line.run) not in known:
            yield f"unrecorded: run {line.run} of {line.job} began and has no attempt"


def _runs(jobs: dict[str, sqlite3.Row], history: History, lines: list[Line]) -> Iterator[str]:
    """Every claim has its attempt, the last one is the success, and its job says that it came to its end."""
    ended = {(line.job, line.run) for line in lines if line.word == "end"}
    for job_id, job in jobs.items():
        rows = history[job_id]
        if [row["run"] for row in rows] != list(range(1, job["run"] + 1)):
            yield f"history: {job_id} has run {job['run']} times, its attempts are {[row['run'] for row in rows]}"
        for row in rows:
            if row["outcome"] == "success" and (job_id, row["run"]) not in ended:
                yield f"untrue: run {row['run']} of {job_id} is a success and has not come to its end"
        if job["state"] == "completed" and [row["run"] for row in rows if row["outcome"] == "success"] != [job["run"]]:
            yield f"untrue: {job_id} is completed, its runs ended as {[row['outcome'] for row in rows]}"


def _extra_runs(history: History, evidence: Evidence) -> Iterator[str]:
    """A run that is not a job's last must have been cut short by something that was done to it."""
    workers = {kill.who for kill in evidence.kills if kill.kind == "worker"}
    shells = {kill.who for kill in evidence.kills if kill.kind == "shell"}
    for job_id, rows in history.items():
        failures = 0
        for row in rows:
            failures += row["return_code"] == FIRST_FAILURE
            if row["outcome"] != "success" and not _is_explained(job_id, row, workers, shells, evidence, failures):
                yield f"unexplained: run {row['run']} of {job_id} by {row['worker']}: {row['outcome']}, {row['error']}"


def _is_explained(
    job_id: str, row: sqlite3.Row, workers: set[str], shells: set[str], evidence: Evidence, failures: int
) -> bool:
    match row["outcome"], row["return_code"]:
        case "lost", None:
            return row["worker"] in workers
        case "released", _:
            return row["worker"] in evidence.stopped
        case "cancelled", _:
            return job_id in evidence.cancelled
        case "failed", -9:
            return f"{job_id} {row['run']}" in shells
        case "failed", code:
            return code == FIRST_FAILURE and failures == 1
    return False


def _recoveries(history: History, kills: list[Kill]) -> list[tuple[str, int, bool]]:
    """For each run lost with its worker: which it was, ms until it was given back, whether a supervisor lived all along."""
    died = {kill.who: kill for kill in kills if kill.kind == "worker"}
    supervisors = sorted(kill.at for kill in kills if kill.kind == "supervisor")
    found = []
    for rows in history.values():
        for row in rows:
            kill = died.get(row["worker"])
            if row["outcome"] == "lost" and kill is not None:
                undisturbed = not any(kill.at <= at <= row["finished_at"] for at in supervisors)
                found.append((f"{row['run']} of {row['id']}", row["finished_at"] - kill.at, kill.alone and undisturbed))
    return found


def _figures(
    jobs: dict[str, sqlite3.Row],
    history: History,
    lines: list[Line],
    evidence: Evidence,
    recoveries: list[tuple[str, int, bool]],
) -> dict[str, str | int]:
    outcomes = Counter(row["outcome"] for rows in history.values() for row in rows)
    at_once = [ms for _, ms, alone in recoveries if alone]
    later = [ms for _, ms, alone in recoveries if not alone]
    return {
        "jobs": len(jobs),
        "completed": sum(job["state"] == "completed" for job in jobs.values()),
        "runs": sum(len(rows) for rows in history.values()),
        "extra runs": sum(len(rows) - 1 for rows in history.values()),
        "attempts": ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common()),
        "overlaps": sum(line.word == "overlap" for line in lines),
        "lost": sum(1 for _ in _lost(jobs, evidence.ids)),
        "left alive": len(evidence.left),
        "recovery, supervisor alive": _spread(at_once),
        "recovery, supervisor killed too": _spread(later),
    }


def _spread(durations_ms: list[int]) -> str:
    if not durations_ms:
        return "none to recover"
    return f"median {statistics.median(durations_ms):.0f} ms, max {max(durations_ms)} ms (of {len(durations_ms)})"
