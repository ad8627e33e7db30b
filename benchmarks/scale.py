"""What millions of jobs cost: one step of a worker (an end and the next claim) beside the same in an empty database.

The step is made through the engine as a worker makes it, in one transaction with `synchronous=NORMAL`, on three databases in
alternating rounds: the full one; one that holds only what is claimed; and the same but for one job in each queue and priority
that waits for tomorrow, to tell what many jobs cost from what many queues cost. A worker never waits for a checkpoint, which
is its supervisor's; here one comes after every thousand steps and is timed apart, as what it adds to a step.

Then workers drain the full database, with and without the deletion of three tenths of its jobs going on: once by the
settings (the supervisor does it, in slices of its time), once by `queuectl prune`. Throughput there is counted over some
seconds of each round.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import models
from benchmarks import filling, place
from benchmarks.figures import Figure, interleaved, ratios
from engine import config, jobs, queries
from engine.jobs import Claim, Ending

_BETWEEN_CHECKPOINTS = 1_000  # steps; at full speed the supervisor makes fewer
DONE = Ending(return_code=0, duration_ms=1)


class Sizes(NamedTuple):
    finished: int = 10_000_000
    waiting: int = 1_000_000
    steps: int = 5_000  # of a worker, in a round
    rounds: int = 9
    seconds: float = 6.0  # that workers drain, in a round
    workers: int = 2


INTERRUPTED = 130  # the exit status of a command that was told to end

QUICK = Sizes(finished=200_000, waiting=40_000, steps=500, rounds=3, seconds=2.0)


def run(sizes: Sizes) -> list[Figure]:
    with filling.filled(sizes.finished, sizes.waiting) as full, place.scratch() as folder:
        figures = _steps(full, folder, sizes)
        size_gb = full.stat().st_size / 1e9
        figures.insert(0, Figure(f"database of {sizes.finished:,} + {sizes.waiting:,} jobs", [size_gb], "GB"))
        with place.queue(full) as queue:
            figures += _pruning(queue, sizes)
    return figures


# --- a worker's step


def _steps(full: Path, folder: Path, sizes: Sizes) -> list[Figure]:
    empty, levels = folder / "empty.db", folder / "levels.db"
    _fill_levels(levels)
    contestants = {
        "full": partial(cost, full, sizes.steps),
        "empty": partial(cost, empty, sizes.steps, fill=True),
        "levels": partial(cost, levels, sizes.steps, fill=True),
    }
    for measure in contestants.values():  # the first round loads what the others find in memory
        measure()
    found = interleaved(contestants, sizes.rounds)
    samples = {name: [step for step, _ in steps] for name, steps in found.items()}
    checkpoints = {name: [added for _, added in steps] for name, steps in found.items()}
    whole = {name: [sum(both) for both in steps] for name, steps in found.items()}
    name = "an end and the next claim"
    return [
        Figure(f"{name}: empty", samples["empty"], "µs"),
        Figure(f"{name}: full", samples["full"], "µs"),
        Figure(f"{name}: full / empty", ratios(samples["full"], samples["empty"]), "", at_most=1.2),
        Figure(f"{name}: empty but for its queues and priorities", samples["levels"], "µs"),
        Figure(f"{name}: full / that", ratios(samples["full"], samples["levels"]), ""),
        Figure("the supervisor's checkpoint, for each: empty", checkpoints["empty"], "µs"),
        Figure("the supervisor's checkpoint, for each: full", checkpoints["full"], "µs"),
        Figure("all three together: full / empty", ratios(whole["full"], whole["empty"]), "", at_most=1.2),
    ]


def _fill_levels(path: Path) -> None:
    """One job that is not due in each queue and priority of the full database: what their number costs by itself."""
    with place.queue(path):
        levels = product(range(filling.QUEUES), range(filling.PRIORITIES))
        jobs.enqueue_many(
            {"command": place.NOOP, "queue": f"queue-{q}", "priority": p, "run_at": "+1d"} for q, p in levels
        )


class Cost(NamedTuple):
    """Of a step on average, in microseconds, and what the checkpoint adds to it in another process."""

    step_us: float
    checkpoint_us: float


def cost(path: Path, steps: int, fill: bool = False) -> Cost:
    """What a step costs. `fill`: store the jobs for it first."""
    models.connect(str(path), durable=False)
    try:
        models.db.execute_sql("PRAGMA wal_autocheckpoint = 0")
        if fill:
            jobs.enqueue_many({"command": place.NOOP} for _ in range(steps + 1))
        held = _claim()
        _checkpoint_s()
        stepping_s = checkpoints_s = 0.0
        for left in range(steps, 0, -_BETWEEN_CHECKPOINTS):
            began = time.perf_counter()
            for _ in range(min(left, _BETWEEN_CHECKPOINTS)):
                with models.db.transaction():
                    jobs.complete(held, DONE)
                    held = _claim()
            stepping_s += time.perf_counter() - began
            checkpoints_s += _checkpoint_s()
        jobs.complete(held, DONE)
        return Cost(stepping_s / steps * 1e6, checkpoints_s / steps * 1e6)
    finally:
        models.disconnect()


def _checkpoint_s() -> float:
    """Checkpoint as the supervisor does, so that the log is written over again instead of growing; how long it took."""
    began = time.perf_counter()
    _, frames, moved = models.db.execute_sql("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert frames == moved, "somebody reads"
    return time.perf_counter() - began


def _claim() -> Claim:
    held = jobs.claim("w1", "host")
    assert held is not None, "too few jobs are due"
    return held


# --- deleting while workers drain


def _pruning(queue: place.Queue, sizes: Sizes) -> list[Figure]:
    drain = partial(_drained, queue, sizes)
    ways = {
        "nothing deleted": drain,
        "by settings": partial(_by_settings, queue, drain),
        "prune": partial(_prune, queue, drain),
    }
    deleted: dict[str, list[float]] = {name: [] for name in ways}

    def counted(name: str) -> float:
        before = _rows()
        rate = ways[name]()
        deleted[name].append((before - _rows()) / sizes.seconds)
        return rate

    samples = interleaved({name: partial(counted, name) for name in ways}, sizes.rounds)
    figures = [Figure(f"{sizes.workers} workers drain: nothing deleted", samples["nothing deleted"], "jobs/s")]
    for name, says in (("by settings", "deletion by the settings"), ("prune", "`queuectl prune`")):
        figures += [
            Figure(f"{says}: deletes", deleted[name], "jobs/s"),
            Figure(f"{says}: workers drain", samples[name], "jobs/s"),
            Figure(f"{says}: of the throughput", ratios(samples[name], samples["nothing deleted"]), "", at_least=0.9),
        ]
    return figures


def _drained(queue: place.Queue, sizes: Sizes) -> float:
    with queue.working(sizes.workers):
        return queue.drain_rate_over(sizes.seconds, by="pending")


def _by_settings(queue: place.Queue, drain: partial[float]) -> float:
    config.set("retention_completed_days", filling.OLD_DAYS)
    try:
        return drain()
    finally:
        config.set("retention_completed_days", 0)


def _prune(queue: place.Queue, drain: partial[float]) -> float:
    words = ["prune", "--state", "completed", "--older-than", f"{filling.OLD_DAYS}d"]
    program = [sys.executable, "queuectl.py", "--db", queue.path, *words]
    pruning = subprocess.Popen(program, cwd=models.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        return drain()
    finally:
        pruning.send_signal(signal.SIGINT)
        _, says = pruning.communicate(timeout=60)
        assert pruning.returncode in (0, INTERRUPTED), says


def _rows() -> int:
    return sum(queries.counts().values())
