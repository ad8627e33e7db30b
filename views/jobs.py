"""Jobs: the list with its filters, and one job with its runs and what they printed."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

import models
from engine import jobs, queries
from models import STATES, Attempt
from views import answers, rows, tail, words

FILTERS = ("state", "text", "queue", "tag")
STREAMS = ("stdout", "stderr")

bp = Blueprint("jobs", __name__, url_prefix="/jobs")


@bp.get("")
def index() -> Any:
    filters = {name: request.args.get(name, "").strip() or None for name in FILTERS}
    before, after = request.args.get("before"), request.args.get("after")
    found = queries.page(**filters, before=before, after=after)  # type: ignore[arg-type]
    counts = queries.counts(filters["queue"])
    shows = {
        "filters": filters,
        "narrowed": any(filters[name] for name in ("text", "queue", "tag")),
        "counts": None if filters["text"] or filters["tag"] else counts,
        "total": sum(queries.counts().values()),
        "jobs": rows.job_rows(found.jobs),
        "newer": found.newer,
        "older": found.older,
        "first": before is None and after is None,
    }
    return answers.live("jobs/index.html", "jobs/_list.html", shows, states=STATES, queues=queries.queues())


@bp.get("/<job_id>")
def show(job_id: str) -> Any:
    job = queries.find(job_id)
    chosen = request.args.get("run", type=int)
    attempt = queries.attempt(job, chosen)
    now = models.now_ms()
    shows = {
        "job": rows.job_details(job, now),
        "standing": rows.standing(job, now),
        "attempts": [rows.attempt_row(run) for run in queries.attempts(job)],
        "chosen": chosen,
        "shown": attempt.run if attempt else 0,
    }
    shown = {"shown": shows["shown"]}
    is_new = request.args.get("shown", type=int) != shows["shown"]
    return answers.live(
        "jobs/show.html", "jobs/_live.html", shows, asks=shown, output=_output(attempt), swap_output=is_new
    )


@bp.get("/<job_id>/tail")
def follow(job_id: str) -> Any:
    """What a run has printed since the reader last looked."""
    job = queries.find(job_id)
    attempt = queries.attempt(job, request.args.get("run", type=int))
    ended = attempt is None or attempt.outcome != "running"
    read = {stream: max(0, request.args.get(stream, 0, type=int)) for stream in STREAMS}
    windows = {stream: tail.since(queries.output(attempt, stream), read[stream], ended) for stream in STREAMS}
    if not ended and not any(window.pieces for window in windows.values()):
        return "", 204
    return render_template(
        "jobs/_more_output.html", job_id=job.id, run=attempt and attempt.run, windows=windows, ended=ended
    )


@bp.get("/<job_id>/<any(stdout, stderr):stream>")
def download(job_id: str, stream: str) -> Response:
    job = queries.find(job_id)
    attempt = queries.attempt(job, request.args.get("run", type=int))
    answer = Response(tail.raw(queries.output(attempt, stream)), mimetype="text/plain")
    name = f"{job.id}-{attempt.run if attempt else 0}.{stream}.txt".replace(":", "_")
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer


@bp.post("/<job_id>/retry")
def retry(job_id: str) -> Response:
    jobs.retry(job_id)
    return answers.done(f"Job {job_id} is pending again.")


@bp.post("/<job_id>/cancel")
def cancel(job_id: str) -> Response:
    state = jobs.cancel(job_id)
    ended = state == "cancelled"
    return answers.done(f"Job {job_id} is cancelled." if ended else f"Job {job_id}: its command is told to end.")


@bp.get("/<job_id>/delete")
def ask_delete(job_id: str) -> str:
    job = queries.find(job_id)
    return answers.confirm(
        title="Delete this job?",
        sentence=f"Job {job.id} is removed for good, with its {words.plural(job.run, 'run')} and all that was printed.",
        verb="Delete job",
        back=url_for("jobs.show", job_id=job.id),
    )


@bp.post("/<job_id>/delete")
def delete(job_id: str) -> Response:
    jobs.delete(job_id)
    stays = answers.wants_piece() and not answers.is_shown(url_for("jobs.show", job_id=job_id))
    return answers.done(f"Job {job_id} is deleted.", leave=None if stays else url_for("jobs.index"))


def _output(attempt: Attempt | None) -> dict[str, Any] | None:
    if attempt is None:
        return None
    ended = attempt.outcome != "running"
    streams = {stream: queries.output(attempt, stream) for stream in STREAMS}
    windows = {stream: tail.last_part(output, ended) for stream, output in streams.items()}
    return {"run": attempt.run, "ended": ended, "streams": streams, "windows": windows}
