"""The workers: who lives, what each does, start, drain and stop."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

import workers
from engine import queries
from engine.errors import InvalidInput
from views import answers, rows, words

CHANGING = ("starting", "draining", "stopping")

bp = Blueprint("workers", __name__, url_prefix="/workers")


@bp.get("")
def index() -> Any:
    living = rows.living_workers()
    shows = {
        "workers": living,
        "ended": [rows.worker_row(worker) for worker in queries.workers(ended=True, limit=10)],
        "supervised": workers.supervisor_lives(),
        "supervisors": [_supervisor(supervisor) for supervisor in queries.supervisors()],
        "waiting": queries.counts()["pending"],
        "changing": any(worker["status"] in CHANGING for worker in living),
    }
    return answers.live("workers/index.html", "workers/_list.html", shows)


@bp.post("/start")
def start() -> Response:
    text = request.form.get("count", "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise InvalidInput("Say how many workers to start, as a whole number.", "count")
    started = workers.start(int(text))
    return answers.done(f"{words.plural(len(started), 'worker')} will start: {_names(started)}.")


@bp.get("/drain")
def ask_drain_all() -> str:
    living = words.plural(len(queries.workers()), "worker")
    return answers.confirm(
        title="Drain all workers?",
        sentence=f"{living} finish the job at hand and leave. Nothing that runs is ended; what waits goes on waiting.",
        verb=f"Drain {living}",
        back=url_for("workers.index"),
        destroys=False,
    )


@bp.post("/drain")
def drain_all() -> Response:
    return answers.done(_draining(workers.drain()))


@bp.post("/<worker_id>/drain")
def drain(worker_id: str) -> Response:
    return answers.done(_draining(workers.drain(worker_id)))


@bp.get("/stop")
def ask_stop_all() -> str:
    living = rows.living_workers()
    busy = sum(worker["current_job_id"] is not None for worker in living)
    return answers.confirm(
        title="Stop all workers?",
        sentence=f"{_ended(busy)} To let commands finish, drain instead.",
        verb=f"Stop {words.plural(len(living), 'worker')}",
        back=url_for("workers.index"),
    )


@bp.get("/<worker_id>/stop")
def ask_stop(worker_id: str) -> str:
    job_id = next((worker["current_job_id"] for worker in queries.workers() if worker["id"] == worker_id), None)
    runs = f"It runs job {job_id}: that command is ended" if job_id else "If it runs a command, that is ended"
    return answers.confirm(
        title=f"Stop worker {worker_id}?",
        sentence=f"{runs} and its job goes back to the queue. To let it finish, drain instead.",
        verb="Stop worker",
        back=url_for("workers.index"),
    )


@bp.post("/stop")
def stop_all() -> Response:
    return answers.done(_stopping(workers.stop()), leave=_home())


@bp.post("/<worker_id>/stop")
def stop(worker_id: str) -> Response:
    return answers.done(_stopping(workers.stop(worker_id)), leave=_home())


def _ended(commands: int) -> str:
    if commands == 0:
        return "No command runs now. One that begins meanwhile is ended, and its job goes back to the queue."
    jobs = "its job goes" if commands == 1 else "their jobs go"
    return f"{words.plural(commands, 'running command')} will be ended; {jobs} back to the queue and wait{'s' if commands == 1 else ''} for another worker."


def _draining(ids: list[str]) -> str:
    return f"{_names(ids)} will leave after the present job." if ids else "No worker lives; there is nothing to drain."


def _stopping(ids: list[str]) -> str:
    return f"{_names(ids)} will stop now." if ids else "No worker lives; there is nothing to stop."


def _home() -> str | None:
    """Without htmx the question was a page of its own; it is not the place to go back to."""
    return None if answers.wants_piece() else url_for("workers.index")


def _names(ids: list[str]) -> str:
    shown = ids if len(ids) < 6 else [*ids[:4], f"{len(ids) - 4} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _supervisor(supervisor: Any) -> dict[str, Any]:
    kept = ("host", "pid", "started_at", "managed", "note")
    return {name: getattr(supervisor, name) for name in kept}
