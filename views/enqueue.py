"""The form that puts a job into the queue, and the look at it before it is stored."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

import models
from engine import config, jobs, queries
from engine.errors import Refused
from engine.plan import Plan
from engine.wording import seconds
from models import Job
from views import answers, job_form, many
from views.job_form import FIELDS
from workers import precheck, syntax

_TWICE_MS = 60 * 60 * 1000  # a form sent again this late is meant
_ATTEMPTS_SHOWN = 5

bp = Blueprint("enqueue", __name__, url_prefix="/enqueue")
bp.register_blueprint(many.bp)


@bp.get("")
def index() -> Any:
    origin = request.args.get("from")
    return _form(job_form.values_of(queries.find(origin)) if origin else dict.fromkeys(FIELDS, ""), {})


@bp.post("")
def store() -> Any:
    values = job_form.values(request.form)
    payload, mistakes = job_form.read(values, models.now_ms())
    if mistakes:
        return _form(values, mistakes), 422
    job_id = payload.get("id") or job_form.name(job_form.token(), payload)
    said = syntax.problem(payload["command"])
    if said and "anyway" not in request.form:
        return _form(values, {"command": f"The shell cannot read it: {said.rstrip('.')}."}, anyway=True), 422
    try:
        return _show(jobs.enqueue(payload | {"id": job_id}, _origin()), "is enqueued.")
    except Refused as error:  # the id is taken
        if "id" in payload and not _was_sent_twice(job_id, payload["command"]):
            return _form(values, {"id": str(error)}), 422
        return _show(job_id, "is there already, with this command; it is not enqueued twice.")


@bp.post("/check")
def check() -> Any:
    """The mistakes in the form and the schedule of the attempts. Stores nothing."""
    values = job_form.values(request.form)
    mistakes = job_form.read(values, models.now_ms())[1]
    if answers.wants_piece():
        return render_template("enqueue/_check.html", look=_look(values), names=job_form.NAMES)
    return _form(values, mistakes, checked=True)


def _show(job_id: str, sentence: str) -> Any:
    again = url_for("enqueue.index", **{"from": job_id})  # type: ignore[arg-type]
    answers.say_next(f"Job {job_id} {sentence}", link=("Enqueue another like it", again))
    return redirect(url_for("jobs.show", job_id=job_id), 303)


def _form(values: dict[str, str], mistakes: dict[str, str], *, anyway: bool = False, checked: bool = False) -> str:
    """The page. mistakes: sentences by field. anyway: it could be stored all the same. checked: only a look was asked for."""
    return answers.page(
        "enqueue/index.html",
        values=values,
        wrong=mistakes,
        names=job_form.NAMES,
        anyway=anyway,
        checked=checked,
        look=_untold(_look(values), mistakes),
        token=job_form.token(),
        origin=request.form.get("origin") or request.args.get("from"),
        more=any(values[name] for name in FIELDS if name not in ("command", "run_zone")),
        queues=queries.queues(),
        settings=config.get_all(),
        workers=len(queries.workers()),
    )


def _look(values: dict[str, str]) -> dict[str, Any]:
    """What the check says: mistakes, what may go wrong, and the attempts. Without a command yet, only the attempts."""
    now = models.now_ms()
    is_begun = bool(values["command"].strip())
    payload, mistakes = job_form.read(values if is_begun else values | {"command": ":"}, now)
    look: dict[str, Any] = {"is_begun": is_begun, "mistakes": mistakes, "findings": [], "plan": None}
    if mistakes:
        return look
    limit_s = payload.get("timeout_sec", config.get("job_timeout_sec"))
    return look | {
        "findings": precheck.look(payload, now) if is_begun else [],
        "plan": _steps(precheck.attempts(payload, now), now) | {"stopped_after": seconds(limit_s) if limit_s else ""},
    }


def _untold(look: dict[str, Any], told: dict[str, str]) -> dict[str, Any]:
    """The same without what the page says beside its fields."""
    findings = [finding for finding in look["findings"] if finding.field not in told]
    return look | {"is_begun": look["is_begun"] and not told, "mistakes": {}, "findings": findings}


def _steps(plan: Plan, now: int) -> dict[str, Any]:
    """The first attempts and the last, as the page draws them."""
    fits = len(plan.attempts) <= _ATTEMPTS_SHOWN + 1
    shown = plan.attempts if fits else [*plan.attempts[:_ATTEMPTS_SHOWN], plan.attempts[-1]]
    return {
        "steps": [step._asdict() | {"wait": seconds(step.wait_s or 0)} for step in shown],
        "left_out": len(plan.attempts) - len(shown),
        "attempts": len(plan.attempts),
        "dead_at": plan.dead_at,
        "is_later": plan.attempts[0].at > now,
        "spread": round(plan.spread * 100),
    }


def _origin() -> str | None:
    """The job that the form was filled in from, if it is still there."""
    named = request.form.get("origin")
    return named if named and Job.select().where(Job.id == named).exists() else None


def _was_sent_twice(job_id: str, command: str) -> bool:
    job = queries.find(job_id)
    return job.command == command and models.now_ms() - job.created_at < _TWICE_MS
