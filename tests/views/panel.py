"""The panel as tests ask it, and jobs in the state they need."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import models
from engine import causes, jobs
from models import Job

HTMX = {"HX-Request": "true"}


class Panel:
    """The test client with the manners of a browser: it keeps cookies and sends the forms' token."""

    def __init__(self, client: FlaskClient, path: Path):
        self.client = client
        self.path = path

    def get(self, url: str, **headers: str) -> TestResponse:
        return self.client.get(url, headers=headers)

    def piece(self, url: str) -> TestResponse:
        """What htmx gets, asked by the reader."""
        return self.client.get(url, headers=HTMX | {"Cache-Control": "no-cache"})

    def poll(self, url: str) -> TestResponse:
        """What htmx gets, asked by its clock."""
        return self.client.get(url, headers=HTMX)

    def post(self, url: str, htmx: bool = False, headers: dict[str, str] | None = None, **form: Any) -> TestResponse:
        """Send a form; `htmx`: as htmx sends it."""
        return self.client.post(
            url, data={"csrf_token": self.token()} | form, headers=(HTMX if htmx else {}) | (headers or {})
        )

    def token(self) -> str:
        return re.search(r'name="csrf_token" value="([^"]+)"', self.get("/config").text)[1]

    def dump(self) -> list[str]:
        """The whole database, as statements."""
        with sqlite3.connect(self.path) as connection:
            return list(connection.iterdump())


def add(state: str = "pending", command: str = "echo hi", **fields: Any) -> Job:
    """A job in that state, as if it had got there by itself."""
    columns = {name: fields.pop(name) for name in list(fields) if name in COLUMNS}
    job_id = jobs.enqueue({"command": command, **fields})
    now = models.now_ms()
    ended = {"finished_at": now, "run": 1, "duration_ms": 40}
    by_state: dict[str, dict[str, Any]] = {
        "pending": {},
        "processing": {"run": 1, "locked_by": "w1", "locked_at": now},
        "completed": ended | {"return_code": 0},
        "failed": {
            "run": 1,
            "attempts": 1,
            "return_code": 1,
            "last_error": "exit code 1: no",
            "next_run_at": now + 60_000,
        },
        "dead": ended | {"attempts": 4, "return_code": 1, "last_error": "exit code 1: no"},
        "cancelled": ended,
    }
    row = by_state[state] | columns
    if state == "dead":
        row["cause"] = causes.pattern_of(row["last_error"] or "")
    Job.update(state=state, **row).where(Job.id == job_id).execute()
    return Job.get(Job.id == job_id)


COLUMNS = (
    "finished_at",
    "next_run_at",
    "attempts",
    "last_error",
    "crashes",
    "locked_by",
    "locked_at",
    "cancel_requested",
)
