"""The fields of a job as a form has them: what the browser sends, made what the engine takes, and back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from flask import request

import models
from engine import ids, moments, spec
from engine.errors import InvalidInput
from models import Job

NAMES = {  # the fields in the order of the page, and what is written over them
    "command": "Command",
    "id": "Id",
    "queue": "Queue",
    "priority": "Priority",
    "max_retries": "Retries",
    "timeout_sec": "Timeout",
    "run_at": "Delay",
    "run_on": "Not before",
    "run_zone": "Time zone",
    "cwd": "Folder",
    "tags": "Tags",
    "env": "Environment",
}
FIELDS = tuple(NAMES)
_PLAIN = ("queue", "run_at", "cwd")
_TOKEN = re.compile(r"[0-9a-z]{14}")
_NUMBERS = ("priority", "max_retries", "timeout_sec")


def token() -> str:
    """What makes one form of all its sendings: the token it came with, else a new one."""
    given = request.form.get("token", "")
    return given if _TOKEN.fullmatch(given) else next(ids.new_ids(models.now_ms()))


def name(token: str, content: Any) -> str:
    """The id of what this form says: the same whenever it says the same, so that it can be stored once only."""
    said = json.dumps([token, content], sort_keys=True)
    return token[:7] + hashlib.blake2b(said.encode(), digest_size=4).hexdigest()


def values(form: Mapping[str, str]) -> dict[str, str]:
    """What was typed into each field, "" where nothing was."""
    return {name: form.get(name, "").replace("\r\n", "\n") for name in FIELDS}


def read(values: Mapping[str, str], now: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields that were filled in, as the engine takes them; and what is wrong, by field, in the page's order."""
    payload: dict[str, Any] = {"command": values["command"]}
    payload |= {name: values[name].strip() for name in ("id", *_PLAIN) if values[name].strip()}
    if "run_at" in payload:
        payload["run_at"] = moments.in_zone(payload["run_at"], values["run_zone"].strip() or "UTC")
    payload |= {name: _number(values[name]) for name in _NUMBERS if values[name].strip()}
    if values["tags"].strip(" ,\t\n"):
        payload["tags"] = re.split(r"[\s,]+", values["tags"].strip(" ,\t\n"))
    wrong = {}
    for name, reader in (("run_on", _add_date), ("env", _add_env)):
        try:
            reader(payload, values)
        except InvalidInput as error:
            wrong[name] = str(error)
    dated = "run_on" if values["run_on"].strip() else "run_at"
    for mistake in spec.mistakes(payload, now):
        wrong.setdefault(dated if mistake.field == "run_at" else mistake.field or "command", _beside(mistake))
    return payload, {name: wrong[name] for name in FIELDS if name in wrong}


def values_of(job: Job) -> dict[str, str]:
    """What to fill in to enqueue the same again."""
    env = json.loads(job.env) if job.env else {}
    return dict.fromkeys(FIELDS, "") | {
        "command": job.command,
        "queue": "" if job.queue == "default" else job.queue,
        "cwd": job.cwd or "",
        "priority": str(job.priority or ""),
        "max_retries": str(job.max_retries),
        "timeout_sec": "" if job.timeout_ms is None else f"{job.timeout_ms / 1000:g}",
        "env": "\n".join(f"{name}={value}" for name, value in env.items()),
        "tags": " ".join(json.loads(job.tags) if job.tags else ()),
    }


def _number(text: str) -> int | float | str:
    """The number that `text` says; the text itself when it says none, for the engine to refuse."""
    text = text.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?[0-9]{0,18}\.[0-9]{1,18}", text) else text


def _add_date(payload: dict[str, Any], values: Mapping[str, str]) -> None:
    """The instant at which the clocks of the chosen zone show the chosen date and time."""
    if not values["run_on"].strip():
        return
    if "run_at" in payload:
        raise InvalidInput("Give a delay or a date, one of the two.")
    payload["run_at"] = f"{values['run_on'].strip()} {values['run_zone'].strip() or 'UTC'}"


def _add_env(payload: dict[str, Any], values: Mapping[str, str]) -> None:
    pairs = {}
    for number, line in enumerate(values["env"].split("\n"), 1):
        name, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not equals:
            raise InvalidInput(f"Line {number} has no =; write NAME=value.")
        pairs[name.strip()] = value
    if pairs:
        payload["env"] = pairs


def _beside(error: InvalidInput) -> str:
    """The sentence without the field's name, which stands beside it."""
    sentence = str(error).removeprefix(f"{error.field}: ").removeprefix(f"{error.field} ")
    return sentence[:1].upper() + sentence[1:]
