"""What it costs to bring jobs in: one by the command line, many from a file or a program, and some while workers drain.

`queuectl enqueue` is timed as a whole process beside a bare interpreter that only imports the two libraries it cannot do
without, in alternating pairs. Many jobs: 200,000 from a file, the whole process, and from one call of the engine, each
into an empty database. Meanwhile: one process stores jobs as fast as it can (one a call, then a thousand a call) and one
worker drains as fast as it can, each alone and both at once; two cores are enough for both.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import models
from benchmarks import place
from benchmarks.figures import Figure, interleaved, ratios
from engine import jobs


class Sizes(NamedTuple):
    pairs: int = 40
    many: int = 200_000
    many_rounds: int = 3
    rounds: int = 5
    seconds: float = 4.0


QUICK = Sizes(pairs=6, many=5_000, many_rounds=1, rounds=2, seconds=1.0)


def run(sizes: Sizes) -> list[Figure]:
    return [*_one(sizes), *_many(sizes), *_meanwhile(sizes, 1), *_meanwhile(sizes, 1000)]


# --- one


def _one(sizes: Sizes) -> list[Figure]:
    with place.queue() as queue:
        enqueue = ["queuectl.py", "--db", str(queue.path), "enqueue", place.NOOP]
        bare = ["-c", "import peewee, click"]
        samples = interleaved({"ours": partial(_python_ms, enqueue), "bare": partial(_python_ms, bare)}, sizes.pairs)
    return [
        Figure("`queuectl enqueue`, the whole process", samples["ours"], "ms"),
        Figure('`python -c "import peewee, click"`', samples["bare"], "ms"),
        Figure("`queuectl enqueue` / the bare interpreter", ratios(samples["ours"], samples["bare"]), "", at_most=1.6),
    ]


def _python_ms(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=models.ROOT, capture_output=True, check=True)
    return (time.perf_counter() - began) * 1000


# --- many


def _many(sizes: Sizes) -> list[Figure]:
    payloads = [{"command": f"echo {number}", "priority": number % 5} for number in range(sizes.many)]
    with place.scratch() as folder:
        (lines := folder / "lines").write_text("\n".join(map(json.dumps, payloads)))
        (array := folder / "array").write_text(json.dumps(payloads))
        ways: dict[str, Callable[[Path], object]] = {
            "`enqueue --file`, JSON lines": partial(_from_file, lines),
            "`enqueue --file`, an array": partial(_from_file, array),
            "engine, one call": lambda _: jobs.enqueue_many(payloads),
        }
        samples = interleaved({name: partial(_rate, way, sizes.many) for name, way in ways.items()}, sizes.many_rounds)
    return [Figure(f"{sizes.many:,} jobs: {name}", samples[name], "jobs/s", at_least=50_000.0) for name in ways]


def _from_file(file: Path, database: Path) -> None:
    _python_ms(["queuectl.py", "--db", str(database), "enqueue", "--file", str(file)])


def _rate(way: Callable[[Path], object], count: int) -> float:
    with place.queue() as queue:
        began = time.perf_counter()
        way(queue.path)
        return count / (time.perf_counter() - began)


# --- while workers drain

_STORE = """
import sys, time
import models
from engine import jobs

path, batch, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
models.connect(path)
stored, began = 0, time.monotonic()
while time.monotonic() - began < seconds:
    stored += len(jobs.enqueue_many([{"command": ":"}] * batch))
print(stored / (time.monotonic() - began))
"""


def _meanwhile(sizes: Sizes, batch: int) -> list[Figure]:
    drained: list[float] = []
    with place.queue() as queue:
        queue.fill(int(sizes.seconds * sizes.rounds * 4_000))  # more than one worker drains in all rounds

        def both() -> float:
            storing = _storing(queue.path, batch, sizes.seconds + 1)
            drained.append(_drain(queue, sizes.seconds))
            return float(storing.communicate()[0])

        samples = interleaved(
            {
                "store": lambda: float(_storing(queue.path, batch, sizes.seconds).communicate()[0]),
                "drain": partial(_drain, queue, sizes.seconds),
                "both": both,
            },
            sizes.rounds,
        )
    name = f"{batch:,} job{'s' if batch > 1 else ''} a call"
    return [
        Figure(f"{name}: stored, nobody works", samples["store"], "jobs/s"),
        Figure(f"{name}: stored while a worker drains", ratios(samples["both"], samples["store"]), "", at_least=0.8),
        Figure(f"{name}: drained, nobody stores", samples["drain"], "jobs/s"),
        Figure(f"{name}: drained while another stores", ratios(drained, samples["drain"]), "", at_least=0.8),
    ]


def _storing(path: Path, batch: int, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _STORE, str(path), str(batch), str(seconds)]
    return subprocess.Popen(words, cwd=models.ROOT, stdout=subprocess.PIPE, text=True)


def _drain(queue: place.Queue, seconds: float) -> float:
    with queue.working(1):
        return queue.drain_rate_over(seconds)
