"""The figures at the top of the overview: each a count, where it leads, and how it moves."""

from __future__ import annotations

from typing import NamedTuple

from flask import url_for

from engine import alarms
from engine.figures import Figures
from engine.pace import Backlog, Pace
from engine.queries import iso
from views import words

RISE = "\N{BLACK UP-POINTING TRIANGLE}"
FALL = "\N{BLACK DOWN-POINTING TRIANGLE}"


class Note(NamedTuple):
    """The small line below a count. sign: whether it rises or falls. mood: good or bad, "" for neither."""

    text: str = ""
    sign: str = ""
    mood: str = ""


class Tile(NamedTuple):
    """span: over what time it is counted, "" for now. since: an instant to show instead of the count."""

    label: str
    state: str
    number: int
    url: str
    note: Note
    span: str = ""
    since: int | None = None


def now(counts: dict[str, int], workers: int, pace: Pace | None, delayed: int) -> list[Tile]:
    """What waits and what runs at this instant."""
    # Of jobs that take no time a worker takes several at once.
    verb = "taken by" if counts["processing"] > workers else "of"
    crew = f"{verb} {words.plural(workers, 'worker')}" if workers else "no workers"
    return [
        Tile("Pending", "pending", counts["pending"], _list(state="pending"), direction(pace, delayed)),
        Tile("Running", "processing", counts["processing"], _list(state="processing"), Note(crew)),
    ]


def lately(found: Figures, dead: int, span: str) -> list[Tile]:
    """What ended in this span of time, and what lies in the dead letter queue."""
    total, before = found.total, found.before
    begin = iso(found.bars[0].at)  # the list shows the jobs of just these runs, so not "1h"
    growth = change(total.completed, before.completed, span)
    failures = change(total.failed, before.failed, span, more_is_bad=True)
    died = Note(f"{found.died:,} in the last {span}", mood="bad") if found.died else Note(f"none in the last {span}")
    return [
        Tile("Completed", "completed", total.completed, _list(state="completed", since=begin), growth, span),
        Tile("Failed runs", "failed", total.failed, _list(failed_since=begin), failures, span),
        Tile("Dead", "dead", dead, url_for("dlq.index"), died),
    ]


def waiting(backlog: Backlog) -> Tile:
    """How long the job waits that waits the longest."""
    note = f"{alarms.jobs(backlog.due, backlog.is_exact)} due" if backlog.due else "nothing is due"
    return Tile("Oldest due", "waiting", backlog.due, url_for("queues.index"), Note(note), since=backlog.since)


def change(count: int, before: int, span: str, more_is_bad: bool = False) -> Note:
    """How the count compares with that of the span before."""
    if not before:
        return Note(f"none the {span} before")
    percent = round(100 * (count - before) / before)
    if not percent:
        return Note(f"as the {span} before")
    size = f"{abs(percent)} %" if abs(percent) < 1000 else f"{count / before:.0f} times"
    rises = count > before
    mood = ("bad" if rises else "good") if more_is_bad else ""
    return Note(f"{size} on the {span} before", RISE if rises else FALL, mood)


def direction(pace: Pace | None, delayed: int) -> Note:
    """Whether what waits becomes more; while nobody knows, how much of it is not due yet."""
    if pace is None:
        return Note(f"{delayed:,} not due yet" if delayed else "")
    return Note(f"{pace.rate:,} a minute", RISE if pace.per_minute > 0 else FALL)


def _list(**filters: str | None) -> str:
    return url_for("jobs.index", **filters)  # type: ignore[arg-type]
