"""Write the wish for workers, and make sure that a supervisor lives to make it true."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from typing import Any, NamedTuple

import models
from engine import liveness, lockfile, ownership, wakeup
from engine.errors import InvalidInput, NotFound, QueueError, Refused, Unavailable
from engine.liveness import supervisor_lives as supervisor_lives
from models import Job, Worker, db
from workers import environment, locks, log

MOST = 256  # workers that may live on one host
LAUNCH_S = 10.0
WISHES = ("run", "drain", "stop", "kill")  # each stronger than those before


class Scaling(NamedTuple):
    """How many workers took jobs before, and the ids of those that were started or drained to change it."""

    before: int
    started: list[str]
    drained: list[str]


def start(count: int = 1) -> list[str]:
    """Wish for `count` more workers on this host and return their ids; they start within moments.

    Raises InvalidInput when that would be less than 1 or more than MOST in all, Refused while the supervisor leaves and
    only its service begins another, Unavailable when no supervisor can be started. What is refused leaves nothing.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidInput("The number of workers must be a whole number, 1 or more.", "count")
    with db.transaction():
        ids = _bear(count)
    _make_true(ids, {})
    return ids


def drain(worker_id: str | None = None) -> list[str]:
    """Let one worker (None: all) finish its job, take no other and leave. Returns the ids. Raises NotFound."""
    return _wish("drain", worker_id)


def stop(worker_id: str | None = None) -> list[str]:
    """End the command of one worker (None: all), give its job back and leave. Returns the ids. Raises NotFound."""
    return _wish("stop", worker_id)


def force_stop(worker_id: str | None = None) -> list[str]:
    """Kill one worker (None: all) and all that it runs, without notice; its job goes back. Returns the ids.

    For those that a stop does not end: nothing is asked to finish or to clean up. Raises NotFound.
    """
    return _wish("kill", worker_id)


def scale(count: int) -> Scaling:
    """Let `count` workers take jobs: start those that lack, or drain those that are too many, idle ones first.

    Raises InvalidInput when that is less than 0 or more than MOST, Refused and Unavailable as `start`.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise InvalidInput("The number of workers must be a whole number, 0 or more.", "count")
    if count > MOST:
        raise InvalidInput(f"At most {MOST} workers can live on one host.", "count")
    with db.transaction():
        willing = _easiest_to_spare_first()
        spared = willing[: max(0, len(willing) - count)]
        Worker.update(desired="drain").where(Worker.pk.in_(spared)).execute()
        done = Scaling(len(willing), _bear(max(0, count - len(willing))), [f"w{pk}" for pk in spared])
    if count or done.drained:  # also where that many are wanted already, and died with their supervisor
        _make_true(done.started, {"run": spared})
    return done


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


def _make_true(born: list[str], before: dict[str, list[int]]) -> None:
    """Let a supervisor make a wish true, or take the wish back and raise: what is refused leaves nothing.

    born: the workers that were just requested. before: the pks of the workers that were asked to end, by their earlier wish.
    """
    try:
        ensure_supervisor()
    except QueueError:
        with db.transaction():
            Worker.delete().where(Worker.pk.in_([_pk(name) for name in born]), Worker.started_at.is_null()).execute()
            for desired, pks in before.items():
                Worker.update(desired=desired).where(Worker.pk.in_(pks)).execute()
        raise


def replace_supervisor() -> str | None:
    """Start another supervisor, in the folder of the last one, if that died and is missed; then the sentence about it.

    Raises Unavailable as `ensure_supervisor`.
    """
    missed = liveness.missed_supervisor()
    if missed is None:
        return None
    with suppress(OSError):
        os.utime(locks.of_supervisor(models.run_folder()))  # the others leave it to this process for a while
    ensure_supervisor(missed.folder)
    return f"The supervisor of the workers (process {missed.pid}) had died; another was started in {missed.folder}."


def ensure_supervisor(folder: str | None = None) -> None:
    """Start a detached supervisor unless one lives; its jobs run in `folder`, None: the present one.

    Raises Unavailable with its last words when it cannot start.
    """
    try:
        if not supervisor_lives():
            _launch(folder)
    except OSError as error:
        name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        raise Unavailable(f"The supervisor could not start: {name}{error.strerror}.") from error


def log_path() -> str:
    """Where a detached supervisor and its workers write what goes wrong."""
    return os.path.join(models.run_folder(), "supervisor.log")


def _bear(count: int) -> list[str]:
    """Inside a transaction: request `count` more workers. Returns their ids."""
    note = lockfile.read(f"{db.database}.run")
    if note and note.managed and note.leaving and supervisor_lives():
        raise Refused(
            f"The supervisor (process {note.pid}) was told to end and starts no workers; start its service or 'make run' "
            "again, or try again when it has ended."
        )
    living = _living().count()
    if living + count > MOST:
        raise InvalidInput(f"At most {MOST} workers can live on one host; {living} do.", "count")
    wish = {"host": socket.gethostname(), "created_at": models.now_ms()}
    pks = [Worker.insert(wish).execute() for _ in range(count)]
    wakeup.nudge()
    return [f"w{pk}" for pk in pks]


def _easiest_to_spare_first() -> list[int]:
    """The workers that take jobs: those that have not begun, then those without a job, then those of the newest job."""
    held: Any = Job.select(Job.locked_by, Job.locked_at).where(Job.state == "processing")
    since = dict(held.tuples())
    willing = Worker.select().where(Worker.stopped_at.is_null(), Worker.desired == "run")

    def cost(worker: Worker) -> tuple[bool, bool, int, int]:
        return worker.started_at is not None, worker.id in since, -since.get(worker.id, 0), -worker.pk

    return [worker.pk for worker in sorted(willing, key=cost)]


def _living() -> Any:
    return Worker.select(Worker.pk).where(Worker.stopped_at.is_null())


def _living_of(pks: set[int]) -> list[int]:
    """Those of the workers that live. Adds the replacements of dead workers to `pks`."""
    while True:
        left = [pk for (pk,) in _living().where(Worker.pk.in_(pks)).order_by(Worker.pk).tuples()]
        # Asked for only now: who was not among the living has its heir already, for both are one transaction.
        born: Any = Worker.select(Worker.pk).where(Worker.heir_of.in_(pks))
        heirs = {pk for (pk,) in born.tuples()} - pks
        if not heirs:
            return left
        pks |= heirs


def _pk(worker_id: str) -> int:
    if not (worker_id[:1] == "w" and worker_id[1:].isascii() and worker_id[1:].isdigit() and len(worker_id) < 19):
        raise NotFound(f"There is no worker {worker_id[:32]!r}; ids look like w12.")
    return int(worker_id[1:])


def _wish(wish: str, worker_id: str | None) -> list[str]:
    chosen = Worker.stopped_at.is_null()
    if worker_id is not None:
        chosen &= Worker.pk == _pk(worker_id)
    with db.transaction():
        before: dict[str, list[int]] = {}
        for worker in Worker.select().where(chosen).order_by(Worker.pk):
            before.setdefault(worker.desired, []).append(worker.pk)
        pks = sorted(pk for some in before.values() for pk in some)
        if worker_id is not None and not pks:
            raise NotFound(f"Worker {worker_id} does not live (any more).")
        # A stop is never softened to a drain.
        Worker.update(desired=wish).where(chosen, Worker.desired.in_(WISHES[: WISHES.index(wish)])).execute()
        wakeup.nudge()
    if pks:
        _make_true([], before)
    return [f"w{pk}" for pk in pks]


def _launch(folder: str | None) -> None:
    """Start `python -m workers --detached` on its own: own session, no inherited descriptors, output to the log."""
    import subprocess  # only whoever finds no supervisor pays for these

    command = [sys.executable, "-m", "workers", "--detached", "--db", db.database]
    with suppress(OSError):  # what is wrong with the file is said when it is opened
        log.put_aside(log_path())
    with open(ownership.make(log_path(), os.O_WRONLY | os.O_APPEND), "ab") as file:
        process = subprocess.Popen(
            [*command, "--folder", folder or environment.here(), "--umask", f"{environment.umask():o}"],
            cwd=models.ROOT,
            env=environment.inherited(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
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
    if process.returncode is None:
        process.returncode = 0  # from here on it is not this object's to watch
        # So that a long-lived panel keeps no zombie.
        threading.Thread(target=_reap, args=(process.pid,), daemon=True).start()


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # whoever waits for all children was quicker
        os.waitpid(pid, 0)


def _last_words() -> str:
    with open(log_path(), errors="replace") as file:
        lines = [line.strip() for line in file.readlines()[-20:] if line.strip()]
    return lines[-1] if lines else "it said nothing."


def is_anyone_wanted() -> bool:
    """Whether a worker is wished for, on any host."""
    return Worker.select().where(Worker.stopped_at.is_null()).exists()


def is_anyone_wanted_since(instant: int) -> bool:
    """Whether a worker was wished for since that instant and is not begun; True when the database does not say."""
    new = (Worker.created_at >= instant) & Worker.started_at.is_null() & (Worker.desired == "run")
    try:
        return Worker.select().where(Worker.stopped_at.is_null(), new).exists()
    except Unavailable:
        return True


def may_anyone_be_wanted() -> bool:
    """Whether anyone is wanted; True when the database does not say, for whoever asks has no lock to wait with."""
    try:
        return is_anyone_wanted()
    except Unavailable:
        return True
