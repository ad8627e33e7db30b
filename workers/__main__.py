"""`python -m workers`: the supervisor in the foreground.

TERM or INT: the workers finish their jobs, then all leave. INT twice or QUIT: the commands are ended and their
jobs given back.
"""

from __future__ import annotations

import startup

if __name__ == "__main__":
    startup.begin()

# isort: split
import argparse
import os
import signal
import sys
import time
from typing import NoReturn

import models
from engine import lockfile, roster
from engine.errors import InvalidInput, QueueError, Unavailable
from models import Worker
from workers import control, environment, locks, log
from workers.environment import Surroundings
from workers.supervisor import LEAVE_SIGNALS, Supervision

_LOOK_S = 0.2  # how often it looks whether what it waits for is there


def main(argv: list[str] | None = None) -> int:
    """Run the supervisor; the exit status."""
    options = _parser().parse_args(argv)
    try:
        options.db = models.connect(options.db, durable=False).database  # before the folder: it may be a relative path
        around = _surroundings(options)
        if options.detached:
            log.keep_in(control.log_path())
        while _supervise(options, around):
            log.say("supervisor", "beginning again with what is there now")
            _await_database(options.db)
        log.flush()
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    except QueueError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        name = error.filename or "the folder it was started in"
        print(f"The workers cannot use {name}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


def _surroundings(options: argparse.Namespace) -> Surroundings:
    """What jobs start with; this process leaves the folder and makes files for its user alone."""
    folder = os.path.join(environment.here(), options.folder or "").rstrip("/") or "/"
    try:
        os.chdir(folder)
    except OSError as error:
        raise Unavailable(
            f"The workers cannot enter the folder {folder}: {error.strerror}; start them in another, or name one with --folder."
        ) from None
    os.chdir("/")
    environment.keep_private(options.umask)
    return Surroundings(environment.inherited(), folder, environment.umask())


def _supervise(options: argparse.Namespace, around: Surroundings) -> bool:
    """Be the supervisor until it is time to leave. True when it is to begin again: the database is another now."""
    models.connect(options.db, durable=False, create=False)
    lock = _take_lock(wait=not options.detached)
    if lock is None:
        return False
    lockfile.write(lock, not options.detached, around.folder, leaving=False)
    # From here on they wait until the supervisor heeds them: no wish is left behind with nobody to make it true.
    signal.pthread_sigmask(signal.SIG_BLOCK, LEAVE_SIGNALS)
    roster.note_folder(around.folder)
    _wish_for(options.count)
    was_taken_away = Supervision(lock, managed=not options.detached, around=around).run()
    return was_taken_away and (not options.detached or os.path.exists(options.db))


def _await_database(path: str) -> None:
    """Return once there is a database at `path` (again). Raises Unavailable when not even its folder is left."""
    _leave_at_once()
    if not os.path.exists(path):
        log.say("supervisor", f"waiting until {path} is put back")
    while not os.path.exists(path):
        if not os.path.isdir(os.path.dirname(path)):
            raise Unavailable(f"The folder of the database {path} was deleted; choose another place.")
        time.sleep(_LOOK_S)


def _leave_at_once() -> None:
    """From here on TERM, INT and QUIT end this process: it has no workers."""
    for number in LEAVE_SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence, without the lines about usage."""
        self.exit(2, f"{self.prog}: {message}; see --help.\n")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a number of workers, 0 to {control.MOST}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m workers", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=_count, default=0, help="keep at least this many workers")
    parser.add_argument("--db", help="the database (default: env QUEUECTL_DB, else queue.db beside the code)")
    parser.add_argument("--folder", help="where jobs run (default: here)")
    parser.add_argument(
        "--umask", type=_octal, help="the umask of jobs, in octal digits (default: that of this process)"
    )
    parser.add_argument("--detached", action="store_true", help="leave when no worker is wanted")
    return parser


def _octal(digits: str) -> int:
    return int(digits, 8) & 0o777


def _take_lock(wait: bool) -> int | None:
    """The supervisor lock. When another supervisor has it: None, or with `wait` its lock once it is gone."""
    path = locks.of_supervisor(models.run_folder())
    lock = locks.take(path)
    if lock is None and wait:
        _leave_at_once()
        print("Another supervisor runs the workers of this database; waiting to take over.", file=sys.stderr)
        while lock is None:
            time.sleep(_LOOK_S)
            lock = locks.take(path)
    return lock


def _wish_for(count: int) -> None:
    """Bring the number of wanted workers to `count` at least; those of an earlier life count. Raises InvalidInput."""
    if count > control.MOST:
        raise InvalidInput(f"At most {control.MOST} workers can live on one host; {count:,} were asked for.", "count")
    wanted = Worker.select().where(Worker.stopped_at.is_null(), Worker.desired == "run").count()
    now = models.now_ms()
    for _ in range(count - wanted):
        Worker.insert(host="", created_at=now).execute()


if __name__ == "__main__":
    sys.exit(main())
