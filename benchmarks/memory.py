"""The memory of processes that wait, and of a worker whose job prints without end.

Private memory is what would be free if the process were not there. Proportional memory divides what is shared among
those who share it, so that of all processes together it is what they cost. The peak is of all that was resident.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from benchmarks import place, processes
from benchmarks.figures import Figure

SETTLE_S = 2.0


class Sizes(NamedTuple):
    workers: int = 10
    printed_mb: int = 1_000


QUICK = Sizes(printed_mb=50)


def run(sizes: Sizes) -> list[Figure]:
    return [*_idle(sizes), *_printing(sizes)]


def _idle(sizes: Sizes) -> list[Figure]:
    with place.queue() as queue:
        queue.start_workers(sizes.workers)
        time.sleep(SETTLE_S)
        supervisor, *workers = pids = processes.family(queue.supervisor_pid())
        figures = [_together(f"supervisor and {sizes.workers} workers that wait for their first job", pids)]
        completed = queue.completed()
        queue.fill(sizes.workers * 20)
        queue.wait_completed(completed + sizes.workers * 20)
        time.sleep(SETTLE_S)
        return [
            *figures,
            _together(f"supervisor and {sizes.workers} workers that wait, each has worked", pids),
            Figure(
                "private memory of a worker that has worked", list(map(processes.private_mb, workers)), "MB", at_most=8
            ),
            Figure("private memory of the supervisor", [processes.private_mb(supervisor)], "MB"),
        ]


def _together(name: str, pids: list[int]) -> Figure:
    return Figure(name, [sum(map(processes.proportional_mb, pids))], "MB", at_most=60)


def _printing(sizes: Sizes) -> list[Figure]:
    with place.queue() as queue:
        queue.start_workers(1)
        _, worker = processes.family(queue.supervisor_pid())
        processes.forget_peak(worker)
        before, began = processes.peak_mb(worker), time.monotonic()
        queue.fill(1, f"head -c {sizes.printed_mb * 1_000_000} /dev/zero")
        queue.wait_completed(1)
        name = f"a job that prints {sizes.printed_mb:,} MB"
        return [
            Figure(f"{name}: peak of its worker", [processes.peak_mb(worker)], "MB"),
            Figure(f"{name}: more than before", [processes.peak_mb(worker) - before], "MB"),
            Figure(f"{name}: read", [sizes.printed_mb / (time.monotonic() - began)], "MB/s"),
        ]
