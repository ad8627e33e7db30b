"""The settings that change at run time: one page for all, one for each with its history, and what others changed."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from htmx_flask import make_response

from engine import config
from engine.errors import InvalidInput
from views import answers, settings, shared

ACTOR = "panel"

bp = Blueprint("config", __name__, url_prefix="/config")


@bp.get("")
def index() -> str:
    return _page({})


@bp.get("/changes")
@shared.paced
def changes() -> Any:
    """What a page that shows the settings asks again and again: those that somebody changed since."""
    text = request.args.get("since", "")
    since = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
    newest = settings.newest_change()
    if newest == since:
        return "", 204
    names = settings.changed_since(since)
    key = request.args.get("key")
    return render_template(
        "config/_changes.html",
        settings=settings.some(name for name in names if key in (None, name)),
        newest=newest,
        key=key,
        apart=True,
    )


@bp.get("/<key>")
def show(key: str) -> Any:
    setting = settings.one(key)
    shows = {"history": settings.history(key), "name": setting["name"]}
    newest = settings.newest_change()
    return answers.live("config/show.html", "config/_history.html", shows, setting=setting, newest=newest)


@bp.post("/<key>")
def change(key: str) -> Any:
    text = request.form.get("value", "")
    setting = settings.one(key)
    if _is_overtaken(setting):
        return _refused(setting | {"text": text, "sentence": f"{_meanwhile(setting)} Save again to replace that."}, 409)
    try:
        value = config.set(key, text, actor=ACTOR)
    except InvalidInput as error:
        return _refused(setting | {"text": text, "sentence": str(error)}, 422)
    return _changed(setting, f"{setting['name']} is {settings.shown(value)} now.")


@bp.post("/<key>/reset")
def reset(key: str) -> Any:
    setting = settings.one(key)
    default = settings.shown(config.reset(key, actor=ACTOR))
    return _changed(setting, f"{setting['name']} is back to its default, {default}.")


@bp.post("/<key>/revert")
def revert(key: str) -> Any:
    setting = settings.one(key)
    if _is_overtaken(setting):
        return _refused(
            setting | {"sentence": f"{_meanwhile(setting)} Look at its history before you revert that."}, 409
        )
    value = settings.shown(config.revert(key, actor=ACTOR))
    return _changed(setting, f"{setting['name']} is back to {value}.")


def _is_overtaken(setting: dict[str, Any]) -> bool:
    """Whether somebody changed the setting since the page that asks was made, as far as it says which change it knew."""
    return request.values.get("seen", str(setting["seen"])) != str(setting["seen"])


def _meanwhile(setting: dict[str, Any]) -> str:
    return f"Meanwhile {setting['actor']} set it to {setting['value']}."


def _changed(before: dict[str, Any], sentence: str) -> Any:
    """Say it, with the way back to what it was: that value, or the default where nothing was set."""
    name = before["name"]
    way, fields = ("config.change", {"value": before["value"]}) if before["is_set"] else ("config.reset", {})
    undo = answers.Undo("Undo", url_for(way, key=name), fields, name)
    if answers.wants_piece():
        row = render_template("config/_setting.html", setting=settings.one(name))
        return make_response(row, trigger=answers.toast(sentence, undo=undo) | {"changed": True})
    answers.say_next(sentence, undo)
    own = url_for("config.show", key=name)
    return redirect(f"{answers.back(own) if request.referrer else url_for('config.index')}#{name}", 303)


def _refused(setting: dict[str, Any], status: int) -> Any:
    """The field keeps what was typed, with the reason beside it."""
    if answers.wants_piece():
        return render_template("config/_setting.html", setting=setting), status
    return _page({setting["name"]: setting}), status


def _page(instead: dict[str, dict[str, Any]]) -> str:
    """All settings, some as they are given here."""
    groups = {group: [instead.get(row["name"], row) for row in rows] for group, rows in settings.every().items()}
    every = [row for rows in groups.values() for row in rows]
    return answers.page(
        "config/index.html",
        groups=groups,
        number=len(every),
        newest=settings.newest_change(),
        show="changed" if request.args.get("show") == "changed" else None,
    )
