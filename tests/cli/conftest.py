"""The real command in a process of its own, on a database of its own; no worker outlives its test."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import models
from tests.support import wait_until

ROOT = Path(__file__).parent.parent.parent


class Command:
    """`queuectl` as a script calls it: no terminal, so JSON."""

    def __init__(self, database: Path):
        self.database = database
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("QUEUECTL_")}
        self.env["QUEUECTL_DB"] = str(database)

    def run(self, *words: str, stdin: bytes | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, ROOT / "queuectl.py", *words],
            input=stdin or b"",
            capture_output=True,
            env=options.pop("env", self.env),
            timeout=60,
            **options,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: str, **options: Any) -> str:
        done = self.run(*words, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words))

    def start(self, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-u", ROOT / "queuectl.py", *words], stdout=pipe, stderr=pipe, env=self.env, text=True
        )

    def job(self, job_id: str) -> dict[str, Any]:
        return self.json("show", job_id)

    def wait_for_state(self, job_id: str, state: str) -> dict[str, Any]:
        return wait_until(lambda: (job := self.job(job_id))["state"] == state and job, 30, 0.1)


def on_terminal(queuectl: Command, *words: str) -> str:
    """What the command shows on a terminal."""
    parent, child = pty.openpty()
    process = subprocess.Popen([sys.executable, ROOT / "queuectl.py", *words], stdout=child, env=queuectl.env)
    said = all_of(parent, child)
    assert process.wait() == 0
    return said


def at_terminal(queuectl: Command, *words: str, typed: str = "") -> tuple[int, str]:
    """The exit status and all that a person sees who calls the command on a terminal and types this."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, ROOT / "queuectl.py", *words], stdin=child, stdout=child, stderr=child, env=queuectl.env
    )
    os.write(parent, typed.encode())
    said = all_of(parent, child)
    return process.wait(), said


def all_of(parent: int, child: int) -> str:
    """All that is written to the terminal until its last writer has closed it."""
    os.close(child)
    said = b""
    while chunk := _read(parent):
        said += chunk
    os.close(parent)
    return said.decode()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # the other end of a pty is closed
        return b""


@pytest.fixture
def queuectl(tmp_path):
    command = Command(tmp_path / "queue.db")
    yield command
    command.run("worker", "stop", "--now")
    assert command.json("worker", "list") == []


@pytest.fixture
def existing(queuectl):
    """The command, with a database that is there already."""
    models.connect(str(queuectl.database))
    models.disconnect()
    return queuectl
