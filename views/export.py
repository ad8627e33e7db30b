"""The jobs that a list shows, all of them, as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice

from flask import Blueprint, Response, abort, request, stream_with_context
from werkzeug.exceptions import TooManyRequests

import models
from engine import filters, queries, sheet
from views import listing
from workers import locks

bp = Blueprint("export", __name__, url_prefix="/export")

_MOST = 2  # at once, in all processes of the panel: each keeps a thread while it is read
_RETRY_AFTER_S = 30
_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


@bp.get("")
def index() -> Response:
    form = request.args.get("as", "jsonl")
    if form not in _TYPES:
        abort(422, f"There is no form {form[:32]!r}; there are {' and '.join(_TYPES)}.")
    chosen = filters.checked(listing.filters())  # what is refused is refused before the first line
    with _place() as place:
        models.db.limit(None)  # it may take its time: there are two at most
        found = queries.every(chosen.pop("state", None), **chosen)
        jobs = chain(list(islice(found, 1)), found)  # a database that cannot be read is said before the answer begins
        lines = sheet.lines(jobs) if form == "csv" else (json.dumps(job, ensure_ascii=False) + "\n" for job in jobs)
        kept = place.pop_all()
        text = _encoded(lines, kept)
        answer = Response(stream_with_context(text), content_type=f"{_TYPES[form]}; charset=utf-8")
        answer.call_on_close(kept.close)  # a reader may leave before the end, or before the beginning
    answer.headers["Content-Disposition"] = f"attachment; filename=jobs.{form}"
    return answer


def _encoded(lines: Iterable[str], place: ExitStack) -> Iterator[bytes]:
    with place:
        for line in lines:
            yield line.encode(errors="replace")


def _place() -> ExitStack:
    """One of the places for an export: a locked file, open until it is closed. Refuses when all are taken."""
    for number in range(_MOST):
        lock = locks.take(os.path.join(models.run_folder(), f"export-{number}.lock"))
        if lock is not None:
            place = ExitStack()
            place.callback(os.close, lock)
            return place
    sentence = f"{_MOST} exports are being read, as many as may be at once; try again when one has ended."
    raise TooManyRequests(sentence, retry_after=_RETRY_AFTER_S)
