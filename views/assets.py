"""The few files pages load: static/ and htmx. Read once at start, served under the hash of their content and cached for ever."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import os
from typing import NamedTuple

from flask import Blueprint, Flask, Response, abort, current_app, request, url_for

from models import ROOT

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FOLDER = os.path.join(ROOT, "static")
HTMX = "htmx.js"

bp = Blueprint("assets", __name__, url_prefix="/assets")


class Asset(NamedTuple):
    name: str
    content: bytes
    packed: bytes
    hash: str
    integrity: str


def init_app(app: Flask) -> None:
    files = {name: os.path.join(FOLDER, name) for name in os.listdir(FOLDER) if name.rpartition(".")[2] in TYPES}
    htmx = htmx_path()
    if htmx:
        files[HTMX] = htmx
    else:
        app.logger.warning("htmx is not installed (package django-htmx): the panel works, but does not update itself.")
    app.extensions["assets"] = {name: _read(name, path) for name, path in files.items()}
    app.jinja_env.globals.update(asset_url=asset_url, asset_integrity=asset_integrity)


def htmx_path() -> str | None:
    """Where the installed package django-htmx keeps htmx; it is never imported. None when it is not there."""
    spec = importlib.util.find_spec("django_htmx")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = os.path.join(folder, "static", "django_htmx", "htmx-2.min.js")
        if os.path.exists(path):
            return path
    return None


def asset_url(name: str) -> str | None:
    """The address of a file, None when it is not installed."""
    asset = current_app.extensions["assets"].get(name)
    return url_for("assets.show", hash=asset.hash, name=name) if asset else None


def asset_integrity(name: str) -> str:
    return current_app.extensions["assets"][name].integrity


@bp.get("/<hash>/<name>")
def show(hash: str, name: str) -> Response:
    asset = current_app.extensions["assets"].get(name)
    if asset is None or asset.hash != hash:
        abort(404)
    packed = "gzip" in request.accept_encodings
    answer = Response(asset.packed if packed else asset.content, mimetype=TYPES[name.rpartition(".")[2]])
    if packed:
        answer.content_encoding = "gzip"
    answer.vary.add("Accept-Encoding")
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


def _read(name: str, path: str) -> Asset:
    with open(path, "rb") as file:
        content = file.read()
    integrity = "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode()
    return Asset(name, content, gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:12], integrity)
