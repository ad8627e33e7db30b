"""Numbers, instants and endings in words, as templates show them. app.js keeps the moving ones up to date."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Flask
from markupsafe import Markup, escape

import models
from engine import visible
from engine.wording import duration, plural, signal_name, span

_ICON = '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-{}"/></svg>'


def init_app(app: Flask) -> None:
    for word in (ago, ahead, clock, duration, elapsed, exit_words, plural, size, stamp):
        app.add_template_filter(word)
    app.add_template_global(icon)
    app.add_template_filter(exact)
    app.add_template_filter(visible.marked)
    app.jinja_env.finalize = _shown
    app.context_processor(lambda: {"now": models.now_ms()})


def _shown(value: Any) -> Any:
    """What a template writes for a value: text with marks for the characters that nobody would see."""
    return visible.marked(value) if type(value) is str else value


def exact(text: str) -> Markup:
    """The text as it is, for what a form sends back and a button copies."""
    return escape(text)


def icon(name: str) -> Markup:
    """A picture out of the page's own sheet (templates/_icons.html)."""
    return Markup(_ICON).format(name)


def elapsed(since: int, now: int) -> Markup:
    """How long it has been going on; counts on the page."""
    return _time(since, "elapsed", span(now - since))


def ago(instant: int | None, now: int) -> Markup:
    """How long ago, in one unit: just now, 12 s ago, 3 min ago, 5 d ago."""
    if instant is None:
        return Markup("\N{EN DASH}")
    passed = now - instant
    return _time(instant, "ago", "just now" if passed < 5000 else f"{span(passed, 1)} ago")


def ahead(instant: int, now: int) -> Markup:
    """How long until then: in 12 s; "now" once it has come."""
    left = instant - now
    return _time(instant, "ahead", f"in {span(left + 999, 1)}" if left > 0 else "now")


def clock(instant: int, now: int) -> Markup:
    """The time of day, with the date when it is another day. UTC; app.js makes it the reader's own time."""
    then, today = _utc(instant), _utc(now)
    words = f"{then:%H:%M:%S} UTC" if then.date() == today.date() else f"{then.day} {then:%b %Y, %H:%M:%S} UTC"
    return _time(instant, "clock", words)


def stamp(instant: int | None) -> str:
    """Date and time in UTC, to the second; a dash when there is none."""
    return "\N{EN DASH}" if instant is None else f"{_utc(instant):%Y-%m-%d %H:%M:%S} UTC"


def size(count: int) -> str:
    """Bytes for people: 512 bytes, 3.4 KB, 12 MB."""
    if count < 1000:
        return plural(count, "byte")
    power = min(4, (len(str(count)) - 1) // 3)
    number, unit = count / 1000**power, ("KB", "MB", "GB", "TB")[power - 1]
    return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"


def exit_words(code: int | None) -> str:
    """exit 1, SIGKILL, or a dash when nothing ended."""
    if code is None:
        return "\N{EN DASH}"
    return f"exit {code}" if code >= 0 else signal_name(-code)


def instant(iso: str | None) -> int | None:
    """Milliseconds since 1970 out of ISO 8601."""
    return None if iso is None else int(datetime.fromisoformat(iso).timestamp() * 1000)


def _utc(instant: int) -> datetime:
    return datetime.fromtimestamp(instant / 1000, UTC)


def _time(instant: int, shows: str, words: str) -> Markup:
    tag = '<time datetime="{}" title="{}" data-shows="{}" data-at="{}">{}</time>'
    iso = f"{_utc(instant):%Y-%m-%dT%H:%M:%SZ}"
    return Markup(tag).format(iso, stamp(instant), shows, instant, words)


def ending(error: str | None) -> str:
    """The cause of a failure without what the command said about it: "exit code 1" of "exit code 1: no such file"."""
    if error and error.startswith("exit code"):
        return error.partition(": ")[0]
    return error or "no reason is known"
