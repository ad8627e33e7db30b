"""What is done to many jobs at once: asking, how far it has come, what came of it, and taking it back."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from htmx_flask import make_response

from engine import config, jobs, operations, reports
from engine.errors import InvalidInput, Refused
from models import Job, Operation
from views import answers, listing, shared, words

bp = Blueprint("operations", __name__, url_prefix="/operations")

_STEP_S = 0.4  # how long one request goes on with an operation
_NAMED = 3  # running jobs that the question before cancelling names
_COMMAND_ASKED = 80  # characters of each one's command
_MANY = 100  # from here on a deletion wants its number typed
_QUESTIONS = {
    "retry": ("Retry {jobs}?", "They go back to pending, and their attempts start from 0."),
    "cancel": ("Cancel {jobs}?", "The commands of those that run are ended, which cannot be undone."),
    "delete": ("Delete {jobs}?", "They go, with their runs and all that was printed."),
    "priority": ("Give {jobs} another priority?", "Those that wait take their place by it."),
}


@bp.get("")
@shared.piece
def index() -> Any:
    shows = {"operations": [_row(operation) for operation in operations.recent(50)]}
    return answers.live("operations/index.html", "operations/_list.html", shows)


@bp.post("")
def begin() -> Any:
    form = request.form
    verb = form.get("verb", "")
    chosen = form.getlist("id")
    if not chosen and not form.get("all"):
        abort(422, "Select the jobs first.")
    priority = jobs.read_priority(form.get("priority", type=int)) if verb == "priority" else None
    back = answers.back(url_for("jobs.index"))
    asked: dict[str, Any] = {"argument": priority, "newest": form.get("newest", type=int)}
    if not form.get("all"):
        if verb == "cancel" and not form.get("sure") and (running := operations.running(ids=chosen)):
            return _ask_cancel(chosen, running, back)
        asked["running"] = form.getlist("running")  # named in the question: others began to run since
        return _go_on(operations.begin(verb, actor="panel", ids=chosen, **asked).pk)
    filters = listing.filters()
    if not form.get("sure"):
        return ask(verb, filters, priority, back)
    _check_typed(verb, filters)
    return _go_on(operations.begin(verb, actor="panel", filters=filters, **asked).pk)


@bp.get("/<int:number>")
def show(number: int) -> Any:
    return answers.page("operations/show.html", operation=_row(operations.find(number)))


@bp.post("/<int:number>/go-on")
def go_on(number: int) -> Any:
    """Do some of it. The page of an operation asks for this until it has ended."""
    operation = _step(number)
    if answers.wants_piece():
        return render_template("operations/_progress.html", operation=_row(operation))
    return redirect(url_for("operations.show", number=number), 303)


@bp.post("/<int:number>/undo")
def undo(number: int) -> Any:
    return _go_on(operations.undo(number, actor="panel").pk)


def ask(verb: str, filters: Mapping[str, str], priority: int | None, back: str) -> str:
    """The question before something is done to all that match. Raises as `operations.begin` does."""
    if verb not in _QUESTIONS:
        raise InvalidInput(f"There is no operation {verb[:32]!r}.", "verb")
    shows: dict[str, Any] = {"filters": filters, "priority": priority, "newest": operations.newest()}
    expected = operations.expect(verb, filters)
    if expected == 0:
        raise Refused(f"No job that matches can be {operations.DONE[verb]}.")
    meant = "all that match" if expected is None else words.plural(expected, "job")
    shows["typed"] = _to_type(verb, expected)
    named = _names(operations.running(filters=filters)) if verb == "cancel" else ""
    return _question(verb, meant, f"{named}{_QUESTIONS[verb][1]} {_way_back(verb)}".strip(), back, shows)


def _ask_cancel(ids: list[str], running: list[Job], back: str) -> str:
    """The question before selected jobs are cancelled, when some of them run."""
    sentence = _names(running) + _QUESTIONS["cancel"][1]
    shows = {"ids": ids, "running": [job.id for job in running]}
    return _question("cancel", words.plural(len(ids), "job"), sentence, back, shows)


def _names(running: list[Job]) -> str:
    """The sentence that names the jobs that run by id and command, the first few of them; empty when none runs."""
    if not running:
        return ""
    named = [f"{job.id} ({job.command[:_COMMAND_ASKED]})" for job in running[:_NAMED]]
    more = [f"{len(running) - _NAMED} more"] if len(running) > _NAMED else []
    they = "is one that runs" if len(running) == 1 else f"are {len(running):,} that run"
    return f"Among them {they}: {', '.join((*named, *more))}. "


def _question(verb: str, meant: str, sentence: str, back: str, shows: Mapping[str, Any]) -> str:
    title = _QUESTIONS[verb][0].format(jobs=meant)
    shows = {
        "verb": verb,
        "title": title,
        "sentence": sentence,
        "button": title.rstrip("?"),
        "back": back,
        "ids": (),
        "running": (),
        "newest": operations.newest(),
        "filters": {},
        "priority": None,
        "typed": None,
        **shows,
    }
    if answers.wants_piece():
        return render_template("operations/_ask.html", **shows)
    return answers.page("operations/ask.html", **shows)


def _to_type(verb: str, expected: int | None) -> str | None:
    """What must be typed before many jobs are deleted."""
    if verb != "delete" or (expected is not None and expected < _MANY):
        return None
    return "delete" if expected is None else str(expected)


def _check_typed(verb: str, filters: Mapping[str, str]) -> None:
    wanted = _to_type(verb, operations.expect(verb, filters))
    shown, typed = request.form.get("shown"), request.form.get("typed", "").strip().replace(",", "")
    if wanted is not None and (not shown or typed != shown):
        raise InvalidInput(f"Type {shown or wanted} to delete these jobs; nothing was deleted.", "typed")


def _way_back(verb: str) -> str:
    minutes = config.get("trash_minutes")
    if verb == "delete":
        kept = f"Within {words.span(int(minutes * 60_000), 1)} they can be brought back."
        return kept if minutes else "They cannot be brought back."
    return "It can be undone until a worker takes them." if verb == "retry" else ""


def _step(number: int) -> Operation:
    give_up_at = time.monotonic() + _STEP_S
    while (operation := operations.step(number)).state == "running" and time.monotonic() < give_up_at:
        pass
    return operation


def _go_on(number: int) -> Any:
    """Begin at once; what is not done in a moment goes on on a page of its own."""
    operation = _step(number)
    page = url_for("operations.show", number=number)
    if operation.state != "running":
        return _done(operation)
    if answers.wants_piece():
        return make_response("", 204, redirect=page)
    return redirect(page, 303)


def _done(operation: Operation) -> Any:
    back = request.form.get("back", "")
    if answers.wants_piece() or not back.startswith("/") or back[1:2] in ("/", "\\"):
        return answers.done(reports.report(operation), undo=_undo(operation))
    answers.say_next(reports.report(operation), _undo(operation))
    return redirect(back, 303)


def _undo(operation: Operation) -> answers.Undo | None:
    if not (operation.done and operations.can_be_undone(operation)):
        return None
    return answers.Undo("Undo", url_for("operations.undo", number=operation.pk), {})


def _row(operation: Operation) -> dict[str, Any]:
    """An operation as the pages show it."""
    scope = json.loads(operation.scope)
    met = operation.done + operation.skipped + operation.failed
    undo = _undo(operation)
    return {
        "number": operation.pk,
        "verb": operation.verb,
        "argument": operation.argument,
        "chosen": _chosen(scope),
        "url": _url(scope),
        "state": operation.state,
        "actor": operation.actor,
        "at": operation.created_at,
        "met": met,
        "expected": operation.expected,
        "percent": int(reports.share(operation) * 100),
        "report": reports.report(operation),
        "undo": undo._asdict() if undo else None,
    }


def _chosen(scope: dict[str, Any]) -> str:
    if "ids" in scope:
        return words.plural(len(scope["ids"]), "selected job")
    if "operation" in scope:
        return f"those of operation {scope['operation']}"
    given = listing.in_words(scope["filter"])
    return f"all with {given}" if given else "all jobs"


def _url(scope: dict[str, Any]) -> str | None:
    if "operation" in scope:
        return url_for("operations.show", number=scope["operation"])
    return url_for("jobs.index", **scope["filter"]) if "filter" in scope else None
