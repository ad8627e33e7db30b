"""Every page looks whether the supervisor that a command or this panel started has died, and starts another."""

from __future__ import annotations

from contextlib import suppress

from flask import Flask, request

import workers
from engine.errors import QueueError

_NO_PAGES = ("assets", "health", None)


def init_app(app: Flask) -> None:
    app.before_request(replace_supervisor)


def replace_supervisor() -> None:
    """Where none can be started the page says so: it shows the workers as lost."""
    if request.blueprint not in _NO_PAGES:
        with suppress(QueueError):
            workers.replace_supervisor()
