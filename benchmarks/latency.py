"""How soon a command starts in an idle queue, and what it costs to be ready for it.

The command's first act is to write to a pipe that this process reads, so its start is measured where it shows, a few
hundredths of a millisecond late. Two instants are taken of each call: when it began and when it returned. After the
latter the command may have started already: a negative figure. A pause before each call lets the workers fall idle.

Then nobody does anything, and the kernel's counters say how long ten workers and their supervisor were on a core.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

import models
from benchmarks import place, processes, site
from benchmarks.figures import Figure, quantile
from engine import jobs

PAUSE_S = 0.05
SETTLE_S = 3.0


class Sizes(NamedTuple):
    calls: int = 200
    idle_workers: int = 10
    idle_s: float = 30.0


QUICK = Sizes(calls=20, idle_s=3.0)


class Start(NamedTuple):
    """When a command started, in milliseconds."""

    after_call_ms: float
    after_return_ms: float


def run(sizes: Sizes) -> list[Figure]:
    starts = _starts(sizes)
    return [figure for door, measured in starts.items() for figure in _figures(door, measured)] + _idle(sizes)


def _starts(sizes: Sizes) -> dict[str, list[Start]]:
    with place.queue() as queue, site.panel(queue.path) as port:
        queue.start_workers(2)
        bell = Bell(queue.path.parent / "bell")
        client = site.Client(port)
        token = client.token()
        doors: dict[str, Callable[[], object]] = {
            "engine": lambda: jobs.enqueue({"command": bell.command}),
            "command line": lambda: _queuectl(queue.path, bell.command),
            "panel": lambda: client.post("/enqueue", token, command=bell.command),
        }
        return {door: [_start(bell, enqueue) for _ in range(sizes.calls)] for door, enqueue in doors.items()}


def _figures(door: str, starts: list[Start]) -> Iterator[Figure]:
    after_return, after_call = [s.after_return_ms for s in starts], [s.after_call_ms for s in starts]
    yield Figure(f"{door}: from the return to the start", after_return, "ms", at_most=5)
    yield Figure(f"{door}: from the return to the start, 99 %", [quantile(after_return, 0.99)], "ms", at_most=20)
    yield Figure(f"{door}: from the call to the start", after_call, "ms")
    yield Figure(f"{door}: from the call to the start, 99 %", [quantile(after_call, 0.99)], "ms")


def _start(bell: Bell, enqueue: Callable[[], object]) -> Start:
    time.sleep(PAUSE_S)
    called = time.perf_counter()
    enqueue()
    returned = time.perf_counter()
    rung = bell.wait()
    return Start((rung - called) * 1000, (rung - returned) * 1000)


def _queuectl(database: Path, command: str) -> None:
    words = [sys.executable, "queuectl.py", "--db", str(database), "enqueue", command]
    subprocess.run(words, cwd=models.ROOT, stdout=subprocess.DEVNULL, check=True)


class Bell:
    """A pipe with a name. A thread notes when something is written to it, while others wait for other things."""

    def __init__(self, path: Path):
        os.mkfifo(path)
        self.command = f"echo >{shlex.quote(str(path))}"
        self.end = os.open(path, os.O_RDWR)  # as a writer too, so that there is no end between two that ring
        self.rung: SimpleQueue[float] = SimpleQueue()
        Thread(target=self._listen, daemon=True).start()

    def wait(self) -> float:
        """When it was rung next."""
        return self.rung.get(timeout=60)

    def _listen(self) -> None:
        while os.read(self.end, 1):
            self.rung.put(time.perf_counter())


def _idle(sizes: Sizes) -> list[Figure]:
    with place.queue() as queue:
        queue.start_workers(sizes.idle_workers)
        time.sleep(SETTLE_S)
        pids = processes.family(queue.supervisor_pid())
        before, began = _spent(pids), time.monotonic()
        time.sleep(sizes.idle_s)
        spent, elapsed_s = _spent(pids), time.monotonic() - began
    cpu, wakeups = ((after - at_first) / elapsed_s for after, at_first in zip(spent, before, strict=True))
    name = f"{sizes.idle_workers} idle workers and their supervisor"
    return [
        Figure(f"{name}: of one core", [cpu * 100], "%", at_most=0.2),
        Figure(f"{name}: wake-ups", [wakeups], "/s"),
    ]


def _spent(pids: list[int]) -> tuple[float, int]:
    return sum(map(processes.cpu_s, pids)), sum(map(processes.wakeups, pids))
