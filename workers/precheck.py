"""A look at a job before it is stored: what will probably go wrong. It only warns; the fields' limits are engine/spec.py's.

It looks from this host and process; the workers may see other programs and folders.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from engine import batch, config, moments, queues, spec, visible
from engine.plan import Plan, plan
from workers import syntax

READ_S = 2.0  # how long the commands of a batch are read

# Words that the shell knows by itself, and so need no program.
_KEYWORDS = {
    "case",
    "do",
    "done",
    "elif",
    "else",
    "esac",
    "fi",
    "for",
    "function",
    "if",
    "in",
    "select",
    "then",
    "time",
}
_KEYWORDS |= {"until", "while"}
_BUILTINS = {
    ".",
    ":",
    "alias",
    "bg",
    "break",
    "builtin",
    "cd",
    "command",
    "continue",
    "declare",
    "eval",
    "exec",
    "exit",
}
_BUILTINS |= {"export", "fc", "fg", "getopts", "hash", "jobs", "let", "local", "pushd", "popd", "read", "readonly"}
_BUILTINS |= {"return", "set", "shift", "shopt", "source", "times", "trap", "type", "typeset", "ulimit", "umask"}
_BUILTINS |= {"unalias", "unset", "wait", "test", "echo", "printf", "true", "false", "pwd", "kill"}
_SHELLS_OWN = _KEYWORDS | _BUILTINS

_ASSIGNMENT = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_./:,@%+-]*(?=\s)")
_WORD = re.compile(r"\s*([A-Za-z0-9_./+@-]+)(?=$|[\s;|&<>])")


class Finding(NamedTuple):
    """What may go wrong, and the field it is about. grave: it will, at every try."""

    field: str
    sentence: str
    grave: bool = False


def look(payload: dict[str, Any], now: int) -> list[Finding]:
    """What may go wrong with a job whose fields are right, the gravest first. Runs nothing of its command."""
    row = spec.parse(payload, now)
    found = [
        *_id(payload),
        *_command(row),
        *_unseen(row),
        *_folder(row),
        *_timeout(row),
        *_due(payload, row, now),
        *_queue(row),
    ]
    return sorted(found, key=lambda finding: not finding.grave)


def unreadable(jobs: list[batch.Entry]) -> tuple[list[batch.Mistake], int]:
    """The jobs whose commands the shell cannot read, and how many it was asked about: it stops after READ_S.

    Their fields are right.
    """
    until = time.monotonic() + READ_S
    found: list[batch.Mistake] = []
    for number, (place, job) in enumerate(jobs):
        if time.monotonic() > until:
            return found, number
        if said := syntax.problem(job["command"]):
            found.append(batch.Mistake(place, _unreadable(said), "command"))
    return found, len(jobs)


def attempts(payload: dict[str, Any], now: int) -> Plan:
    """The attempts of the job if it were stored now and each failed at once. Its fields are valid."""
    settings = config.get_all()
    row = spec.parse(payload, now)
    return plan(row.get("max_retries", settings["max_retries_default"]), max(now, row.get("next_run_at", 0)), settings)


def _id(payload: dict[str, Any]) -> list[Finding]:
    return [Finding("id", mistake.sentence, grave=True) for mistake in batch.taken([("", payload)])]


def _command(row: dict[str, Any]) -> Iterator[Finding]:
    if said := syntax.problem(row["command"]):
        yield Finding("command", _unreadable(said), grave=True)
    elif name := _missing_program(row):
        where = "in that folder" if "/" in name and not os.path.isabs(name) else "here"
        yield Finding("command", f"There is no program {name} {where}; it may be on the workers' host.")


def _unreadable(said: str) -> str:
    return f"The shell cannot read it: {said.rstrip('.')}."


def _missing_program(row: dict[str, Any]) -> str | None:
    """The first word of the command when it is plain and names no program; None also where that cannot be known."""
    command = row["command"]
    at = 0
    while assigned := _ASSIGNMENT.match(command, at):
        at = assigned.end()
    word = _WORD.match(command, at)
    name = word[1] if word else ""
    changes_path = "PATH=" in command[:at] or '"PATH"' in (row.get("env") or "")
    if not name or name in _SHELLS_OWN or changes_path:
        return None
    if "/" not in name:
        return None if shutil.which(name) else name
    folder = row.get("cwd") or ("" if os.path.isabs(name) else None)
    if folder is None:
        return None  # relative to where the workers are, which is not known here
    return None if os.access(os.path.join(folder, name), os.X_OK) else name


def _unseen(row: dict[str, Any]) -> Iterator[Finding]:
    for field in ("command", "cwd", "env", "tags"):
        if visible.has_unseen(row.get(field) or ""):
            yield Finding(field, "This contains invisible characters, so that it may not be what it looks like.")


def _folder(row: dict[str, Any]) -> Iterator[Finding]:
    folder = row.get("cwd")
    if folder is None:
        return
    if not os.path.isdir(folder):
        yield Finding("cwd", "There is no such folder here; where the workers are there may be.")
    elif not os.access(folder, os.X_OK):
        yield Finding("cwd", "This folder may not be entered by the user of this process.")


def _timeout(row: dict[str, Any]) -> Iterator[Finding]:
    if 0 < (row.get("timeout_ms") or 0) < 1000:
        yield Finding("timeout_sec", f"Only {row['timeout_ms']} ms: hardly a command ends within that.")


def _due(payload: dict[str, Any], row: dict[str, Any], now: int) -> Iterator[Finding]:
    if row.get("next_run_at", now) < now - 60_000:
        yield Finding("run_at", "That has passed, so it is due at once.")
    moment = moments.read(payload.get("run_at") or "", now, step=1)
    if moment and moment.is_twice:
        first = f"{datetime.fromtimestamp(moment.at / 1000, UTC):%H:%M} UTC"
        yield Finding("run_at", f"The clocks show that time twice that day; the first is meant, at {first}.")


def _queue(row: dict[str, Any]) -> Iterator[Finding]:
    name = row.get("queue", "default")
    if queues.standing(name).paused:
        yield Finding("queue", f"The queue {name} is paused; the job waits until it is resumed.")
