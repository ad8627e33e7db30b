"""The panel behind a reverse proxy: whose word is taken for caller, scheme and host, and the path it lives under."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from engine.errors import InvalidInput

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def init_app(app: Flask) -> None:
    """Take the word of as many proxies as env QUEUECTL_PROXIES says (none), and live under QUEUECTL_PREFIX ("")."""
    count, prefix = _proxies(), _prefix()
    app.wsgi_app = _UnderPrefix(app.wsgi_app, prefix)  # type: ignore[method-assign]
    if count:
        told = dict.fromkeys(("x_for", "x_proto", "x_host", "x_prefix"), count)
        app.wsgi_app = ProxyFix(app.wsgi_app, **told)  # type: ignore[method-assign]


class _UnderPrefix:
    """Answers under a prefix: the one it was told, which the path still has, or a proxy's, which has cut it off."""

    def __init__(self, app: Any, prefix: str):
        self.app = app
        self.prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if self.prefix and f"{path}/".startswith(f"{self.prefix}/"):
            environ["PATH_INFO"] = path[len(self.prefix) :] or "/"
        environ["SCRIPT_NAME"] = self.prefix or _sound(environ.get("SCRIPT_NAME", ""))
        return self.app(environ, start_response)


def _sound(prefix: str) -> str:
    """The prefix a proxy named, "" unless it is a plain path: it becomes a part of every link."""
    prefix = prefix.rstrip("/")
    return prefix if _PATH.fullmatch(prefix) else ""


def _proxies() -> int:
    text = os.environ.get("QUEUECTL_PROXIES", "0").strip()
    if not (text.isascii() and text.isdigit() and int(text) < 10):
        raise InvalidInput("QUEUECTL_PROXIES must be the number of proxies in front of the panel, 0 to 9.")
    return int(text)


def _prefix() -> str:
    text = os.environ.get("QUEUECTL_PREFIX", "").strip().rstrip("/")
    if text and not _PATH.fullmatch(text):
        raise InvalidInput("QUEUECTL_PREFIX must be a path such as /queue.")
    return text
