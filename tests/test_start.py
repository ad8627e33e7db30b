"""`make run` in the hands of a person: scripts/start.py with a Procfile of stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import wait_until

ROOT = Path(__file__).resolve().parent.parent

# A worker with a job: TERM lets it finish, QUIT makes it leave at once unless it is deaf.
WORKER = """
import pathlib, signal, sys, time
log = pathlib.Path(sys.argv[1])
def note(word): log.open("a").write(word + " ")
def finish(*_): note("finishing"); time.sleep(float(sys.argv[2])); note("finished"); sys.exit()
def leave(*_): note("left"); sys.exit()
signal.signal(signal.SIGTERM, finish)
signal.signal(signal.SIGQUIT, signal.SIG_IGN if "deaf" in sys.argv else leave)
note("working")
time.sleep(60)
"""


class Run:
    """A running start.py, and what its worker wrote."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.out = folder / "out"
        self.folder = folder
        self.process: subprocess.Popen[bytes]

    def start(self, job_s: float, manner: str = "", **options: Any) -> None:
        self.launch(job_s, manner, **options)
        self.wait_for("working")

    def launch(self, job_s: float, manner: str = "", **options: Any) -> None:
        (self.folder / "worker.py").write_text(WORKER)
        (self.folder / "Procfile").write_text(
            "web: exec sleep 60\n"
            f"worker: exec '{sys.executable}' '{self.folder}/worker.py' '{self.log}' {job_s} {manner}\n"
        )
        command = [sys.executable, ROOT / "scripts" / "start.py", "-f", self.folder / "Procfile"]
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(command, start_new_session=True, **{"stdout": out, **options})

    def signal(self, signum: int) -> None:
        os.kill(self.process.pid, signum)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait_for(self, word: str) -> None:
        wait_until(lambda: word in self.said().split())


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    for _ in range(3):
        if run.process.poll() is None:
            run.signal(signal.SIGTERM)
    run.process.wait(20)
    if run.process.stdout:
        run.process.stdout.close()


def test_ctrl_c_waits_for_a_job_longer_than_honcho_would(run: Run) -> None:
    run.start(job_s=6.5)
    run.signal(signal.SIGINT)
    assert run.process.wait(20) == 130
    assert run.said() == "working finishing finished "


def test_a_second_ctrl_c_stops_at_once(run: Run) -> None:
    run.start(job_s=60)
    run.signal(signal.SIGINT)
    run.wait_for("finishing")
    run.signal(signal.SIGINT)
    assert run.process.wait(20) == 130
    assert run.said() == "working finishing left "


def test_a_third_ctrl_c_kills_what_does_not_listen(run: Run) -> None:
    run.start(job_s=60, manner="deaf")
    run.signal(signal.SIGINT)
    run.wait_for("finishing")
    run.signal(signal.SIGINT)
    wait_until(lambda: "Stopping the jobs" in run.out.read_text())
    run.signal(signal.SIGINT)
    run.process.wait(20)
    assert run.said() == "working finishing "


def test_a_ctrl_c_while_the_processes_are_born_leaves_none_behind(run: Run) -> None:
    run.launch(job_s=0)
    wait_until(lambda: psutil.Process(run.process.pid).children(), step_s=0.001)
    run.signal(signal.SIGINT)
    assert run.process.wait(20) == 130
    assert [p for p in psutil.process_iter(["cmdline"]) if str(run.log) in (p.info["cmdline"] or [])] == []


@pytest.mark.parametrize("how", ["hangup", "closed pipe"])
def test_a_closed_terminal_lets_the_jobs_finish_and_leaves(run: Run, how: str) -> None:
    run.start(job_s=0.2, stdout=subprocess.PIPE)
    assert run.process.stdout
    run.process.stdout.close()
    if how == "hangup":
        run.signal(signal.SIGHUP)
    else:
        run.signal(signal.SIGTERM)
    run.process.wait(20)
    assert run.said() == "working finishing finished "
