"""A queue whose surroundings fail: real processes, a database of its own, and no process left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import models
import workers
from app import create_app
from engine import queries
from tests.support import wait_until
from tests.views.panel import Panel
from tests.workers.conftest import Queue


class Faulty(Queue):
    """The queue of the worker tests, with what is needed to break things and to look at them from outside."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.heard = ""
        self.listening, self.log = os.pipe()  # a pipe, so that also those who may write no file can be heard
        os.set_blocking(self.listening, False)
        self.runs: list[subprocess.Popen[bytes]] = []

    def run_workers(self, *words: str, program: str | None = None, under: tuple[str, ...] = ()) -> Any:
        """A supervisor as a process runner keeps it (or a program that is one), its log in a file of its own."""
        what = ["-c", program] if program else ["-m", "workers", "--db", str(self.path), *words]
        process = subprocess.Popen(
            [*under, sys.executable, *what], cwd=models.ROOT, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        self.runs.append(process)
        return process

    def run_idle_workers(self, count: int = 1, **options: Any) -> Any:
        process = self.run_workers("--count", str(count), **options)
        wait_until(lambda: len(self.workers("idle")) == count)
        return process

    def command(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """`queuectl` in a process of its own."""
        line = [sys.executable, f"{models.ROOT}/queuectl.py", "--db", str(self.path), *words]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, **options)

    def panel(self) -> Panel:
        """The panel of this queue, in this process."""
        models.disconnect()  # it opens a connection in the place of ours, which would stay behind
        return Panel(create_app(str(self.path)).test_client(), self.path)

    def logged(self) -> str:
        """What the supervisors of `run_workers` and their workers have logged until now."""
        with suppress(BlockingIOError):
            while said := os.read(self.listening, 65_536):
                self.heard += said.decode()
        return self.heard

    def is_sound(self) -> bool:
        with sqlite3.connect(self.path) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchall()
        connection.close()
        return found == [("ok",)]

    def end_runs(self) -> None:
        """Every supervisor that a test keeps ends as a process runner ends it that is out of patience."""
        for process in self.runs:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGQUIT)
        for process in self.runs:
            process.wait(30)
        os.close(self.listening)
        os.close(self.log)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Faulty]:
    opened = Faulty(tmp_path / "queue.db")
    yield opened
    close(opened)


def close(opened: Faulty) -> None:
    """End all that works on this queue, and see to it that nothing of it lives."""
    opened.end_runs()
    left = workers.wait_ended(workers.stop(), 30)
    wait_until(lambda: not workers.supervisor_lives())
    stray = opened.marked_processes()
    models.disconnect()
    assert not left
    assert not stray


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and to all that descend from it, as a service manager does at its limit."""
    root = psutil.Process(pid)
    tree: set[psutil.Process] = set()
    while fresh := {root, *root.children(recursive=True)} - tree:
        for process in fresh:
            with suppress(psutil.NoSuchProcess):
                process.suspend()  # so that it makes no other meanwhile
        tree |= fresh
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(tree, 20)


def run_of(queue: Queue, job_id: str) -> models.Attempt:
    attempt = queries.attempt(queue.job(job_id))
    assert attempt is not None
    return attempt


def is_running(pid: int) -> bool:
    """Whether the process lives: a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def as_other_user() -> dict[str, Any]:
    """For subprocess: permissions bind this process also when root runs the tests."""
    return {"preexec_fn": _obey_permissions} if os.geteuid() == 0 else {}


def _obey_permissions() -> None:
    import ctypes

    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH leave with the next exec
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
