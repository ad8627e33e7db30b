"""How soon the panel answers with a million jobs, beside ten thousand, while workers drain; what 200 open tabs cost them.

Two panels as they are shipped (two gunicorn workers), one for each database. In alternating rounds workers drain one of
them and one client asks for each page, and for each piece as htmx polls it, again and again on one connection. What is
measured is the time until the whole answer is here, client and connection included. Before each round some jobs are
enqueued, and during it as many as were finished, so that the workers always have enough to do.

Then on the large one: the same workers drain with and without 200 tabs, each in a session of its own, in alternating rounds.
A tab wants to poll every two seconds, as the pages do, and waits longer when it is asked to. They poll for a while before it
counts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import models
from benchmarks import filling, place, site
from benchmarks.figures import Figure, alternating, interleaved, quantile, ratios
from models import Job

FED = 5_000  # jobs, before each round: more than the workers finish between two looks at them
FASTEST = 4_000  # jobs that they finish in a second, or fewer
POLLED = ("/", "/jobs", "/dlq", "/queues", "/workers")


class Sizes(NamedTuple):
    many: int = 1_000_000
    few: int = 10_000
    rounds: int = 3
    requests: int = 30  # of each page, in a round
    workers: int = 2
    tabs: int = 200
    tab_rounds: int = 9
    settle: float = 21.0  # seconds that the tabs poll before: as long as they may be asked to wait, and a little
    calm: float = 3.0  # seconds that workers drain after more was enqueued, before it counts
    seconds: float = 12.0  # with the tabs, in a round: the machine changes its speed for seconds


QUICK = Sizes(many=50_000, few=5_000, rounds=1, requests=5, tabs=20, tab_rounds=1, settle=1.0, calm=0.5, seconds=2.0)


class Ask(NamedTuple):
    path: str
    piece: bool = False


def run(sizes: Sizes) -> list[Figure]:
    with _served(sizes.many) as (many, port), _served(sizes.few) as (few, few_port):
        took = _took({many: port, few: few_port}, sizes)
        return [*_figures(took[many], took[few], sizes), *_tabs(many, port, sizes)]


@contextmanager
def _served(total: int) -> Iterator[tuple[Path, int]]:
    """A database with so many jobs, a tenth of them waiting, and the port of its panel."""
    with filling.filled(total * 9 // 10, total // 10) as path, site.panel(path) as port:
        yield path, port


# --- each page

Took = dict[str, list[float]]  # by what was asked for, the milliseconds of each answer


def _took(ports: dict[Path, int], sizes: Sizes) -> dict[Path, Took]:
    found: dict[Path, Took] = {path: {} for path in ports}
    for path in alternating(ports, sizes.rounds):
        with place.queue(path) as queue:
            queue.fill(FED)
            with queue.working(sizes.workers):
                _ask_for_all(queue, ports[path], sizes.requests, found[path])
    return found


def _ask_for_all(queue: place.Queue, port: int, requests: int, found: Took) -> None:
    client = site.Client(port)
    asks = _asks()
    for ask in asks.values():  # a first look at each, not counted
        client.get(*ask)
    for _ in range(requests):
        for name, ask in asks.items():
            began = time.perf_counter()
            client.get(*ask)
            found.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        queue.refill()
    client.close()


def _asks() -> dict[str, Ask]:
    """Every page, and the pieces that are polled; the list of jobs also narrowed, and far from its beginning."""
    middle = place.last_key() // 2
    job = Job.select().where(Job.pk <= middle, Job.state == "completed").order_by(Job.pk.desc()).first()
    asks = {}
    for name, path in (*((path, path) for path in POLLED), ("/jobs/ID", f"/jobs/{job.id}")):
        asks[name] = Ask(path)
        asks[f"{name}, its piece"] = Ask(path, piece=True)
    narrowed = {"state=completed": "", "queue=queue-3": "", "text=": job.id, "tag=": "none", "before=": middle}
    for query, value in narrowed.items():
        asks[f"/jobs?{query}{'…' if value else ''}"] = Ask(f"/jobs?{query}{value}")
    for path in ("tail", "stdout"):
        asks[f"/jobs/ID/{path}"] = Ask(f"/jobs/{job.id}/{path}")
    return asks | {path: Ask(path) for path in ("/config", "/enqueue")}


def _figures(many: Took, few: Took, sizes: Sizes) -> Iterator[Figure]:
    for name, took_ms in many.items():
        yield Figure(f"{name}: {sizes.many:,} jobs", took_ms, "ms", at_most=50)
        yield Figure(f"{name}: 95 %", [quantile(took_ms, 0.95)], "ms")
        yield Figure(f"{name}: beside {sizes.few:,} jobs", [median(took_ms) / median(few[name])], "", at_most=1.5)
    every = [took for answers in many.values() for took in answers]
    yield Figure("one client, all of these in turn", [1000 / mean(every)], "requests/s")


# --- open tabs


def _tabs(database: Path, port: int, sizes: Sizes) -> list[Figure]:
    polls: list[float] = []
    with place.queue(database) as queue, _open_tabs(port, sizes.tabs) as say, queue.working(sizes.workers):
        queue.fill(int((sizes.settle + sizes.calm + sizes.seconds) * FASTEST))

        def alone() -> float:
            queue.refill()
            time.sleep(sizes.calm)
            return queue.drain_rate_over(sizes.seconds)

        def watched() -> float:
            say("poll")
            time.sleep(sizes.settle)
            queue.refill()
            time.sleep(sizes.calm)
            say("poll")  # from here on it counts
            rate = queue.drain_rate_over(sizes.seconds)
            polls.append(say("rest"))
            return rate

        samples = interleaved({"alone": alone, "watched": watched}, sizes.tab_rounds)
    return [
        Figure(f"{sizes.tabs} tabs: polls", polls, "/s"),
        Figure(f"{sizes.workers} workers drain, no tab", samples["alone"], "jobs/s"),
        Figure(f"{sizes.tabs} tabs: of the throughput", ratios(samples["watched"], samples["alone"]), "", at_least=0.9),
    ]


@contextmanager
def _open_tabs(port: int, count: int) -> Iterator[Callable[[str], float]]:
    """Open tabs that rest. What is yielded tells them something and returns their polls a second since it did before."""
    words = [sys.executable, "-m", "benchmarks.tabs", str(port), str(count)]
    with subprocess.Popen(words, cwd=models.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tabs:
        said, answers = tabs.stdin, tabs.stdout
        assert said is not None
        assert answers is not None
        assert answers.readline() == "open\n", "the tabs do not open"

        def say(word: str) -> float:
            print(word, file=said, flush=True)
            return float(answers.readline())

        yield say
