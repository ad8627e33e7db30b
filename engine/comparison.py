"""What changed between two runs: their output line by line, how they ended. Bounded, whatever was printed."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from engine import queries, tally
from engine.wording import duration, exit_meaning
from models import STATES, Attempt, History, Job

LINES = 800  # of each side, the last ones, are compared
LINE_CHARACTERS = 1000  # of a line are compared and shown
CONTEXT = 3  # unchanged lines shown around a change
LOOKED_AT = 500  # completed jobs that are looked at for one of the same command


class Run(NamedTuple):
    job: Job
    attempt: Attempt


class Line(NamedTuple):
    """mark: "-" only before, "+" only now, " " in both, "…" some lines in both are left out; text counts those."""

    mark: str
    text: str


class Changes(NamedTuple):
    """The lines around what changed; empty when nothing did. cut: only the last LINES of a side were compared."""

    lines: list[Line]
    cut: bool


class Fact(NamedTuple):
    """Something about the two runs that is not their output."""

    name: str
    before: str
    now: str


def other(job: Job, attempt: Attempt | None, against: str = "previous") -> Run | None:
    """The run to compare `attempt` with: "previous", "success" (the last one of the same command) or a run's number.

    None when there is no such run.
    """
    if attempt is None:
        return None
    if against == "success":
        return last_success(job, attempt)
    earlier = Attempt.select().where(Attempt.job == job.pk)
    if against.isascii() and against.isdigit() and len(against) < 10:
        found = earlier.where(Attempt.run == int(against)).first()
    else:
        found = earlier.where(Attempt.run < attempt.run).order_by(Attempt.run.desc()).first()
    return Run(job, found) if found else None


def last_success(job: Job, attempt: Attempt) -> Run | None:
    """The last successful run of the same command in the same folder, other than `attempt`; None when none is known.

    Commands that take a second or more are remembered; others are looked for among the newest LOOKED_AT completed jobs.
    """
    return _remembered(job, attempt) or _looked_for(job)


def _remembered(job: Job, attempt: Attempt) -> Run | None:
    known = History.get_or_none(History.signature == tally.signature(job.command, job.cwd))
    if known is None or (known.success_job, known.success_run) == (job.pk, attempt.run):
        return None
    found = Job.get_or_none(Job.pk == known.success_job, Job.state.in_(STATES))
    run = Attempt.get_or_none(Attempt.job == known.success_job, Attempt.run == known.success_run)
    return Run(found, run) if found and run else None


def _looked_for(job: Job) -> Run | None:
    newest = Job.select(Job.pk).where(Job.state == "completed").order_by(Job.pk.desc()).limit(LOOKED_AT)
    folder = Job.cwd.is_null() if job.cwd is None else Job.cwd == job.cwd
    same = Job.select().where(Job.pk.in_(newest), Job.command == job.command, folder, Job.pk != job.pk)
    for found in same.order_by(Job.pk.desc()).limit(10):
        run = queries.attempt(found)
        if run is not None and run.outcome == "success":
            return Run(found, run)
    return None


def facts(before: Attempt, now: Attempt) -> list[Fact]:
    """How the two runs differ apart from what they printed, the same left out."""
    pairs = [
        ("outcome", before.outcome, now.outcome),
        ("exit code", _ended(before), _ended(now)),
        ("duration", duration(before.duration_ms), duration(now.duration_ms)),
        ("worker", before.worker, now.worker),
        ("host", before.host, now.host),
    ]
    return [Fact(*pair) for pair in pairs if pair[1] != pair[2]]


def _ended(run: Attempt) -> str:
    meaning = exit_meaning("failed", run.return_code)
    return "none" if run.return_code is None else f"{run.return_code}" + (f" ({meaning})" if meaning else "")


def changes(before: str, now: str) -> Changes:
    """The lines that are only in one of two texts, with what is around them."""
    old, new = before.splitlines(), now.splitlines()
    cut = len(old) > LINES or len(new) > LINES
    old, new = ([line[:LINE_CHARACTERS] for line in side[-LINES:]] for side in (old, new))
    return Changes([] if old == new else list(_around(_all_lines(old, new))), cut)


def _all_lines(old: list[str], new: list[str]) -> list[Line]:
    """Every line of both. What is alike at the ends is set aside first, so that the search has little to do."""
    head = _alike(old, new)
    foot = _alike(old[head:][::-1], new[head:][::-1])
    old_end, new_end = len(old) - foot, len(new) - foot
    lines = [Line(" ", text) for text in old[:head]]
    matcher = SequenceMatcher(None, old[head:old_end], new[head:new_end])  # with its shortcut for frequent lines
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            lines += [Line(" ", text) for text in old[head + a : head + b]]
        else:
            lines += [Line("-", text) for text in old[head + a : head + b]]
            lines += [Line("+", text) for text in new[head + c : head + d]]
    return lines + [Line(" ", text) for text in old[old_end:]]


def _alike(old: list[str], new: list[str]) -> int:
    pairs = enumerate(zip(old, new, strict=False))
    return next((number for number, (one, two) in pairs if one != two), min(len(old), len(new)))


def _around(lines: list[Line]) -> Iterator[Line]:
    changed = [number for number, line in enumerate(lines) if line.mark != " "]
    shown = {near for number in changed for near in range(number - CONTEXT, number + CONTEXT + 1)}
    left_out = 0
    for number, line in enumerate(lines):
        if number not in shown:
            left_out += 1
            continue
        if left_out:
            yield Line("…", f"{left_out:,} unchanged")
            left_out = 0
        yield line
    if left_out:
        yield Line("…", f"{left_out:,} unchanged")
