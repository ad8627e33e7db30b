"""The dead letter queue: jobs with no retry left, and their way back."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, request, url_for

from engine import dlq, queries
from views import answers, rows, words

bp = Blueprint("dlq", __name__, url_prefix="/dlq")


@bp.get("")
def index() -> Any:
    before, after = request.args.get("before"), request.args.get("after")
    found = queries.dead_page(before=before, after=after)
    shows = {
        "total": queries.counts()["dead"],
        "jobs": rows.job_rows(found.jobs),
        "newer": found.newer,
        "older": found.older,
        "first": before is None and after is None,
    }
    return answers.live("dlq/index.html", "dlq/_list.html", shows)


@bp.post("/<job_id>/retry")
def retry(job_id: str) -> Response:
    dlq.retry(job_id)
    return answers.done(f"Job {job_id} is pending again.")


@bp.post("/retry")
def retry_selected() -> Response:
    chosen = request.form.getlist("id")
    if not chosen:
        abort(422, "Select the jobs to retry first.")
    return answers.done(_report(dlq.retry_selected(chosen)))


@bp.get("/retry-all")
def ask_retry_all() -> str:
    dead = words.plural(queries.counts()["dead"], "dead job")
    return answers.confirm(
        title="Retry all dead jobs?",
        sentence=f"{dead} go back to pending, with all their tries again. Those that die meanwhile go too.",
        verb=f"Retry {dead}",
        back=url_for("dlq.index"),
        destroys=False,
    )


@bp.post("/retry-all")
def retry_all() -> Response:
    return answers.done(_report(dlq.retry_all()))


def _report(count: int) -> str:
    if count == 0:
        return "None of these jobs is dead any more; nothing was changed."
    return f"{words.plural(count, 'job')} {'is' if count == 1 else 'are'} pending again."
