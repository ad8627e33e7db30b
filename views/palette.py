"""One field that finds a job by its id, a queue, a page, a setting or something to do, and leads there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flask import Blueprint, render_template, request, url_for

from engine import config, liveness, lookup, queries
from engine.folding import fold
from models import STATES
from views import answers, rows, words

bp = Blueprint("palette", __name__, url_prefix="/palette")

_MOST = 6  # of one kind


class Entry(NamedTuple):
    """One line of the answer. asks: it leads to a question, which htmx shows in the dialog."""

    label: str
    url: str
    icon: str
    hint: str = ""
    asks: bool = False
    state: str = ""
    code: bool = False


class Group(NamedTuple):
    name: str
    entries: list[Entry]


@bp.get("")
def index() -> str:
    text = request.args.get("q", "").strip()[:200]
    found = {"text": text, "groups": find(text)}
    if answers.wants_piece():
        return render_template("palette/_results.html", **found)
    return answers.page("palette/index.html", **found)


def find(text: str) -> list[Group]:
    """What the text names, by kind; for no text the pages and what can be done."""
    groups = (
        Group("Jobs", list(_jobs(text))),
        Group("Queues", [_queue(name) for name in lookup.queues(text)] if text else []),
        Group("Pages", _matching(text, _pages())),
        Group("Actions", _matching(text, _actions())),
        Group("Settings", _matching(text, _settings()) if text else []),
        Group("Search", [_search(text)] if text else []),
    )
    return [group for group in groups if group.entries]


def _jobs(text: str) -> Iterator[Entry]:
    for job in lookup.jobs(text, _MOST):
        row = rows.job_row(job, 0)
        url = url_for("jobs.show", job_id=job.id)
        yield Entry(job.id, url, "jobs", hint=row["command"][:80], state=job.state, code=True)


def _queue(name: str) -> Entry:
    return Entry(name, url_for("jobs.index", queue=name), "queue", hint="its jobs")


def _pages() -> Iterator[Entry]:
    counts = queries.counts()
    yield Entry("Overview", url_for("overview.index"), "overview")
    yield Entry("Jobs", url_for("jobs.index"), "jobs")
    yield Entry("Dead letter queue", url_for("dlq.index"), "dlq", hint=words.plural(counts["dead"], "dead job"))
    yield Entry("Queues", url_for("queues.index"), "queues", hint="pause, limit")
    yield Entry("Workers", url_for("workers.index"), "workers")
    yield Entry("Config", url_for("config.index"), "config", hint="settings")
    yield Entry("Keyboard shortcuts", url_for("shortcuts.index"), "keys", asks=True)
    yield Entry("Causes of death", url_for("dlq.by_cause"), "dlq", hint="the dead by their error")
    yield Entry("Operations", url_for("operations.index"), "jobs", hint="what was done to many jobs at once")
    yield Entry("Trash", url_for("trash.index"), "delete", hint="deleted jobs")
    yield Entry("Saved views", url_for("saved_views.index"), "search", hint="filters under a name")
    for state in STATES:
        url = url_for("jobs.index", state=state)
        yield Entry(f"Jobs: {state}", url, "jobs", hint=f"{counts[state]:,}")


def _actions() -> Iterator[Entry]:
    yield Entry("Enqueue a job", url_for("enqueue.index"), "plus", hint="new")
    dead = queries.counts()["dead"]
    if dead:
        label = f"Retry all {words.plural(dead, 'dead job')}"
        yield Entry(label, url_for("dlq.ask_retry_all"), "retry", asks=True)
    yield Entry("Start workers", url_for("workers.index", _anchor="count"), "start")
    if liveness.has_workers():
        yield Entry("Drain all workers", url_for("workers.ask_drain_all"), "drain", hint="quiet", asks=True)
        yield Entry("Stop all workers", url_for("workers.ask_stop_all"), "stop", asks=True)


def _settings() -> Iterator[Entry]:
    for key in config.KEYS.values():
        yield Entry(key.name, url_for("config.index", _anchor=key.name), "config", hint=key.help, code=True)


def _search(text: str) -> Entry:
    return Entry(
        f"Search all jobs for \N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK}",
        url_for("jobs.index", text=text),
        "search",
    )


def _matching(text: str, entries: Iterator[Entry]) -> list[Entry]:
    """The entries that hold every word of the text; for no text those that come first."""
    asked = fold(text).split()
    held = (entry for entry in entries if all(word in fold(f"{entry.label} {entry.hint}") for word in asked))
    return [entry for entry, _ in zip(held, range(_MOST), strict=False)]
