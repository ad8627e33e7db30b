"""The lines of `queuectl` that do what the panel's buttons do, ready to paste into a shell."""

from __future__ import annotations

import json
import shlex

from models import Job


def line(*words: str) -> str:
    """A call of queuectl with these words, quoted for a shell."""
    return shlex.join(("queuectl", *words))


def enqueue_again(job: Job) -> str:
    """The line that enqueues the same command with the same settings; a new id is made up.

    Values of the environment are secrets: each is taken from the variable of the same name where the line is run.
    """
    words = []
    for option, value in _options(job):
        words += [option, value]
    for tag in json.loads(job.tags) if job.tags else ():
        words += ["--tag", tag]
    called = line("enqueue", *words)
    for name in json.loads(job.env) if job.env else ():
        called += f' --env {name}="${name}"'
    return f"{called} {_command(job.command)}"


def _options(job: Job) -> list[tuple[str, str]]:
    options = [("--max-retries", str(job.max_retries))]
    if job.queue != "default":
        options.append(("--queue", job.queue))
    if job.priority:
        options.append(("--priority", str(job.priority)))
    if job.timeout_ms is not None:
        options.append(("--timeout", f"{job.timeout_ms / 1000:g}"))
    if job.cwd:
        options.append(("--cwd", job.cwd))
    return options


def _command(command: str) -> str:
    """The command as one word that is taken for nothing else: not for JSON, not for an option."""
    if command.lstrip().startswith("{"):
        return shlex.quote(json.dumps({"command": command}, ensure_ascii=False))
    return shlex.join(("--", command) if command.startswith("-") else (command,))
