"""The dead letter queue: jobs with no retry left, and their way back."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Blueprint, Response, url_for

from engine import causes, dlq, queries, search
from views import answers, listing, operations, shared

bp = Blueprint("dlq", __name__, url_prefix="/dlq")


@bp.get("")
@shared.piece
def index() -> Any:
    chosen = listing.filters() | {"state": "dead"}
    return listing.show("dlq", search.by_death(), chosen, total=queries.counts()["dead"])


@bp.get("/causes")
def by_cause() -> Any:
    shows = {"causes": [cause._asdict() | {"id": _id_of(cause.pattern)} for cause in causes.by_count()]}
    return answers.live("dlq/causes.html", "dlq/_causes.html", shows)


def _id_of(pattern: str) -> str:
    """A name of this cause for its row, the same whatever place it has in the list."""
    return hashlib.blake2b(pattern.encode(errors="surrogatepass"), digest_size=6).hexdigest()


@bp.post("/<job_id>/retry")
def retry(job_id: str) -> Response:
    dlq.retry(job_id)
    return answers.done(f"Job {job_id} is pending again.")


@bp.get("/retry-all")
def ask_retry_all() -> str:
    return operations.ask("retry", {"state": "dead"}, None, url_for("dlq.index"))
