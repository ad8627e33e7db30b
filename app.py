"""The panel: `gunicorn "app:create_app()"`. Puts together the extensions, the guards, the error pages and the pages."""

from __future__ import annotations

import startup  # noqa: F401 - first, for an old Python can load nothing else

# isort: split
import hashlib
from typing import Any

from flask import Flask
from htmx_flask import Htmx
from jinja2 import StrictUndefined

import models
from engine.errors import Unavailable
from views import (
    BLUEPRINTS,
    assets,
    cookies,
    errors,
    guards,
    packing,
    place,
    preferences,
    proxies,
    shared,
    shortcuts,
    signals,
    supervision,
    tokens,
    words,
)

makes_database = True  # where there is none; gunicorn.conf.py sets it to False for workers, which may begin long after
_MEGABYTE = 1024 * 1024
_PATIENCE_S = 5.0  # a person waits no longer for a lock


def create_app(db_url: str | None = None, **settings: Any) -> Flask:
    """The panel of the database at `db_url` (default: env QUEUECTL_DB, else queue.db beside the code).

    settings: Flask's configuration, for tests. Raises Unavailable when the database cannot be opened, InvalidInput when
    the environment says what cannot be.
    """
    _connect(db_url)
    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(_settings())
    app.config.update(settings)
    models.disconnect()  # each request opens its own with its first query
    app.teardown_appcontext(_close_database)

    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    app.session_interface = cookies.Sessions()
    Htmx(app)
    guards.init_app(app)  # before the token check: a foreign request needs no look at its form
    proxies.init_app(app)  # around the guards, which judge the host that a proxy says
    tokens.Tokens(app)
    supervision.init_app(app)
    packing.init_app(app)
    errors.init_app(app)
    words.init_app(app)
    assets.init_app(app)
    preferences.init_app(app)
    place.init_app(app)
    shortcuts.init_app(app)
    signals.init_app(app)
    shared.init_app(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app


def _connect(db_url: str | None) -> None:
    try:
        models.connect(db_url, create=makes_database)
    except Unavailable:
        if makes_database:
            raise
        # The panel runs, so each page says what is wrong until it is mended.
    models.db.obj.patience_s = _PATIENCE_S


def _settings() -> dict[str, Any]:
    return {
        "SECRET_KEY": guards.secret_key(models.run_folder()),
        # Cookies do not know ports: two panels on one host must not take each other's.
        "SESSION_COOKIE_NAME": f"queuectl-{hashlib.sha256(models.db.database.encode()).hexdigest()[:8]}",
        "SESSION_COOKIE_SAMESITE": "Strict",
        "HOSTS": guards.trusted_hosts(),
        "WTF_CSRF_TIME_LIMIT": None,  # a page may stay open for days
        # The origin guard does what this would (a Referer check under TLS), also for browsers that send no Referer.
        "WTF_CSRF_SSL_STRICT": False,
        "MAX_CONTENT_LENGTH": _MEGABYTE,
        "MAX_FORM_MEMORY_SIZE": _MEGABYTE,
        "MAX_FORM_PARTS": 1000,
    }


def _close_database(_: BaseException | None) -> None:
    models.disconnect()
