"""Cookies: for the path the panel lives under, out of reach of scripts, and over TLS alone when the reader came by it."""

from __future__ import annotations

from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface

_YEAR_S = 365 * 24 * 3600


class Sessions(SecureCookieSessionInterface):
    """Flask's own, with path and security taken from the request: a proxy may put the panel anywhere."""

    def get_cookie_path(self, app: Flask) -> str:
        return _path()

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def keep(answer: Response, name: str, value: str) -> None:
    """Let the browser keep a value for a year."""
    answer.set_cookie(
        name, value, max_age=_YEAR_S, path=_path(), secure=request.is_secure, httponly=True, samesite="Strict"
    )


def _path() -> str:
    return request.script_root or "/"
