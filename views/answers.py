"""How a handler answers: a live page and its polled piece, or the end of an action."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from flask import Response, flash, g, redirect, render_template, request, url_for
from htmx_flask import make_response

import models
from engine import visible
from views import guards, signals, tokens
from views.shelf import Piece

# What stands in a piece that everybody may have for what belongs to one reader. Nobody can guess it, so nobody can put
# it into a job and see the token appear there.
_TOKEN, _VERSION = secrets.token_hex(16), secrets.token_hex(16)


class Undo(NamedTuple):
    """The way back from an action: a button with `label`, which posts `fields` to `url`.

    target: the id of the piece that the answer replaces; None when the page refreshes itself.
    """

    label: str
    url: str
    fields: dict[str, str]
    target: str | None = None


def wants_piece() -> bool:
    """Whether htmx asks for a part of the page only."""
    asked = request.htmx  # type: ignore[attr-defined]
    return bool(asked) and not asked.boosted and not asked.history_restore_request


def is_shown(path: str) -> bool:
    """Whether the tab that htmx asks for shows the page at this path."""
    shown = guards.split(request.htmx.current_url or "")  # type: ignore[attr-defined]
    return shown is not None and shown.path == path


def page(template: str, **context: Any) -> str:
    """A page that does not change by itself."""
    looked = signals.look()
    alarming = signals.is_alarming(looked["dead"], looked["stranded"])
    return render_template(template, **looked, alarming=alarming, **context)


def live(whole: str, piece: str, shows: dict[str, Any], asks: dict[str, Any] | None = None, **fixed: Any) -> Any:
    """The page, or for htmx its piece; 204 without rendering when the piece would show what it shows already.

    shows: all that can change in the piece, as plain values. asks: what its next poll shall say besides.
    fixed: what the page around it needs. Inside `for_everybody` it returns the Piece.
    """
    shows = {**shows, **signals.look()}
    digest, made_at = _digest(shows), models.now_ms()
    if not wants_piece():
        alarming = signals.is_alarming(shows["dead"], shows["stranded"])
        poll_url = _poll_url(_version(digest, alarming, made_at), asks)
        return render_template(whole, **shows, **fixed, alarming=alarming, poll_url=poll_url)
    context = {**shows, **fixed, "poll_url": _poll_url(_VERSION, asks)}
    if "for_everybody" in g:
        old: Piece | None = g.for_everybody
        if old is not None and old.digest == digest:
            return old._replace(made_at=made_at)
        return _rendered(whole, piece, context, digest, made_at)
    if _is_known(digest, signals.is_alarming(shows["dead"], shows["stranded"])):
        return "", 204
    with for_everybody():
        made = _rendered(whole, piece, context, digest, made_at)
    return told(made)


@contextmanager
def for_everybody(old: Piece | None = None) -> Iterator[None]:
    """Render without what belongs to one reader: placeholders stand for the token of the forms and the version.

    old: the piece as it was, taken again by `live` when nothing changed.
    """
    g.for_everybody, g.masked_token = old, _TOKEN  # views/tokens.py takes the token from there
    try:
        yield
    finally:
        del g.for_everybody, g.masked_token


def told(piece: Piece) -> Any:
    """The piece with the reader's own token and what the tab shows of trouble; 204 when it shows this, or what is newer."""
    alarming = signals.is_alarming(piece.dead, piece.stranded)
    if _is_known(piece.digest, alarming) or piece.made_at < _known_since():
        return "", 204
    text = piece.text.replace(_VERSION, _version(piece.digest, alarming, piece.made_at))
    if _TOKEN in text:
        text = text.replace(_TOKEN, tokens.current())
    return make_response(text, trigger=signals.event(piece.title, alarming))


def done(sentence: str, leave: str | None = None, undo: Undo | None = None) -> Response:
    """The action is done; say so. htmx shows a toast and refreshes what it shows; a plain form goes back.

    leave: where to go because the page that asked is no longer the right one.
    undo: the way back, offered beside the sentence.
    """
    if leave is not None or not request.htmx:  # type: ignore[attr-defined]
        say_next(sentence, undo)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(leave or back(url_for(f"{request.blueprint}.index")), 303)  # type: ignore[return-value]
    if leave is not None:
        return make_response("", 204, redirect=leave)
    return make_response("", 204, trigger=toast(sentence, undo=undo) | {"changed": True})


def say_next(sentence: str, undo: Undo | None = None, link: tuple[str, str] | None = None) -> None:
    """Say it on the page that comes next. link: words and address of what one may want to do then."""
    flash({"text": sentence, "undo": undo._asdict() if undo else None, "link": link})  # type: ignore[arg-type]


def toast(sentence: str, kind: str = "good", undo: Undo | None = None) -> dict[str, Any]:
    """The event that makes toasts.js show a toast, until something else is done to what it is about."""
    about = request.script_root + "/".join(request.path.split("/")[:3])  # /queues/mail, /jobs/one
    said = {"text": visible.marked(sentence[:500]), "kind": kind, "undo": undo._asdict() if undo else None}
    return {"toast": said | {"about": about}}


def refuse(sentence: str, status: int) -> Response:
    """For htmx: keep the page as it is and say in a toast why nothing was done."""
    answer = make_response(sentence, status, reswap="none", trigger=toast(sentence, "bad"))
    answer.mimetype = "text/plain"
    return answer


def confirm(**words: Any) -> str:
    """Ask before an action that cannot be taken back: a dialog for htmx, else a page. The POST goes to this URL."""
    if wants_piece():
        return render_template("_confirm.html", action=_here(), **words)
    return page("confirm.html", action=_here(), **words)


def ask_instead(question: str) -> Any:
    """A question as the answer to a press that would have changed something: a dialog for htmx, else the page."""
    return make_response(question, retarget="#dialog", reswap="innerHTML") if wants_piece() else question


def back(otherwise: str) -> str:
    """The page of ours that the form was on; `otherwise` when it does not say, or when it is the form's own page."""
    came_from = guards.split(request.referrer or "")
    if came_from is None or came_from.netloc != request.host or came_from.path == _here():
        return otherwise
    if not came_from.path.startswith("/") or came_from.path.startswith("//"):
        return otherwise
    return came_from.path + (f"?{came_from.query}" if came_from.query else "")


def _here() -> str:
    """The path asked for, as the browser knows it."""
    return request.script_root + request.path


def _rendered(whole: str, piece: str, context: dict[str, Any], digest: str, made_at: int) -> Piece:
    dead = context["dead"]
    text = render_template(piece, **context) + render_template("_dead_count.html", dead=dead, apart=True)
    return Piece(text, digest, made_at, signals.title(whole, context), dead, context["stranded"])


# --- the version of what a tab shows: a digest of it, whether it alarms this reader, and when it was made


def _digest(shows: dict[str, Any]) -> str:
    text = json.dumps(shows, default=str, sort_keys=True)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _version(digest: str, alarming: bool, made_at: int) -> str:
    return f"{digest}{'a' if alarming else ''}.{made_at}"


def _is_known(digest: str, alarming: bool) -> bool:
    return request.args.get("v", "").startswith(_version(digest, alarming, 0).removesuffix("0"))


def _known_since() -> int:
    """When what the tab shows was made, by any process; 0 when it does not say, or tells of a time to come."""
    text = request.args.get("v", "").partition(".")[2]
    at = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
    return at if at <= models.now_ms() else 0


def _poll_url(version: str, asks: dict[str, Any] | None) -> str:
    asks = {"v": version, **(asks or {})}
    given = {name: values for name, values in request.args.lists() if name not in asks}
    return url_for(request.endpoint, **(request.view_args or {}), **given, **asks)  # type: ignore[arg-type]
