"""Who may ask, and what every answer says about itself: known hosts, same origin, security headers, the key."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from flask import Flask, Response, abort, request

import models
from engine import ownership
from server.headers import HEADERS

GET_PROCESSOR_S = 5.0  # of a page; an export, which is made while it is read, is limited by number (views/export.py)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{0,5})?", re.IGNORECASE)
_VISIBLE = re.compile(r"[!-~]+")  # ASCII without blanks and controls
_CREDENTIALS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+( +[!-~][ -~]*)?")


def init_app(app: Flask) -> None:
    """Put the guards before the app. What a proxy says of the host must be in the environment by then."""
    app.wsgi_app = _KnownHosts(app.wsgi_app, app.config["HOSTS"])  # type: ignore[method-assign]
    app.before_request(check_headers)
    app.before_request(check_origin)
    app.before_request(limit_time)
    app.after_request(add_headers)
    app.after_request(end_limit)


def trusted_hosts() -> frozenset[str]:
    """The names this panel answers to: loopback, and those in env QUEUECTL_HOSTS (separated by commas)."""
    named = os.environ.get("QUEUECTL_HOSTS", "").replace(",", " ").lower().split()
    return frozenset(("localhost", "127.0.0.1", "::1", *(name.strip("[]") for name in named)))


def split(url: str) -> SplitResult | None:
    """The parts of a URL that a client sent; None when it is malformed."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # read from the text only now
    except ValueError:
        return None
    return parts if _VISIBLE.fullmatch(url) else None


class _KnownHosts:
    """Refuses a foreign or broken host before Flask sees it: with one, not even an error page can name its links.

    A page that rebinds its name to this address is "same origin" to the browser. Not Flask's TRUSTED_HOSTS, which cannot
    name an IPv6 address.
    """

    def __init__(self, app: Any, hosts: frozenset[str]):
        self.app = app
        self.hosts = hosts

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        sentence = self._trouble(environ)
        if sentence is None:
            return self.app(environ, start_response)
        page = f"{sentence}\n".encode()
        told = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(page)),
            "Cache-Control": "no-store",
        }
        start_response("400 Bad Request", [*HEADERS.items(), *told.items()])
        return [page]

    def _trouble(self, environ: dict[str, Any]) -> str | None:
        host = environ.get("HTTP_HOST", "")
        if not host and environ.get("SERVER_PROTOCOL") != "HTTP/1.0":
            return "This request names no host; send the header Host."
        named = _HOST.fullmatch(host or environ["SERVER_NAME"])
        if named is None or (named[1] or named[2]).lower() not in self.hosts or split(f"//{named[0]}") is None:
            return "This panel does not answer to that host name; name it in QUEUECTL_HOSTS if it should."
        target = environ.get("RAW_URI", "/")
        if target.startswith("/") or (target == "*" and environ["REQUEST_METHOD"] == "OPTIONS"):
            return None
        asked = split(target)
        if asked is None or asked.scheme not in ("http", "https") or asked.netloc != host:
            return "The address of this request is malformed, or of another host than the header Host names."
        return None


def check_headers() -> None:
    """Refuse malformed headers before anything is done. Not cookies: other programs on this host set some of their own."""
    given = request.headers
    origin = given.get("Origin", "null")
    if origin != "null" and not ((parts := split(origin)) and parts.scheme and parts.netloc):
        abort(400, "The header Origin of this request is malformed. Nothing was done.")
    if given.get("Referer") and split(given["Referer"]) is None:
        abort(400, "The header Referer of this request is malformed. Nothing was done.")
    if "Authorization" in given and not _CREDENTIALS.fullmatch(given["Authorization"]):
        abort(400, "The header Authorization of this request is malformed. Nothing was done.")


def check_origin() -> None:
    """Refuse what another site's page makes a browser send, but for opening a page of the panel in a tab.

    Only what is good is listed, never what is bad.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        allowed = site in ("same-origin", "none")
    else:
        allowed = request.headers.get("Origin") in (None, f"{request.scheme}://{request.host}")  # neither: no browser
    if request.method in SAFE_METHODS:
        if not (allowed or site is None or _opens_a_tab()):
            abort(403, "Another site's page asked for this, so it was not answered. Open the panel itself.")
    elif not allowed:
        abort(403, "This request came from another site's page, so nothing was done.")


def _opens_a_tab() -> bool:
    """Whether the answer will be a page of its own, which the page that led there can neither read nor hide."""
    given = request.headers
    return given.get("Sec-Fetch-Mode") == "navigate" and given.get("Sec-Fetch-Dest") == "document"


def limit_time() -> None:
    """End the question to the database that keeps a page from its answer; the page that says so is a 503."""
    models.db.limit(GET_PROCESSOR_S if request.method in SAFE_METHODS else None)


def end_limit(response: Response) -> Response:
    models.db.limit(None)
    return response


def add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if "Cache-Control" not in response.headers:  # all but the assets
        response.headers["Cache-Control"] = "no-store"
        response.vary.update(("HX-Request", "Cookie"))
    return response


def secret_key(folder: str) -> bytes:
    """The key that signs cookies: random, kept in `folder` for its owner alone, the same for every process."""
    path = os.path.join(folder, "panel.key")
    fresh = f"{path}.{secrets.token_hex(8)}"
    if not os.path.lexists(path):
        ownership.create(fresh, like=folder)
        with open(fresh, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(fresh, path)  # appears whole or not at all, and only once
        except FileExistsError:
            pass
        finally:
            os.unlink(fresh)
    with open(ownership.reopen(path, os.O_RDONLY), "rb") as file:
        return file.read()
