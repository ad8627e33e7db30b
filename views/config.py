"""The settings that change at run time."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from htmx_flask import make_response

from engine import config
from engine.errors import InvalidInput, NotFound
from views import answers

bp = Blueprint("config", __name__, url_prefix="/config")


@bp.get("")
def index() -> str:
    return answers.page("config/index.html", settings=_settings())


@bp.post("/<key>")
def change(key: str) -> Any:
    text = request.form.get("value", "")
    undo = _way_back(key)
    try:
        value = config.set(key, text, actor="panel")
    except InvalidInput as error:
        return _refused(key, text, str(error))
    return _changed(key, f"{key} is {_shown(value)} now.", undo)


@bp.post("/<key>/reset")
def reset(key: str) -> Any:
    undo = _way_back(key)
    return _changed(key, f"{key} is back to its default, {_shown(config.reset(key, actor='panel'))}.", undo)


def _way_back(key: str) -> answers.Undo:
    """Set the value that it has now, or reset it when that is the default because nothing was set."""
    setting = _setting(key)
    if setting["changed_at"] is None:
        return answers.Undo("Undo", url_for("config.reset", key=key), {}, setting["name"])
    return answers.Undo("Undo", url_for("config.change", key=key), {"value": str(config.get(key))}, setting["name"])


def _changed(key: str, sentence: str, undo: answers.Undo) -> Any:
    if answers.wants_piece():
        row = render_template("config/_setting.html", setting=_setting(key))
        return make_response(row, trigger=answers.toast(sentence, undo=undo))
    answers.say_next(sentence, undo)
    return redirect(url_for("config.index", _anchor=key), 303)


def _refused(key: str, text: str, sentence: str) -> Any:
    wrong = {"text": text, "sentence": sentence}
    if answers.wants_piece():
        return render_template("config/_setting.html", setting=_setting(key) | wrong), 422
    settings = [setting | (wrong if setting["name"] == key else {}) for setting in _settings()]
    return answers.page("config/index.html", settings=settings), 422


def _setting(key: str) -> dict[str, Any]:
    name = key.replace("-", "_")
    try:
        return next(setting for setting in _settings() if setting["name"] == name)
    except StopIteration:
        raise NotFound(f"There is no setting {key[:64]!r}.") from None


def _settings() -> list[dict[str, Any]]:
    values, changed_at = config.get_all(), config.changed_at()
    return [
        {
            "name": key.name,
            "help": key.help,
            "applies": key.applies,
            "unit": key.unit,
            "words": key.kind if isinstance(key.kind, tuple) else (),
            "limits": _limits(key),
            "default": _shown(key.default),
            "text": _shown(values[key.name]),
            "changed_at": changed_at.get(key.name),
            "sentence": None,
        }
        for key in config.KEYS.values()
    ]


def _limits(key: config.Key) -> str:
    if isinstance(key.kind, tuple):
        return " or ".join(key.kind)
    return f"{'a whole number, ' if key.kind is int else ''}{key.low:g} to {key.high:,.0f}"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
