"""Polls: readers who poll the same address share what one of them had rendered, and all are told how often to ask."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any

from flask import Flask, Response, current_app, request

from views import answers, preferences
from views.shelf import Piece, Shelf
from views.tempo import Tempo, usable_cores

View = Callable[..., Any]


class _Other(Exception):
    """The view answered something else than a piece: nothing to share."""

    def __init__(self, answer: Any):
        self.answer = answer


def init_app(app: Flask) -> None:
    cores = usable_cores()
    app.extensions["shelf"], app.extensions["tempo"] = Shelf(cores=cores), Tempo(cores=cores)


def paced(view: View) -> View:
    """A view that tabs poll by the clock: when too many do, its answers ask them to wait longer."""

    @wraps(view)
    def answer(**named: Any) -> Any:
        return _paced(view(**named)) if answers.wants_piece() else view(**named)

    return answer


def piece(view: View) -> View:
    """A view that answers by `answers.live`: what it renders for a poll is kept for others who poll the same address."""

    @wraps(view)
    def answer(**named: Any) -> Any:
        if not (answers.wants_piece() and "v" in request.args):
            return view(**named)
        return _paced(view(**named) if "news" in request.args else _shared(view, named))

    return answer


def _paced(answer: Any) -> Response:
    response = current_app.make_response(answer)
    if (wait_s := current_app.extensions["tempo"].next_in()) is not None:
        response.headers["Retry-After"] = str(wait_s)
    return response


def _shared(view: View, named: dict[str, Any]) -> Any:
    shelf = current_app.extensions["shelf"]
    # A reader who did something wants to see it: app.js says so, of every poll that no clock sent.
    find = shelf.renew if request.cache_control.no_cache else shelf.take
    try:
        return answers.told(find(_address(), lambda old: _made(view, named, old)))
    except _Other as other:
        return other.answer


def _made(view: View, named: dict[str, Any], old: Piece | None) -> Piece:
    with answers.for_everybody(old):
        made = view(**named)
    if not isinstance(made, Piece):
        raise _Other(made)
    return made


def _address() -> Hashable:
    """All of the request that what is rendered depends on. What the reader has seen is not: `answers.told` compares it."""
    unread = {"v"} if {"before", "after"} & request.args.keys() else {"v", "mark"}  # the first page sets its own mark
    asked = tuple((name, value) for name, value in request.args.items(multi=True) if name not in unread)
    return request.script_root, request.path, asked, tuple(map(preferences.chosen, preferences.PREFERENCES))
