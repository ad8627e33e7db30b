"""The first page: what is where and where it goes, what ended lately, what is wrong, who works."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

import models
from engine import alarms, figures, pace, queries, queues
from engine.figures import Figures
from models import db
from views import answers, charts, rows, shared, tiles, words

bp = Blueprint("overview", __name__)

SPANS = {"1h": "hour", "24h": "24 hours", "7d": "7 days"}
_PARTS = {"1h": "minute", "24h": "hour", "7d": "six hours"}
_TICKS = {
    "1h": ("60 min ago", "45", "30", "15", "now"),
    "24h": ("24 h ago", "18", "12", "6", "now"),
    "7d": (
        "7 days ago",
        "5\N{VULGAR FRACTION ONE QUARTER}",
        "3\N{VULGAR FRACTION ONE HALF}",
        "1\N{VULGAR FRACTION THREE QUARTERS}",
        "now",
    ),
}
_CELLS = 60  # workers shown one by one
_LOST_MS = 10 * 60_000  # so long a worker that was lost is shown among those that live


@bp.get("/")
@shared.piece
def index() -> Any:
    window = figures.window(request.args.get("window"))
    with db.snapshot():  # the counts agree with the lists
        shows = _shows(window, models.now_ms())
        return answers.live("overview/index.html", "overview/_live.html", shows, spans=SPANS)


def _shows(window: figures.Window, now: int) -> dict[str, Any]:
    found, standings = figures.of(window, now), queues.standings()
    counts, workers = queries.counts(), rows.living_workers()
    foreseen = pace.foreseen(standings, now)
    return {
        "window": window.name,
        "span": SPANS[window.name],
        "is_new": not any((*counts.values(), *found.total[:2], *found.before[:2])),
        "alarms": alarms.ring(standings, now),
        "tiles": [
            *tiles.now(
                counts,
                sum(worker["status"] != "lost" for worker in workers),
                foreseen,
                sum(queue.delayed for queue in standings),
            ),
            *tiles.lately(found, counts["dead"], SPANS[window.name]),
            tiles.waiting(pace.backlog(standings)),
        ],
        "forecast": foreseen.sentence() if foreseen else None,
        "charts": _charts(found) if any(found.total[:2]) else None,
        "crew": _crew(workers),
        "workers": [*_lost(now), *workers][:_CELLS],
        "running": rows.job_rows(queries.running(limit=8)),
        "failures": rows.job_rows(queries.last_failures(limit=8)),
    }


# --- what ended


def _charts(found: Figures) -> dict[str, Any]:
    throughput = charts.throughput(found)
    name = found.window.name
    return {
        "throughput": throughput,
        "durations": charts.durations(found),
        "ticks": _TICKS[name],
        "part": _PARTS[name],
        "ended": _ended(found, throughput["most"]),
        "took": _took(found),
        "lines": [(bar.at, *map(_whole, bar.sums)) for bar in found.bars if any(bar.sums[:2])],
    }


def _ended(found: Figures, most: int) -> str:
    total, part = found.total, {"minute": "one minute", "hour": "one hour"}.get(_PARTS[found.window.name], "six hours")
    return f"{total.completed:,} completed, {total.failed:,} failed; at most {most:,} in {part}."


def _took(found: Figures) -> str:
    half, slow = found.total.p50_ms, found.total.p95_ms
    if half is None or slow is None:
        return "All of these runs were lost with their workers."
    return f"Half ended within about {words.duration(round(half))}, 95 % within {words.duration(round(slow))}."


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


# --- who works


def _crew(workers: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """How many workers are in each state."""
    order = ("busy", "idle", "starting", "draining", "stopping", "lost")
    found = [(state, sum(worker["status"] == state for worker in workers)) for state in order]
    return [(state, number) for state, number in found if number]


def _lost(now: int) -> list[dict[str, Any]]:
    ended = [rows.worker_row(worker) for worker in queries.workers(ended=True, limit=10)]
    return [worker for worker in ended if worker["status"] == "lost" and now - worker["stopped_at"] < _LOST_MS]
