"""What a tab shows of trouble while another is looked at: the title, the icon, the number at the DLQ."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app, g, request
from markupsafe import Markup

from engine import alarms, queries
from views import cookies
from views.assets import asset_url


def init_app(app: Flask) -> None:
    app.context_processor(_unknown)
    app.after_request(_note_seen)


def look() -> dict[str, Any]:
    """The dead, the words of trouble for the title, and whether jobs wait without a worker: the same for every reader."""
    counts = queries.counts()
    dead = counts["dead"]
    backlog = counts["pending"] + counts["failed"]
    stranded = backlog > 0 and alarms.is_stranded()
    words = (["no workers"] if stranded else []) + ([f"{dead:,} dead"] if dead else [])
    return {"dead": dead, "marks": ", ".join(words), "stranded": stranded}


def is_alarming(dead: int, stranded: bool) -> bool:
    """Whether something wants this reader: work that stands still, or dead jobs not seen yet."""
    seen = _seen(dead)  # in any case: it notes what is seen now
    return stranded or dead > seen


def title(template: str, context: dict[str, Any]) -> str:
    """The title of the page that this template makes, for a tab whose page refreshes a piece of itself."""
    known = dict(context)
    current_app.update_template_context(known)
    page = current_app.jinja_env.get_template(template)
    words = "".join(page.blocks["title"](page.new_context(known)))
    marks = f"({context['marks']}) " if context["marks"] else ""
    return f"{marks}{Markup(words).unescape()} \N{EN DASH} QueueCTL"


def icon_url(alarming: bool) -> str | None:
    return asset_url("favicon-alarm.svg" if alarming else "favicon.svg")


def event(title: str, alarming: bool) -> dict[str, Any]:
    """What makes app.js change title and icon of the tab."""
    return {"signals": {"title": title, "icon": icon_url(alarming)}}


def _unknown() -> dict[str, Any]:
    """For pages that did not look, such as those of errors."""
    return {"dead": 0, "marks": "", "alarming": False, "icon_url": icon_url}


def _cookie() -> str:
    return f"{current_app.config['SESSION_COOKIE_NAME']}-seen"


def _seen(dead: int) -> int:
    """How many dead jobs the reader knows of: those that were in the DLQ at the last look, as far as they still are."""
    text = request.cookies.get(_cookie(), "")
    known = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
    seen = dead if request.blueprint == "dlq" else min(known, dead)
    if seen != known:
        g.seen_dead = seen
    return seen


def _note_seen(answer: Response) -> Response:
    if "seen_dead" in g:
        cookies.keep(answer, _cookie(), str(g.seen_dead))
    return answer
