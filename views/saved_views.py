"""Filters under a name, the same for everybody: kept, listed, forgotten."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from engine import saved_views
from views import answers, listing

bp = Blueprint("saved_views", __name__, url_prefix="/views")


@bp.get("")
def index() -> Any:
    every = [
        {"name": view.name, "url": url_for("jobs.index", **saved_views.filters_of(view.name)), "actor": view.actor}
        | {"chosen": listing.in_words(saved_views.filters_of(view.name)), "at": view.created_at}
        for view in saved_views.every()
    ]
    return answers.live("views/index.html", "views/_list.html", {"saved": every})


@bp.post("")
def keep() -> Response:
    view = saved_views.keep(request.form.get("name", ""), listing.filters(), actor="panel")
    return answers.done(
        f"Saved the view {view.name}.", leave=url_for("jobs.index", **saved_views.filters_of(view.name))
    )


@bp.post("/delete")
def delete() -> Response:
    name = request.form.get("name", "")
    saved_views.delete(name)
    return answers.done(f"The view {name} is deleted.")
