"""Write the wish for workers, and make sure that a supervisor lives to make it true."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

import models
from engine import wakeup
from engine.errors import InvalidInput, NotFound, Unavailable
from models import Worker, db
from workers import locks

MOST = 256  # workers that may live on one host
LAUNCH_S = 10.0
_LOG_LIMIT = 1024 * 1024
# What tells a panel from its workers, and one run of a job from another: a job's command may start a supervisor.
_NOT_INHERITED = ("GUNICORN_", "SERVER_SOFTWARE", "QUEUECTL_JOB_ID", "QUEUECTL_ATTEMPT", "QUEUECTL_RUN")


def start(count: int = 1) -> list[str]:
    """Wish for `count` more workers on this host and return their ids; they start within moments.

    Raises InvalidInput when that would be less than 1 or more than MOST in all, Unavailable when no supervisor
    can be started.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidInput("The number of workers must be a whole number, 1 or more.", "count")
    now = models.now_ms()
    host = socket.gethostname()
    with db.transaction():
        living = _living().count()
        if living + count > MOST:
            raise InvalidInput(f"At most {MOST} workers can live on one host; {living} do.", "count")
        pks = [Worker.insert(host=host, created_at=now).execute() for _ in range(count)]
        wakeup.nudge()
    ensure_supervisor()
    return [f"w{pk}" for pk in pks]


def drain(worker_id: str | None = None) -> list[str]:
    """Let one worker (None: all) finish its job, take no other and leave. Returns the ids. Raises NotFound."""
    return _wish("drain", worker_id)


def stop(worker_id: str | None = None) -> list[str]:
    """End the command of one worker (None: all), give its job back and leave. Returns the ids. Raises NotFound."""
    return _wish("stop", worker_id)


def wait_ended(worker_ids: list[str], timeout_s: float | None = None) -> list[str]:
    """Wait until these workers and their heirs have ended; the ids that live still when `timeout_s` has passed."""
    give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
    pks = {_pk(worker_id) for worker_id in worker_ids}
    while True:
        left = [f"w{pk}" for pk in _living_of(pks)]
        if not left or (give_up_at is not None and time.monotonic() >= give_up_at):
            return left
        ensure_supervisor()  # should it die meanwhile, nobody else would end them
        time.sleep(0.05)


def supervisor_lives() -> bool:
    """Whether this host has a supervisor for this database."""
    return locks.is_held(locks.of_supervisor(models.run_folder()))


def ensure_supervisor() -> None:
    """Start a detached supervisor unless one lives. Raises Unavailable with its last words when it cannot start."""
    if not supervisor_lives():
        _launch()


def log_path() -> str:
    """Where a detached supervisor and its workers write what goes wrong."""
    return os.path.join(models.run_folder(), "supervisor.log")


def _living() -> Any:
    return Worker.select(Worker.pk).where(Worker.stopped_at.is_null())


def _living_of(pks: set[int]) -> list[int]:
    """Those of the workers that live; whoever took the place of one that died is added to them."""
    while True:
        left = [pk for (pk,) in _living().where(Worker.pk.in_(pks)).order_by(Worker.pk).tuples()]
        # Asked for only now: who was not among the living has its heir already, for both are one transaction.
        died: Any = Worker.select(Worker.pk, Worker.stopped_at).where(
            Worker.pk.in_(pks - {*left}), Worker.desired == "run"
        )
        heirs = {heir for pk, at in died.tuples() if (heir := _heir(pk, at))} - pks
        if not heirs:
            return left
        pks |= heirs


def _heir(pk: int, died_at: int) -> int | None:
    """The worker that took this one's place: the first after it that was created in the instant of its death."""
    born: Any = Worker.select(Worker.pk).where(Worker.pk > pk, Worker.created_at == died_at)
    return born.order_by(Worker.pk).limit(1).scalar()


def _pk(worker_id: str) -> int:
    if not (worker_id[:1] == "w" and worker_id[1:].isascii() and worker_id[1:].isdigit() and len(worker_id) < 19):
        raise NotFound(f"There is no worker {worker_id[:32]!r}; ids look like w12.")
    return int(worker_id[1:])


def _wish(wish: str, worker_id: str | None) -> list[str]:
    chosen = Worker.stopped_at.is_null()
    if worker_id is not None:
        chosen &= Worker.pk == _pk(worker_id)
    with db.transaction():
        pks = [pk for (pk,) in _living().where(chosen).tuples()]
        if worker_id is not None and not pks:
            raise NotFound(f"Worker {worker_id} does not live (any more).")
        # A stop is never softened to a drain.
        Worker.update(desired=wish).where(chosen, Worker.desired != "stop").execute()
        wakeup.nudge()
    if pks:
        ensure_supervisor()
    return [f"w{pk}" for pk in pks]


def _launch() -> None:
    """Start `python -m workers --detached` on its own: own session, no inherited descriptors, output to the log."""
    import subprocess  # only whoever finds no supervisor pays for these

    env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    with open(log_path(), "ab") as log:
        if log.tell() > _LOG_LIMIT:
            log.truncate(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", "--detached", "--folder", os.getcwd(), "--db", db.database],
            cwd=models.ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _await(process)


def _await(process: Any) -> None:
    import threading

    give_up_at = time.monotonic() + LAUNCH_S
    while not supervisor_lives():
        if process.poll() not in (None, 0):
            raise Unavailable(f"The supervisor could not start: {_last_words()} The whole story is in {log_path()}.")
        if process.poll() == 0 or time.monotonic() > give_up_at:
            break  # another was quicker and has left already, or this one is slow; the wish stands
        time.sleep(0.005)
    process.returncode = 0  # from here on it is not this object's to watch
    # So that a long-lived panel keeps no zombie.
    threading.Thread(target=os.waitpid, args=(process.pid, 0), daemon=True).start()


def _last_words() -> str:
    with open(log_path(), errors="replace") as log:
        lines = [line.strip() for line in log.readlines()[-20:] if line.strip()]
    return lines[-1] if lines else "it said nothing."
