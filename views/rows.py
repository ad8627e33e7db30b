"""Jobs, attempts and workers as the pages show them: plain values, every decision taken."""

from __future__ import annotations

import json
from typing import Any

import models
from engine import queries, wording
from models import Job
from views import shell, words

ACTIONS = {
    "pending": ("cancel", "delete"),
    "processing": ("cancel",),
    "completed": ("delete",),
    "failed": ("retry", "cancel", "delete"),
    "dead": ("retry", "delete"),
    "cancelled": ("retry", "delete"),
}
_COMMAND_SHOWN = 240  # characters of a command that a list shows


def job_row(job: Job, now: int) -> dict[str, Any]:
    """One line of a list of jobs."""
    words_before, instant, shows = _when(job, now)
    return {
        "pk": job.pk,
        "id": job.id,
        "state": job.state,
        "command": job.command[:_COMMAND_SHOWN] + ("…" if len(job.command) > _COMMAND_SHOWN else ""),
        "queue": job.queue,
        "tags": _tags(job),
        "priority": job.priority,
        "attempts": _attempts(job),
        "error": (job.last_error or "")[:300] if job.state in ("failed", "dead") else "",
        "when": words_before,
        "at": instant,
        "shows": shows,
        "duration_ms": job.duration_ms,
        "worker": job.locked_by,
        "cancelling": bool(job.cancel_requested),
        "actions": _list_actions(job, now),
    }


def job_details(job: Job, now: int) -> dict[str, Any]:
    """All that the page of one job says about it."""
    return job_row(job, now) | {
        "command": job.command,
        "error": _untold(job),
        "crashes": job.crashes,
        "max_retries": job.max_retries,
        "timeout_ms": job.timeout_ms,
        "created_at": job.created_at,
        "next_run_at": job.next_run_at,
        "finished_at": job.finished_at,
        "return_code": job.return_code,
        "cwd": job.cwd,
        "env_names": list(json.loads(job.env)) if job.env else [],
        "run": job.run,
        "origin": job.origin,
        "look": shell.line("show", job.id),
        "logs": shell.line("logs", *(("--follow",) if job.state == "processing" else ()), job.id),
    }


def standing(job: Job, now: int) -> dict[str, Any]:
    """Where the job stands, in one sentence: words, then an instant or None, then the word between them."""
    text, link, instant = _STANDINGS[job.state](job, now)
    return {"text": text, "link": link, "at": instant}


def actions(job: Job, now: int) -> list[dict[str, str]]:
    """What can be done with the job now, each with the line that does it in a shell; what destroys comes last."""
    names = () if job.cancel_requested else ACTIONS[job.state]
    if job.state in ("pending", "failed") and job.next_run_at > now:
        names = ("run-now", *names)
    lines = {name: shell.line(name, job.id) for name in names} | {"again": shell.line("enqueue", "--from", job.id)}
    order = ("run-now", "retry", "cancel", "again", "delete")
    return [{"name": name, "line": lines[name]} for name in order if name in lines]


def job_rows(jobs: list[Job]) -> list[dict[str, Any]]:
    """The lines of a list of jobs."""
    now = models.now_ms()
    return [job_row(job, now) for job in jobs]


def living_workers() -> list[dict[str, Any]]:
    """The workers that live, and what each does."""
    return [worker_row(worker) for worker in queries.workers()]


def worker_row(worker: dict[str, Any]) -> dict[str, Any]:
    """One worker. What changes with every heartbeat is left out: it is no news."""
    instants = ("started_at", "stopped_at", "job_started_at")
    kept = ("id", "host", "pid", "status", "desired", "current_job_id", "reason")
    return {name: worker[name] for name in kept} | {name: words.instant(worker[name]) for name in instants}


def _list_actions(job: Job, now: int) -> tuple[str, ...]:
    """What a list offers. A failed job waits for its next attempt: there that is run now, and is no retry from 0."""
    names = () if job.cancel_requested else ACTIONS[job.state]
    if job.state != "failed":
        return names
    return tuple("run-now" if name == "retry" else name for name in names if name != "retry" or job.next_run_at > now)


def _attempts(job: Job) -> str:
    return wording.attempts(job.state, job.attempts, job.max_retries, job.last_error)


def _tags(job: Job) -> list[str]:
    return json.loads(job.tags) if job.tags else []


def _untold(job: Job) -> str | None:
    """The last error, when the sentence on where the job stands does not say all of it."""
    if job.state not in ("pending", "failed", "dead"):
        return None
    is_told = job.state != "pending" and words.ending(job.last_error) == job.last_error
    return None if is_told else job.last_error


def _when(job: Job, now: int) -> tuple[str, int, str]:
    """The instant that matters in this state: what it is, when, and how to show it."""
    if job.state == "processing":
        return "runs for", job.locked_at or job.updated_at, "elapsed"
    if job.state in ("pending", "failed"):
        if job.next_run_at > now:
            return ("retry" if job.state == "failed" else "runs"), job.next_run_at, "ahead"
        return "waits for", max(job.next_run_at, job.created_at), "elapsed"
    return job.state, job.finished_at or job.updated_at, "ago"


def _pending(job: Job, now: int) -> tuple[str, str, int | None]:
    if job.next_run_at > now:
        return "Waits for its time; runs", "at", job.next_run_at
    if job.crashes:
        return "Given back after its worker died; waits", "since", max(job.next_run_at, job.created_at)
    return "Waits to be run", "since", max(job.next_run_at, job.created_at)


def _processing(job: Job, now: int) -> tuple[str, str, int | None]:
    if job.cancel_requested:
        return "Is being cancelled: its command is told to end", "", None
    return f"Running on {job.locked_by}, attempt {_attempts(job)},", "since", job.locked_at


def _completed(job: Job, now: int) -> tuple[str, str, int | None]:
    return f"Completed in {words.duration(job.duration_ms)}", "at", job.finished_at


def _failed(job: Job, now: int) -> tuple[str, str, int | None]:
    retry = f"{_failure(job)}; attempt {job.attempts + 1} of {job.max_retries + 1}"
    return (retry, "at", job.next_run_at) if job.next_run_at > now else (f"{retry} is due", "", None)


def _dead(job: Job, now: int) -> tuple[str, str, int | None]:
    if job.crashes and "crash" in (job.last_error or ""):
        return f"Given up: {job.last_error}; dead", "since", job.finished_at
    return (
        f"{_failure(job)} after {words.plural(job.attempts, 'attempt')}, no retry left; dead",
        "since",
        job.finished_at,
    )


def _cancelled(job: Job, now: int) -> tuple[str, str, int | None]:
    return "Cancelled", "at", job.finished_at


def _failure(job: Job) -> str:
    cause = words.ending(job.last_error)
    return f"Failed with {cause}" if cause.startswith("exit code") else f"Failed: {cause}"


_STANDINGS = {
    "pending": _pending,
    "processing": _processing,
    "completed": _completed,
    "failed": _failed,
    "dead": _dead,
    "cancelled": _cancelled,
}
