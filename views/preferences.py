"""What a reader prefers: theme, shortcuts, time zone. Kept in cookies and rendered by the server, so nothing flashes."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, abort, redirect, request, url_for
from htmx_flask import make_response

from views import answers, cookies

# Each with its choices, the default first.
PREFERENCES = {
    "theme": ("system", "light", "dark"),
    "zone": ("local", "utc"),
    "keys": ("on", "off"),
}

bp = Blueprint("preferences", __name__, url_prefix="/preferences")


def init_app(app: Flask) -> None:
    app.context_processor(lambda: {"prefers": {name: chosen(name) for name in PREFERENCES}})


def chosen(name: str) -> str:
    """What the reader chose; the default when nothing that exists."""
    choice = request.cookies.get(f"queuectl-{name}")
    return choice if choice in PREFERENCES[name] else PREFERENCES[name][0]


@bp.post("/<name>")
def choose(name: str) -> Response:
    if name not in PREFERENCES:
        abort(404, f"There is no preference {name[:32]!r}.")
    choice = request.form.get("choice", "")
    if choice not in PREFERENCES[name]:
        abort(422, f"Choose {' or '.join(PREFERENCES[name])}.")
    if request.htmx:  # type: ignore[attr-defined]
        answer = make_response("", 204, trigger={"prefer": {"name": name, "choice": choice}})
    else:
        answer = redirect(answers.back(url_for("overview.index")), 303)
    cookies.keep(answer, f"queuectl-{name}", choice)
    return answer
