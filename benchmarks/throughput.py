"""How many jobs a second W workers run, beside `xargs -P W sh -c :`, which has no queue at all.

Both start the same shell on the same command that does nothing. xargs is timed as a whole process. Ours: W workers are
started and idle; all jobs are stored in one transaction, so the workers find a full queue; the time is from the first
start to the last end as the workers noted them in milliseconds. Nobody looks meanwhile: that would take a processor from them
and put it to another use for a while; one job more, the last, tells. Rounds alternate between the two, the ratio is taken
round by round. The queue keeps all its finished jobs from round to round. Every few rounds its workers are other processes:
by where its memory happens to lie, one is up to a tenth faster than the next, as long as it lives.
"""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from functools import partial
from typing import NamedTuple

from benchmarks import place
from benchmarks.figures import Figure, interleaved, ratios

TARGET = 0.90


class Sizes(NamedTuple):
    jobs: int = 1_000
    rounds: int = 3  # with the same workers; short ones, for the machine is now slower and now faster for seconds
    lives: int = 15  # how often the workers are new ones
    workers: tuple[int, ...] = (1, 2, 4)


QUICK = Sizes(jobs=500, lives=1)


def run(sizes: Sizes) -> list[Figure]:
    return [figure for workers in sizes.workers for figure in _with_workers(workers, sizes)]


def _with_workers(workers: int, sizes: Sizes) -> list[Figure]:
    samples: dict[str, list[float]] = defaultdict(list)
    with place.queue() as queue:
        contestants = {
            "queuectl": partial(ours, queue, sizes.jobs),
            "xargs": partial(xargs, workers, sizes.jobs),
        }
        for _ in range(sizes.lives):
            queue.start_workers(workers)
            ours(queue, QUICK.jobs)  # the first jobs pay for what is loaded late
            for contestant, found in interleaved(contestants, sizes.rounds).items():
                samples[contestant] += found
            queue.stop_workers()
    name = f"{workers} worker{'s' if workers > 1 else ''}"
    return [
        Figure(f"{name}: queuectl", samples["queuectl"], "jobs/s"),
        Figure(f"{name}: xargs", samples["xargs"], "jobs/s"),
        Figure(f"{name}: queuectl / xargs", ratios(samples["queuectl"], samples["xargs"]), "", at_least=TARGET),
    ]


def ours(queue: place.Queue, jobs: int) -> float:
    """Jobs a second of the workers that wait at this queue."""
    completed = queue.completed()
    after = queue.fill(jobs, then=queue.bell())
    queue.wait_for_bell()
    queue.wait_completed(completed + jobs + 1)
    return place.drain_rate(after, jobs)


def xargs(workers: int, jobs: int) -> float:
    """Jobs a second of xargs with so many processes at once."""
    lines = b"x\n" * jobs
    began = time.monotonic()
    subprocess.run(["xargs", "-P", str(workers), "-n", "1", "/bin/sh", "-c", place.NOOP], input=lines, check=True)
    return jobs / (time.monotonic() - began)
