"""The jobs that a list shows, all of them, as a file."""

from __future__ import annotations

import json

from flask import Blueprint, Response, abort, request, stream_with_context

from engine import filters, queries, sheet
from views import listing

bp = Blueprint("export", __name__, url_prefix="/export")

_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


@bp.get("")
def index() -> Response:
    form = request.args.get("as", "jsonl")
    if form not in _TYPES:
        abort(422, f"There is no form {form[:32]!r}; there are {' and '.join(_TYPES)}.")
    chosen = filters.checked(listing.filters())  # what is refused is refused before the first line
    jobs = queries.every(chosen.pop("state", None), **chosen)
    lines = sheet.lines(jobs) if form == "csv" else (json.dumps(job, ensure_ascii=False) + "\n" for job in jobs)
    text = (line.encode(errors="replace") for line in lines)
    answer = Response(stream_with_context(text), content_type=f"{_TYPES[form]}; charset=utf-8")
    answer.headers["Content-Disposition"] = f"attachment; filename=jobs.{form}"
    return answer
