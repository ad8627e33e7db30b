"""Who may ask, and what every answer says about itself: trusted hosts, same origin, security headers, the key."""

from __future__ import annotations

import os
import secrets
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, request

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def init_app(app: Flask) -> None:
    app.before_request(check_host)
    app.before_request(check_origin)
    app.after_request(add_headers)


def trusted_hosts() -> frozenset[str]:
    """The names this panel answers to: loopback, and those in env QUEUECTL_HOSTS (separated by commas)."""
    named = os.environ.get("QUEUECTL_HOSTS", "").replace(",", " ").lower().split()
    return frozenset(("localhost", "127.0.0.1", "::1", *(name.strip("[]") for name in named)))


def check_host() -> None:
    """Refuse a foreign Host: a page that rebinds its name to this address is "same origin" to the browser.

    Not Flask's TRUSTED_HOSTS, which cannot name an IPv6 address.
    """
    try:
        name = urlsplit(f"//{request.host}").hostname
    except ValueError:
        name = None
    if name not in current_app.config["HOSTS"]:
        abort(400, "This panel does not answer to that host name; name it in QUEUECTL_HOSTS if it should.")


def check_origin() -> None:
    """Refuse what another site's page makes a browser send. Only the safe methods are listed, never the bad ones."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        allowed = site in ("same-origin", "none")
    else:
        origin = request.headers.get("Origin")
        allowed = origin is None or urlsplit(origin).netloc == request.host  # neither header: no browser
    if not allowed:
        abort(403, "This request came from another site's page, so nothing was done.")


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
    if not os.path.exists(path):
        with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(fresh, path)  # appears whole or not at all, and only once
        except FileExistsError:
            pass
        finally:
            os.unlink(fresh)
    with open(path, "rb") as file:
        return file.read()
