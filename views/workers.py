"""The workers: who lives, what each does, how others ended; start, scale, drain, stop and force-stop."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

import models
import workers
from engine import forecast, queries, roster
from engine.errors import InvalidInput
from views import answers, crew, shared, shell, words

CHANGING = ("starting", "draining", "stopping")
_LATELY_MS = 24 * 3600 * 1000

bp = Blueprint("workers", __name__, url_prefix="/workers")


@bp.get("")
@shared.piece
def index() -> Any:
    now = models.now_ms()
    end, reason, before = (request.args.get(name, "").strip() or None for name in ("end", "reason", "before"))
    crews = crew.crews(now)
    ended, older = roster.ended(end, reason, before=before)
    everybody = [worker for one in crews for worker in one["workers"]]
    shows = {
        "crews": crews,
        "living": len(everybody),
        "wanted": sum(one["wanted"] for one in crews),
        "supervised": workers.supervisor_lives(),
        "waiting": queries.counts()["pending"],
        "changing": any(worker["status"] in CHANGING for worker in everybody),
        "stopping": any(worker["status"] == "stopping" for worker in everybody),
        "ended": crew.ended(ended),
        "older": older,
        "first": before is None,
        "filters": {"end": end, "reason": reason},
        "deaths": roster.deaths(now - now % 60_000 - _LATELY_MS),
    }
    return answers.live("workers/index.html", "workers/_list.html", shows)


@bp.post("/start")
def start() -> Response:
    started = workers.start(_count("Say how many workers to start, as a whole number."))
    return answers.done(f"{words.plural(len(started), 'worker')} will start: {_names(started)}.")


@bp.post("/scale")
def scale() -> Response:
    count = _count("Say how many workers shall take jobs, as a whole number.")
    done = workers.scale(count)
    if done.started:
        change = f"{_names(done.started)} will start"
    elif done.drained:
        change = f"{_names(done.drained)} will leave after the present job"
    else:
        return answers.done(f"{words.plural(count, 'worker')} {'takes' if count == 1 else 'take'} jobs already.")
    undo = answers.Undo(f"Scale back to {done.before}", url_for("workers.scale"), {"count": str(done.before)})
    return answers.done(f"Scaled from {done.before} to {words.plural(count, 'worker')}: {change}.", undo=undo)


@bp.get("/drain")
def ask_drain_all() -> str:
    living = words.plural(len(queries.workers()), "worker")
    outlook = " ".join(forecast.sentences([*forecast.by_worker().values()], models.now_ms()))
    return answers.confirm(
        title="Drain all workers?",
        sentence=f"{living} finish the job at hand and leave. Nothing that runs is ended; what waits goes on waiting. {outlook}",
        verb=f"Drain {living}",
        line=shell.line("worker", "drain"),
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
    living = queries.workers()
    busy = sum(worker["current_job_id"] is not None for worker in living)
    return answers.confirm(
        title="Stop all workers now?",
        sentence=f"{_ended(busy)} To let commands finish, drain instead.",
        verb=f"Stop {words.plural(len(living), 'worker')} now",
        line=shell.line("worker", "stop", "--now"),
        back=url_for("workers.index"),
    )


@bp.get("/<worker_id>/stop")
def ask_stop(worker_id: str) -> str:
    return answers.confirm(
        title=f"Stop worker {worker_id} now?",
        sentence=f"{_runs(worker_id, 'ended')} and its job goes back to the queue. To let it finish, drain instead.",
        verb="Stop worker now",
        line=shell.line("worker", "stop", "--now", worker_id),
        back=url_for("workers.index"),
    )


@bp.post("/stop")
def stop_all() -> Response:
    return answers.done(_stopping(workers.stop()), leave=_home())


@bp.post("/<worker_id>/stop")
def stop(worker_id: str) -> Response:
    return answers.done(_stopping(workers.stop(worker_id)), leave=_home())


@bp.get("/force-stop")
def ask_force_stop_all(mistake: str | None = None) -> str:
    living = words.plural(len(queries.workers()), "worker")
    return answers.confirm(
        title="Force-stop all workers?",
        sentence="All that they run is killed at once: nothing is asked to finish or to clean up. "
        "The jobs go back to the queue. Stop them first; this is for what a stop does not end.",
        verb=f"Force-stop {living}",
        typed=living,
        mistake=mistake,
        line=shell.line("worker", "stop", "--force"),
        back=url_for("workers.index"),
    )


@bp.get("/<worker_id>/force-stop")
def ask_force_stop(worker_id: str, mistake: str | None = None) -> str:
    return answers.confirm(
        title=f"Force-stop worker {worker_id}?",
        sentence=f"{_runs(worker_id, 'killed')} at once: it is not asked to finish or to clean up. "
        "The job goes back to the queue. Stop it first; this is for what a stop does not end.",
        verb="Force-stop worker",
        typed=worker_id,
        mistake=mistake,
        line=shell.line("worker", "stop", "--force", worker_id),
        back=url_for("workers.index"),
    )


@bp.post("/force-stop")
def force_stop_all() -> Any:
    living = words.plural(len(queries.workers()), "worker")
    if not _is_typed(living):
        return ask_force_stop_all(f"Type {living}, as they are that many now."), 422
    return answers.done(_stopping(workers.force_stop(), "are killed"), leave=_home())


@bp.post("/<worker_id>/force-stop")
def force_stop(worker_id: str) -> Any:
    if not _is_typed(worker_id):
        return ask_force_stop(worker_id, f"Type {worker_id} to say that you mean this worker."), 422
    return answers.done(_stopping(workers.force_stop(worker_id), "is killed"), leave=_home())


def _count(otherwise: str) -> int:
    text = request.form.get("count", "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise InvalidInput(otherwise, "count")
    return int(text)


def _is_typed(expected: str) -> bool:
    return request.form.get("typed", "").strip().lower() == expected


def _runs(worker_id: str, fate: str) -> str:
    job_id = next((worker["current_job_id"] for worker in queries.workers() if worker["id"] == worker_id), None)
    return f"It runs job {job_id}: that command is {fate}" if job_id else f"If it runs a command, that is {fate}"


def _ended(commands: int) -> str:
    if commands == 0:
        return "No command runs now. One that begins meanwhile is ended, and its job goes back to the queue."
    jobs, wait = ("its job goes", "waits") if commands == 1 else ("their jobs go", "wait")
    said = f"{words.plural(commands, 'running command')} will be ended"
    return f"{said}; {jobs} back to the queue and {wait} for another worker."


def _draining(ids: list[str]) -> str:
    return f"{_names(ids)} will leave after the present job." if ids else "No worker lives; there is nothing to drain."


def _stopping(ids: list[str], what: str = "will stop now") -> str:
    return f"{_names(ids)} {what}." if ids else "No worker lives; there is nothing to stop."


def _home() -> str | None:
    """Without htmx the question was a page of its own; it is not the place to go back to."""
    return None if answers.wants_piece() else url_for("workers.index")


def _names(ids: list[str]) -> str:
    shown = ids if len(ids) < 6 else [*ids[:4], f"{len(ids) - 4} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
