"""The keys that act: what each does, and the switch that turns them off. static/keys.js obeys them."""

from __future__ import annotations

from flask import Blueprint, Flask, render_template, request

from views import answers

# The keys of each control are in its attribute data-keys; a test compares them with this table.
SHORTCUTS = (
    (
        "Go to",
        (
            ("g o", "Overview"),
            ("g j", "Jobs"),
            ("g d", "Dead letter queue"),
            ("g q", "Queues"),
            ("g w", "Workers"),
            ("g c", "Config"),
            ("g e", "Enqueue"),
        ),
    ),
    (
        "In a list",
        (
            ("j", "Next row; also the arrow down, once a row is chosen"),
            ("k", "Row before; also the arrow up"),
            ("Enter", "Open the row"),
            ("x", "Select the row, where rows can be selected"),
        ),
    ),
    (
        "Anywhere",
        (
            ("/", "Search"),
            ("n", "Enqueue a job"),
            ("u", "Undo, as long as it is offered"),
            ("?", "These shortcuts"),
            ("Esc", "Close what is open"),
        ),
    ),
)

bp = Blueprint("shortcuts", __name__, url_prefix="/shortcuts")


def init_app(app: Flask) -> None:
    app.context_processor(lambda: {"chord": chord()})


def chord() -> str:
    """The keys of the palette, as the reader's keyboard names them."""
    return "\N{PLACE OF INTEREST SIGN} K" if "Mac" in request.user_agent.string else "Ctrl K"


@bp.get("")
def index() -> str:
    if answers.wants_piece():
        return render_template("shortcuts/_dialog.html", groups=SHORTCUTS)
    return answers.page("shortcuts/index.html", groups=SHORTCUTS)
