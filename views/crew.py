"""The workers as their page shows them: plain values, every decision taken. Only instants, so that what stands still is
no news.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import workers
from engine import forecast, queries, roster, survivors
from engine.forecast import Forecast
from engine.roster import Crew
from models import Supervisor, Worker
from views import words

FRESH_MS = 10_000  # a beat, or a look at what is used, is made every 5 s


def crews(now: int) -> list[dict[str, Any]]:
    """Each host: how many workers are wanted and there, its supervisor, what each does, when those who leave are gone."""
    runs = forecast.by_worker()
    return [_crew(crew, runs, now) for crew in roster.crews()]


def ended(found: Sequence[Worker]) -> list[dict[str, Any]]:
    """Workers that have ended: why, when, how long they lived, and who took their place."""
    heirs = roster.heirs(found)
    return [
        {
            "id": worker.id,
            "host": worker.host,
            "pid": worker.pid,
            "status": worker.status,
            "reason": worker.reason or "no reason is known",
            "stopped_at": worker.stopped_at,
            "lived_ms": None if worker.started_at is None else (worker.stopped_at or 0) - worker.started_at,
            "heir": heirs.get(worker.pk),
        }
        for worker in found
    ]


def leaving(forecasts: Sequence[Forecast], now: int) -> dict[str, Any]:
    """When jobs will have ended whose workers are told to leave, or would be."""
    found = forecast.outlook(forecasts, now)
    return {
        "running": found.running,
        "on_time": found.on_time,
        "unknown": found.unknown,
        "last": _run(found.last, now) if found.last else None,
        "overdue": [_run(late, now) for late in found.overdue[:5]],
        "more_overdue": max(0, len(found.overdue) - 5),
    }


def _crew(crew: Crew, runs: Mapping[str, Forecast], now: int) -> dict[str, Any]:
    drained = [worker for worker in crew.workers if worker.desired != "run"]
    is_silent = crew.supervisor is not None and now - crew.supervisor.beat_at > queries.SILENT_MS
    return {
        "host": crew.host,
        "wanted": crew.wanted,
        "ready": crew.ready,
        "leaving": crew.leaving,
        "supervisor": _supervisor(crew.host, crew.supervisor, now),
        "outlook": leaving([runs[worker.id] for worker in drained if worker.id in runs], now) if drained else None,
        "workers": [
            _worker(worker, runs.get(worker.id), is_silent, now)
            | ({"status": "lost"} if worker.pk in crew.dead else {})
            for worker in crew.workers
        ],
    }


def _supervisor(host: str, supervisor: Supervisor | None, now: int) -> dict[str, Any] | None:
    """state: alive, silent (its beat stays away) or gone. beat_at: None while it is fresh, for it changes all the time."""
    here = host == socket.gethostname()
    if supervisor is None or (here and not workers.supervisor_lives()):
        return {"state": "gone", "beat_at": supervisor.beat_at if supervisor else None}
    age = now - supervisor.beat_at
    return {
        "state": "silent" if age > queries.SILENT_MS else "alive",
        "beat_at": supervisor.beat_at if age > FRESH_MS else None,
        "pid": supervisor.pid,
        "started_at": supervisor.started_at,
        "managed": supervisor.managed,
        "note": supervisor.note,
    }


def _worker(worker: Worker, run: Forecast | None, is_silent: bool, now: int) -> dict[str, Any]:
    status = worker.status
    if status == "running":
        status = "busy" if run else "idle"
    return {
        "id": worker.id,
        "pid": worker.pid,
        "status": status,
        "wish": worker.desired,
        "note": survivors.note(worker),
        "started_at": worker.started_at,
        "early_deaths": worker.early_deaths,
        "start_at": worker.start_after if worker.started_at is None and worker.start_after > now else None,
        "heir_of": f"w{worker.heir_of}" if worker.heir_of else None,
        "run": _run(run, now) if run else None,
        "own": _usage(worker.rss_kb, worker.cpu_ms),
        "job": _usage(worker.job_rss_kb, worker.job_cpu_ms) if run else None,
        "sample": _sample(worker, is_silent, now),
    }


def _run(run: Forecast, now: int) -> dict[str, Any]:
    return {
        "id": run.job_id,
        "since": run.since,
        "usual": None if run.usual_ms is None else forecast.about(run.usual_ms),
        "due_at": run.due_at,
        "overdue": run.is_overdue(now),
        "times": run.times_longer(now),
    }


def _usage(rss_kb: int | None, cpu_ms: int | None) -> dict[str, str] | None:
    if rss_kb is None or cpu_ms is None:
        return None
    return {"memory": words.size(rss_kb * 1024), "cpu": words.duration(cpu_ms)}


def _sample(worker: Worker, is_silent: bool, now: int) -> dict[str, Any] | None:
    """When it was looked at. What does not change is looked at all the same, while the supervisor beats."""
    if worker.sampled_at is None:
        return None
    is_fresh = now - worker.sampled_at <= FRESH_MS
    return {
        "at": worker.sampled_at,
        "word": "last sampled" if is_silent else "sampled" if is_fresh else "unchanged for",
    }
