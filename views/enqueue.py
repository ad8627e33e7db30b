"""The form that puts a job into the queue."""

from __future__ import annotations

import json
import re
from typing import Any

from flask import Blueprint, redirect, request, url_for

import models
from engine import config, ids, jobs, queries
from engine.errors import InvalidInput, Refused
from models import Job
from views import answers

TEXTS = ("id", "command", "queue", "run_at", "cwd")
NUMBERS = ("priority", "max_retries", "timeout_sec")
FIELDS = (*TEXTS, *NUMBERS, "env", "tags")
_TWICE_MS = 60 * 60 * 1000  # a form sent again this late is meant

bp = Blueprint("enqueue", __name__, url_prefix="/enqueue")


@bp.get("")
def index() -> Any:
    origin = request.args.get("from")
    values = _values_of(queries.find(origin)) if origin else dict.fromkeys(FIELDS, "")
    return _form(values)


@bp.post("")
def store() -> Any:
    values = {name: request.form.get(name, "").replace("\r\n", "\n") for name in FIELDS}
    chosen_id = values["id"].strip()
    new_id = chosen_id or request.form.get("new_id") or _new_id()
    try:
        payload = _payload(values)
        return _show(jobs.enqueue(payload | {"id": new_id}, _origin()), "is enqueued.")
    except InvalidInput as error:
        return _form(values, error.field, _at_field(error)), 422
    except Refused as error:  # the id is taken
        if _was_sent_twice(new_id, payload["command"]):
            return _show(new_id, "was enqueued by this form already; it is not enqueued twice.")
        if chosen_id:
            return _form(values, "id", str(error)), 422
        return _show(jobs.enqueue(payload, _origin()), "is enqueued.")


def _show(job_id: str, sentence: str) -> Any:
    answers.say_next(f"Job {job_id} {sentence}")
    return redirect(url_for("jobs.show", job_id=job_id), 303)


def _form(values: dict[str, str], field: str | None = None, sentence: str | None = None) -> str:
    return answers.page(
        "enqueue/index.html",
        values=values,
        field=field,
        sentence=sentence,
        new_id=_new_id(),
        origin=request.form.get("origin") or request.args.get("from"),
        more=any(values[name] for name in FIELDS if name != "command"),
        queues=queries.queues(),
        settings=config.get_all(),
        workers=len(queries.workers()),
    )


def _new_id() -> str:
    """The form carries the id of its job, so that sending it twice stores one job."""
    return next(ids.new_ids(models.now_ms()))


def _origin() -> str | None:
    """The job that the form was filled in from, if it is still there."""
    named = request.form.get("origin")
    return named if named and Job.select().where(Job.id == named).exists() else None


def _was_sent_twice(job_id: str, command: str) -> bool:
    job = queries.find(job_id)
    return job.command == command and models.now_ms() - job.created_at < _TWICE_MS


def _payload(values: dict[str, str]) -> dict[str, Any]:
    """The fields that were filled in, as the engine takes them."""
    payload: dict[str, Any] = {
        name: values[name].strip() for name in ("queue", "run_at", "cwd") if values[name].strip()
    }
    payload |= {name: _number(values[name]) for name in NUMBERS if values[name].strip()}
    payload["command"] = values["command"]
    if values["env"].strip():
        payload["env"] = _env(values["env"])
    if values["tags"].strip():
        payload["tags"] = re.split(r"[\s,]+", values["tags"].strip(" ,\t\n"))
    return payload


def _number(text: str) -> int | float | str:
    """The number that `text` says; the text itself when it says none, for the engine to refuse."""
    text = text.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?[0-9]{0,18}\.[0-9]{1,18}", text) else text


def _env(text: str) -> dict[str, str]:
    pairs = {}
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not equals:
            raise InvalidInput(f"line {number} has no =; write NAME=value.", "env")
        pairs[name.strip()] = value
    return pairs


def _at_field(error: InvalidInput) -> str:
    """The sentence without the field's name, which stands beside it."""
    sentence = str(error).removeprefix(f"{error.field}: ").removeprefix(f"{error.field} ")
    return sentence[:1].upper() + sentence[1:]


def _values_of(job: Job) -> dict[str, str]:
    """What to fill in to enqueue the same again."""
    env = json.loads(job.env) if job.env else {}
    return {
        "id": "",
        "command": job.command,
        "queue": "" if job.queue == "default" else job.queue,
        "run_at": "",
        "cwd": job.cwd or "",
        "priority": str(job.priority or ""),
        "max_retries": str(job.max_retries),
        "timeout_sec": "" if job.timeout_ms is None else f"{job.timeout_ms / 1000:g}",
        "env": "\n".join(f"{name}={value}" for name, value in env.items()),
        "tags": " ".join(json.loads(job.tags) if job.tags else ()),
    }
