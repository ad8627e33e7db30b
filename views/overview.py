"""The first page: how many jobs are where, what runs, who works, what failed last."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from engine import queries
from views import answers, rows

bp = Blueprint("overview", __name__)


@bp.get("/")
def index() -> Any:
    counts = queries.counts()
    workers = rows.living_workers()
    shows = {
        "counts": counts,
        "total": sum(counts.values()),
        "workers": workers,
        "stranded": counts["pending"] + counts["failed"] if not workers else 0,
        "running": rows.job_rows(queries.running(limit=10)),
        "failures": rows.job_rows(queries.last_failures(limit=8)),
    }
    return answers.live("overview/index.html", "overview/_live.html", shows)
