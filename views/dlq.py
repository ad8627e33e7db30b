"""The dead letter queue: jobs with no retry left, and their way back."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, url_for

from engine import dlq, queries, search
from views import answers, listing, operations

bp = Blueprint("dlq", __name__, url_prefix="/dlq")


@bp.get("")
def index() -> Any:
    chosen = listing.filters() | {"state": "dead"}
    return listing.show("dlq", search.by_death(), chosen, total=queries.counts()["dead"])


@bp.post("/<job_id>/retry")
def retry(job_id: str) -> Response:
    dlq.retry(job_id)
    return answers.done(f"Job {job_id} is pending again.")


@bp.get("/retry-all")
def ask_retry_all() -> str:
    return operations.ask("retry", {"state": "dead"}, None, url_for("dlq.index"))
