"""The settings that change at run time."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from htmx_flask import make_response

from engine import config
from engine.errors import InvalidInput
from views import answers

bp = Blueprint("config", __name__, url_prefix="/config")


@bp.get("")
def index() -> str:
    return answers.page("config/index.html", settings=_settings())


@bp.post("/<key>")
def change(key: str) -> Any:
    text = request.form.get("value", "")
    try:
        value = config.set(key, text)
    except InvalidInput as error:
        return _refused(key, text, str(error))
    return _changed(key, f"{key} is {_shown(value)} now.")


@bp.post("/<key>/reset")
def reset(key: str) -> Any:
    return _changed(key, f"{key} is back to its default, {_shown(config.reset(key))}.")


def _changed(key: str, sentence: str) -> Any:
    if answers.wants_piece():
        row = render_template("config/_setting.html", setting=_setting(key))
        return make_response(row, trigger=answers.toast(sentence))
    flash(sentence)
    return redirect(url_for("config.index", _anchor=key), 303)


def _refused(key: str, text: str, sentence: str) -> Any:
    wrong = {"text": text, "sentence": sentence}
    if answers.wants_piece():
        return render_template("config/_setting.html", setting=_setting(key) | wrong), 422
    settings = [setting | (wrong if setting["name"] == key else {}) for setting in _settings()]
    return answers.page("config/index.html", settings=settings), 422


def _setting(key: str) -> dict[str, Any]:
    return next(setting for setting in _settings() if setting["name"] == key.replace("-", "_"))


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
