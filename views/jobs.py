"""Jobs: the list with its filters, and one job: where it stands, its runs, what can be done with it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

import models
from engine import config, jobs, queries, roster, search, waiting
from views import answers, listing, output, rows, shared, timeline, words

_COMMAND_ASKED = 500  # characters of a command that a question shows

bp = Blueprint("jobs", __name__, url_prefix="/jobs")
bp.register_blueprint(output.bp)


@bp.get("")
@shared.piece
def index() -> Any:
    chosen = listing.filters()
    state = chosen.get("state")
    counts = queries.counts(chosen.get("queue"))
    every = queries.counts()
    return listing.show(
        "jobs",
        search.by_age(state),
        chosen,
        total=every[state] if state else sum(every.values()),
        counts=counts if chosen.keys() <= {"state", "queue"} else None,
        is_empty=not any(every.values()),
    )


@bp.get("/<job_id>")
@shared.piece
def show(job_id: str) -> Any:
    job = queries.find(job_id)
    chosen = request.args.get("run", type=int)
    attempt = queries.attempt(job, chosen)
    begins = output.begins()
    now = models.now_ms()
    shows = {
        "job": rows.job_details(job, now),
        "folder": roster.folder(),
        "copies": [copy.id for copy in queries.made_from(job)],
        "standing": rows.standing(job, now),
        "why": waiting.reasons(job),
        "actions": rows.actions(job, now),
        "attempts": timeline.lines(queries.attempts(job)),
        "shown": attempt.run if attempt else 0,
        "stays": chosen is not None or any(begin is not None for begin in begins.values()),
    }
    shown = {"shown": shows["shown"]}
    is_new = request.args.get("shown", type=int) != shows["shown"]
    printed = output.shown(attempt, begins)
    return answers.live(
        "jobs/show.html",
        "jobs/_live.html",
        shows,
        asks=shown,
        output=printed,
        swap_output=is_new and not shows["stays"],
    )


@bp.post("/<job_id>/run-now")
def run_now(job_id: str) -> Response:
    jobs.run_now(job_id)
    return answers.done(f"Job {job_id} is due now.")


@bp.post("/<job_id>/retry")
def retry(job_id: str) -> Response:
    jobs.retry(job_id)
    undo = answers.Undo("Undo", url_for("jobs.unretry", job_id=job_id), {})
    return answers.done(f"Job {job_id} is pending again.", undo=undo)


@bp.post("/<job_id>/unretry")
def unretry(job_id: str) -> Response:
    jobs.unretry(job_id)
    return answers.done(f"Job {job_id} is as it was before the retry.")


@bp.get("/<job_id>/cancel")
def ask_cancel(job_id: str) -> str:
    job = queries.find(job_id)
    runs = job.state == "processing"
    return answers.confirm(
        title=f"Cancel the {'running ' if runs else ''}job {job.id}?",
        sentence="Its command is ended now. This cannot be undone." if runs else "It will not run.",
        command=job.command[:_COMMAND_ASKED],
        verb="Cancel job",
        back=answers.back(url_for("jobs.index")),
    )


@bp.post("/<job_id>/cancel")
def cancel(job_id: str) -> Any:
    """Cancel it. `unless=running` in the address: ask first when it runs, for the list may not have shown that yet."""
    if request.args.get("unless") == "running":
        if jobs.cancel_unless_running(job_id):
            return answers.done(f"Job {job_id} is cancelled.")
        return answers.ask_instead(ask_cancel(job_id))
    state = jobs.cancel(job_id)
    ended = state == "cancelled"
    return answers.done(f"Job {job_id} is cancelled." if ended else f"Job {job_id}: its command is told to end.")


@bp.get("/<job_id>/delete")
def ask_delete(job_id: str) -> str:
    job = queries.find(job_id)
    minutes = config.get("trash_minutes")
    kept = f"Within {words.span(int(minutes * 60_000), 1)} it can be brought back." if minutes else ""
    return answers.confirm(
        title="Delete this job?",
        sentence=f"Job {job.id} goes, with its {words.plural(job.run, 'run')} and all that was printed. {kept}".strip(),
        verb="Delete job",
        back=url_for("jobs.show", job_id=job.id),
    )


@bp.post("/<job_id>/delete")
def delete(job_id: str) -> Response:
    token = jobs.delete(job_id)
    stays = answers.wants_piece() and not answers.is_shown(url_for("jobs.show", job_id=job_id))
    undo = answers.Undo("Undo", url_for("jobs.undelete"), {"token": token})
    return answers.done(f"Job {job_id} is deleted.", leave=None if stays else url_for("jobs.index"), undo=undo)


@bp.post("/undelete")
def undelete() -> Response:
    job_id = jobs.undelete(request.form.get("token", ""))
    return answers.done(f"Job {job_id} is back.")
