"""The queues: what waits in each, since when, how fast it goes; pause, resume, limit."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

import models
from engine import figures, queues
from engine.errors import InvalidInput
from engine.queues import Standing
from models import db
from views import answers, charts, shared, shell, words

bp = Blueprint("queues", __name__, url_prefix="/queues")


@bp.get("")
@shared.piece
def index() -> Any:
    with db.snapshot():  # the counts of a row are of one instant
        lately = figures.last_hour(models.now_ms())
        shows = {"queues": [_row(queue, lately.get(queue.name, [])) for queue in queues.standings()]}
        return answers.live("queues/index.html", "queues/_list.html", shows)


@bp.post("/<name>/pause")
def pause(name: str) -> Response:
    queues.pause(name, actor="panel")
    undo = answers.Undo("Resume", url_for("queues.resume", name=name), {})
    return answers.done(f"The queue {name} is paused: none of its jobs begins, those that run go on.", undo=undo)


@bp.post("/<name>/resume")
def resume(name: str) -> Response:
    queues.resume(name, actor="panel")
    return answers.done(f"The queue {name} is resumed.")


@bp.post("/<name>/limit")
def limit(name: str) -> Response:
    before = queues.standing(name).limit
    most = queues.limit(name, _number(request.form.get("most", "")), actor="panel").limit
    undo = answers.Undo("Undo", url_for("queues.limit", name=name), {"most": "" if before is None else str(before)})
    now = "any number" if most is None else f"at most {words.plural(most, 'job')}"
    return answers.done(f"The queue {name} runs {now} at once.", undo=undo if most != before else None)


def _number(text: str) -> int | None:
    text = text.strip()
    if text in ("", "none"):
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise InvalidInput("A limit is a whole number from 1 to 1000, or empty for none.", "most")
    return int(text)


def _row(queue: Standing, ended: list[int]) -> dict[str, Any]:
    return {
        "name": queue.name,
        "due": queue.due,
        "delayed": queue.delayed,
        "is_exact": queue.is_exact,
        "running": queue.running,
        "dead": queue.counts["dead"],
        "due_since": queue.due_since,
        "paused": queue.paused,
        "limit": queue.limit,
        "decided": f"by {queue.actor}" if queue.actor else "",
        "decided_at": queue.changed_at,
        "ended": sum(ended),
        "spark": charts.spark(ended),
        "line": shell.line("queue", "resume" if queue.paused else "pause", queue.name),
    }
