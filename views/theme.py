"""Light, dark, or what the system says: kept in a cookie and rendered by the server, so that nothing flashes."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, abort, redirect, request, url_for
from htmx_flask import make_response

from views import answers

THEMES = ("system", "light", "dark")
_COOKIE = "queuectl-theme"
_YEAR_S = 365 * 24 * 3600

bp = Blueprint("theme", __name__, url_prefix="/theme")


def init_app(app: Flask) -> None:
    app.context_processor(lambda: {"theme": chosen_theme()})


def chosen_theme() -> str:
    chosen = request.cookies.get(_COOKIE)
    return chosen if chosen in THEMES else "system"


@bp.post("")
def choose() -> Response:
    theme = request.form.get("theme", "")
    if theme not in THEMES:
        abort(422, "Choose light, dark or system.")
    if request.htmx:  # type: ignore[attr-defined]
        answer = make_response("", 204, trigger={"theme": {"name": theme}})
    else:
        answer = redirect(answers.back(url_for("overview.index")), 303)
    answer.set_cookie(_COOKIE, theme, max_age=_YEAR_S, httponly=True, samesite="Strict")
    return answer
