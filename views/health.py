"""Whether the panel can do its work: for load balancers and process runners."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

import models
from engine.errors import Unavailable

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def show() -> Any:
    try:
        models.db.execute_sql("SELECT 1 FROM job LIMIT 1").fetchone()
    except Unavailable:
        return {"ok": False}, 503
    return {"ok": True}
