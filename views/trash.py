"""The deleted jobs that can still be brought back, and removing one for good."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, url_for

from engine import jobs, trash
from views import answers, shared

bp = Blueprint("trash", __name__, url_prefix="/trash")

_SHOWN = 100


@bp.get("")
@shared.piece
def index() -> Any:
    shows = {"trashed": [row._asdict() for row in trash.listed(_SHOWN)], "total": trash.count()}
    return answers.live("trash/index.html", "trash/_list.html", shows)


@bp.get("/<token>/remove")
def ask_remove(token: str) -> str:
    return answers.confirm(
        title="Remove this job for good?",
        sentence="It goes with its runs and all that was printed. This cannot be undone.",
        verb="Remove for good",
        back=url_for("trash.index"),
    )


@bp.post("/<token>/remove")
def remove(token: str) -> Response:
    return answers.done(f"Job {jobs.remove(token)} is removed for good.")
