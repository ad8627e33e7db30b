"""What people see when something is refused or breaks: one sentence and a way on. The panel's only translation."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Flask, current_app, render_template, request
from flask_wtf.csrf import CSRFError
from peewee import DatabaseError
from werkzeug.exceptions import HTTPException, default_exceptions

from engine import health
from engine.errors import QueueError
from views import answers

TITLES = {
    400: "That request cannot be understood",
    403: "That is not allowed",
    404: "Nothing is here",
    405: "That cannot be done here",
    409: "That is not possible now",
    413: "That is too much at once",
    422: "That cannot be stored",
    429: "Too many at once",
    500: "Something broke on our side",
    503: "The database cannot be used now",
}
SENTENCES = {
    400: "The request is broken; go back and try again.",
    403: "Nothing was done.",
    404: "The address is wrong, or what it named was deleted.",
    405: "This address does not take that kind of request.",
    429: "Wait a moment, then try again.",
    413: "A form may carry at most 1 MB; put what is larger in a file and name the file.",
}


def init_app(app: Flask) -> None:
    app.register_error_handler(QueueError, _refused)
    app.register_error_handler(DatabaseError, _database_broke)
    app.register_error_handler(CSRFError, _form_is_stale)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(500, _broke)


def _refused(error: QueueError) -> Any:
    return _say(error.status, str(error))


def _form_is_stale(_: CSRFError) -> Any:
    return _say(400, "This form is no longer valid; reload the page and send it again. Nothing was done.")


def _http_error(error: HTTPException) -> Any:
    code = error.code or 500
    if error.response is not None or code < 400:
        return error
    own_words = error.description != default_exceptions[code].description if code in default_exceptions else True
    sentence = (error.description if own_words else None) or SENTENCES.get(code) or f"{error.name}."
    answer = _say(code, sentence)
    allowed = error.get_headers()
    answer.headers.extend((name, value) for name, value in allowed if name in ("Allow", "Retry-After"))
    return answer


def _database_broke(error: DatabaseError) -> Any:
    current_app.logger.error("The database refused: %s", error)
    return _say(503, "The database gave an error; the log says more. Try again in a moment.")


def _broke(error: Exception) -> Any:
    if damage := health.damage():
        return _say(503, damage)
    reference = secrets.token_hex(4)
    current_app.logger.error("The error above has the reference %s", reference)
    return _say(500, f"The log has the details, under the reference {reference}. Your jobs are not affected.")


def _say(status: int, sentence: str) -> Any:
    if request.htmx:  # type: ignore[attr-defined]
        return answers.refuse(sentence, status)
    title = TITLES.get(status, "That did not work")
    if status == 422 and request.method == "GET":
        title = "That filter is not valid"
    may_help = request.method == "GET" and (status >= 500 or status == 429)
    again = request.full_path.rstrip("?") if may_help else None
    page = render_template(
        "errors/show.html",
        status=status,
        title=title,
        sentence=sentence,
        again=again and request.script_root + again,
        alarming=status >= 500,
    )
    answer = current_app.make_response((page, status))
    if status == 503:
        answer.headers["Retry-After"] = "5"
    return answer
