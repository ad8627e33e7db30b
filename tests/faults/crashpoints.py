"""The points at which a process is killed, frozen or refused what it asks for, and how one is armed.

`CRASHPOINT=point:how[:nth]` and CRASHPOINT_MARK (a file) in the environment of a process that has
tests/faults/armed on its PYTHONPATH arm it and all that it starts. The product knows nothing of it: functions are
wrapped by name, statements are met in the driver. Whoever reaches the point leaves the mark, so it fires once, and a
point that nobody reached (because a function was renamed) is seen.

how: kill (SIGKILL), freeze (SIGSTOP), full, io (the driver's errors), files, processes (EMFILE, EAGAIN). An error
comes in the place of a statement, so only before one: SQLite lets none fail that it has carried out.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

WORKER, SUPERVISOR, COMMAND = "worker", "supervisor", "command"
BEFORE, AFTER = "before", "after"


class Call(NamedTuple):
    """Before or after a function runs; `given`: only with this among its arguments (as text, a pattern)."""

    side: str
    function: str
    given: str = ""


class Statement(NamedTuple):
    """Before or after the driver runs a statement like this; `within`: in a transaction that ran such a one before."""

    side: str
    sql: str
    within: str = ""


class Commit(NamedTuple):
    """Before or after the COMMIT of a transaction that ran statements like these."""

    side: str
    sql: str
    also: str = ""


Where = Call | Statement | Commit

CLAIM = r"UPDATE\s+job\s+SET\s+state\s*=\s*'processing'"
ENDS = r"UPDATE\s+job\s+SET\s+state\s*=\s*CASE WHEN cancel_requested AND[^;]*FROM \(VALUES"
END = r"UPDATE\s+job\s+SET\s+state\s*=\s*CASE WHEN cancel_requested AND"
BACK = r"UPDATE\s+job\s+SET\s+state\s*=\s*CASE WHEN cancel_requested THEN"
ATTEMPT = r"INSERT INTO attempt(?!.*'lost')(?!.*'running')"
ATTEMPTS = r"INSERT INTO attempt[^;]*FROM \(VALUES"
LOST = r"INSERT INTO attempt.*'lost'"
SHOWN = r"INSERT INTO attempt.*'running'"
NEW_JOB = r"INSERT INTO job\b"
CLOCK = r"UPDATE\s+job\s+SET\s+next_run_at\s*=\s*CASE"
BORN = r'UPDATE "worker" SET.*"started_at" = \?'
PID = r'UPDATE "worker" SET "pid"|UPDATE "worker" SET.*"status" = .*"pid" = '
DEAD = r'UPDATE "worker" SET.*"stopped_at" = \?'
WISH = r'INSERT INTO "worker"'
WISHED = r'UPDATE "worker" SET "desired"'
ROW = r'INSERT INTO "supervisor"'
BEAT = r'UPDATE "supervisor" SET "beat_at"'
LEFT = r'UPDATE "supervisor" SET "stopped_at"'
OLD_JOBS = r'DELETE FROM "job"'
OLD_OUTPUT = r'UPDATE "attempt" SET.*"stdout" = '
OLD_WORKERS = r'DELETE FROM "worker"'


class Point(NamedTuple):
    """One point: who must reach it and where, in which scene, what happens to whoever does.

    lost: runs that a kill there costs. done: whether what a command was asked for is done after a kill there.
    nth: the time that counts, of those that one process reaches it.
    """

    who: str
    where: Where
    scene: str
    how: str
    lost: int = 0
    done: bool = False
    nth: int = 1


def _calls(function: str, given: str = "") -> tuple[Call, Call]:
    return Call(BEFORE, function, given), Call(AFTER, function, given)


_FORGET = "workers.journal.Writer.forget"
_TELL, _OBEY = "workers.birth.Child.tell", "workers.loop.Loop._obey"

POINTS = {
    # --- a worker is born
    "birth: in the child of the fork": Point(WORKER, Call(AFTER, "os.fork"), "work", "kill freeze"),
    "birth: before it adopts orphans": Point(WORKER, Call(BEFORE, "workers.tree.adopt_orphans"), "work", "kill"),
    "birth: before it opens the database": Point(WORKER, Call(BEFORE, "workers.birth._open"), "work", "kill"),
    "birth: before its first claim": Point(WORKER, Call(BEFORE, "workers.loop.Loop.run"), "work", "kill"),
    # --- a worker claims, runs, reports
    "claim: before the statement": Point(WORKER, Statement(BEFORE, CLAIM), "work", "io"),
    "claim: after the statement": Point(WORKER, Statement(AFTER, CLAIM), "work", "kill freeze"),
    "claim: before its commit": Point(WORKER, Commit(BEFORE, CLAIM), "work", "kill full"),
    "claim: after its commit": Point(WORKER, Commit(AFTER, CLAIM), "work", "kill freeze"),
    "run: before the settings are read": Point(
        WORKER, Call(BEFORE, "workers.loop.Loop._order"), "work", "kill", lost=1
    ),
    "run: before the shell is started": Point(WORKER, Call(BEFORE, "workers.shell.start"), "work", "kill", lost=1),
    "run: after the shell is started": Point(WORKER, Call(AFTER, "workers.shell.start"), "work", "kill freeze", lost=1),
    "output: before it is shown": Point(WORKER, Statement(BEFORE, SHOWN), "talk", "io", lost=1),
    "output: after it is shown": Point(WORKER, Commit(AFTER, SHOWN), "talk", "kill", lost=1),
    "output: before its commit": Point(WORKER, Commit(BEFORE, SHOWN), "talk", "kill full", lost=1),
    "end: the shell has ended, what it left has not": Point(
        WORKER, Call(BEFORE, "workers.command._Running._end_leftovers"), "work", "kill", lost=1
    ),
    "end: nothing of the run is left": Point(WORKER, Call(BEFORE, "workers.hand.Hand.end"), "work", "kill", lost=1),
    "end: before the statement": Point(WORKER, Statement(BEFORE, END), "work", "kill io full"),
    "end: after the statement": Point(WORKER, Statement(AFTER, END), "work", "kill freeze"),
    "end: before the attempt": Point(WORKER, Statement(BEFORE, ATTEMPT), "work", "io"),
    "end: after the attempt": Point(WORKER, Statement(AFTER, ATTEMPT), "work", "kill"),
    "end: before the next claim, in one transaction": Point(
        WORKER, Statement(BEFORE, CLAIM, within=END), "work", "full"
    ),
    "end: after the next claim, in one transaction": Point(
        WORKER, Statement(AFTER, CLAIM, within=END), "work", "kill freeze"
    ),
    "end: before the commit of end and next claim": Point(WORKER, Commit(BEFORE, END, CLAIM), "work", "kill full"),
    "end: after the commit of end and next claim": Point(WORKER, Commit(AFTER, END, CLAIM), "work", "kill freeze"),
    "end: after the commit of the last end": Point(WORKER, Commit(AFTER, END, CLAIM), "work", "kill", nth=2),
    # --- short jobs, several at once: one alone, then two, then four
    "hand: four are claimed, none has begun": Point(WORKER, Commit(AFTER, END, CLAIM), "many", "kill freeze", nth=2),
    "hand: what was said of the stored ends is forgotten": Point(WORKER, Call(AFTER, _FORGET), "many", "kill", nth=3),
    "hand: an end is known to the worker alone": Point(
        WORKER, Call(BEFORE, "workers.journal.Writer.begin"), "many", "kill", lost=1, nth=5
    ),
    "hand: an end and the next beginning are half written down": Point(
        WORKER, Call(BEFORE, "zlib.crc32"), "many", "kill", lost=1, nth=7
    ),
    "hand: an end is written down and the next command said to begin": Point(
        WORKER, Call(AFTER, "workers.journal.Writer.begin"), "many", "kill freeze", lost=1, nth=5
    ),
    "hand: a command runs, ends are written down, not stored": Point(
        WORKER, Call(AFTER, "workers.shell.start"), "many", "kill freeze", lost=1, nth=6
    ),
    "hand: the last end is known to the worker alone": Point(
        WORKER, Call(BEFORE, "workers.journal.Writer.end"), "many", "kill", lost=1, nth=2
    ),
    "hand: the last end is half written down": Point(WORKER, Call(BEFORE, "zlib.crc32"), "many", "kill", lost=1, nth=5),
    "hand: an end is written down, not stored, and nothing runs": Point(
        WORKER, Call(AFTER, "workers.journal.Writer.end"), "many", "kill freeze", nth=2
    ),
    "hand: before many ends are stored at once": Point(WORKER, Statement(BEFORE, ENDS), "many", "kill io full"),
    "hand: after many ends are stored at once": Point(WORKER, Statement(AFTER, ENDS), "many", "kill freeze"),
    "hand: before their attempts are stored at once": Point(
        WORKER, Statement(BEFORE, ATTEMPTS), "many", "kill io full"
    ),
    "hand: after their attempts are stored at once": Point(WORKER, Statement(AFTER, ATTEMPTS), "many", "kill"),
    "hand: before the first of four ends is stored": Point(
        WORKER, Statement(BEFORE, END), "many", "kill io full", nth=4
    ),
    "hand: before the second of four ends is stored": Point(WORKER, Statement(BEFORE, END), "many", "kill full", nth=5),
    "hand: before the commit of four ends": Point(
        WORKER, Commit(BEFORE, END, CLAIM), "many", "kill full freeze", nth=3
    ),
    "hand: after the commit of four ends": Point(WORKER, Commit(AFTER, END, CLAIM), "many", "kill", nth=3),
    "hand: before what waits is given back": Point(WORKER, Statement(BEFORE, BACK), "stop many", "kill io"),
    "hand: after what waits is given back": Point(WORKER, Commit(AFTER, BACK), "stop many", "kill freeze"),
    "leave: before it heeds a drain": Point(WORKER, Call(BEFORE, _OBEY, "drain"), "work", "kill"),
    "leave: before its connection is closed": Point(WORKER, Call(BEFORE, "models.disconnect"), "work", "kill"),
    # --- a supervisor begins, starts workers, does its chores, leaves
    "begin: before the lock is taken": Point(
        SUPERVISOR, Call(BEFORE, "workers.locks.take", r"supervisor\.lock"), "work", "kill"
    ),
    "begin: after the lock is taken": Point(
        SUPERVISOR, Call(AFTER, "workers.locks.take", r"supervisor\.lock"), "work", "kill freeze"
    ),
    "begin: between the wishes for its workers": Point(SUPERVISOR, Statement(AFTER, WISH), "work", "kill"),
    "begin: before its row": Point(SUPERVISOR, Statement(BEFORE, ROW), "work", "kill io"),
    "begin: after its row": Point(SUPERVISOR, Statement(AFTER, ROW), "work", "kill"),
    "start: before it is noted": Point(SUPERVISOR, Statement(BEFORE, BORN), "work", "kill full"),
    "start: after it is noted": Point(SUPERVISOR, Statement(AFTER, BORN), "work", "kill"),
    "start: before the worker's lock is taken": Point(
        SUPERVISOR, Call(BEFORE, "workers.locks.take", r"w\d+\.lock"), "work", "files"
    ),
    "start: after the worker's lock is taken": Point(
        SUPERVISOR, Call(AFTER, "workers.locks.take", r"w\d+\.lock"), "work", "kill"
    ),
    "start: before the jobs' lock is taken": Point(
        SUPERVISOR, Call(BEFORE, "workers.locks.take", r"jobs\.lock"), "work", "files"
    ),
    "start: before the fork": Point(SUPERVISOR, Call(BEFORE, "os.fork"), "work", "kill processes"),
    "start: after the fork": Point(SUPERVISOR, Call(AFTER, "os.fork"), "work", "kill freeze"),
    "start: before the pid is noted": Point(SUPERVISOR, Statement(BEFORE, PID), "work", "kill io"),
    "start: after the pid is noted": Point(SUPERVISOR, Statement(AFTER, PID), "work", "kill"),
    "wake: before the worker is told": Point(SUPERVISOR, Call(BEFORE, _TELL, "wake"), "idle", "freeze"),
    "wake: after the worker is told": Point(SUPERVISOR, Call(AFTER, _TELL, "wake"), "idle", "kill"),
    "chore: before the beat": Point(SUPERVISOR, Statement(BEFORE, BEAT), "work", "io"),
    "chore: after the beat": Point(SUPERVISOR, Statement(AFTER, BEAT), "work", "kill"),
    "chore: before the checkpoint": Point(SUPERVISOR, Statement(BEFORE, "wal_checkpoint"), "work", "io"),
    "chore: after the checkpoint": Point(SUPERVISOR, Statement(AFTER, "wal_checkpoint"), "work", "kill freeze"),
    "chore: before old jobs are gone": Point(SUPERVISOR, Commit(BEFORE, OLD_JOBS), "old", "kill full"),
    "chore: after old jobs are gone": Point(SUPERVISOR, Commit(AFTER, OLD_JOBS), "old", "kill"),
    "chore: before old output is gone": Point(SUPERVISOR, Statement(BEFORE, OLD_OUTPUT), "old", "io"),
    "chore: after old output is gone": Point(SUPERVISOR, Statement(AFTER, OLD_OUTPUT), "old", "kill"),
    "chore: before old workers are gone": Point(SUPERVISOR, Statement(BEFORE, OLD_WORKERS), "old", "kill"),
    "chore: before jobs follow the clock": Point(SUPERVISOR, Commit(BEFORE, CLOCK), "clock", "kill full"),
    "chore: after jobs follow the clock": Point(SUPERVISOR, Commit(AFTER, CLOCK), "clock", "kill"),
    "leave: before the workers are told": Point(SUPERVISOR, Call(BEFORE, _TELL, "drain"), "work", "freeze"),
    "leave: after the workers are told": Point(SUPERVISOR, Call(AFTER, _TELL, "drain"), "work", "kill"),
    "leave: before its row": Point(SUPERVISOR, Statement(BEFORE, LEFT), "work", "io"),
    "leave: before the lock is released": Point(SUPERVISOR, Statement(AFTER, LEFT), "leave", "kill freeze"),
    "leave: the lock is released, the last look is not taken": Point(
        SUPERVISOR, Call(BEFORE, "workers.control.may_anyone_be_wanted"), "leave", "kill freeze"
    ),
    # --- a supervisor buries a worker
    "burial: reaped, nothing done": Point(
        SUPERVISOR, Call(BEFORE, "workers.burial.bury"), "death", "kill freeze", lost=1
    ),
    "burial: while marked processes are ended": Point(
        SUPERVISOR, Call(BEFORE, "workers.tree.end_marked"), "death", "kill", lost=1
    ),
    "burial: all processes are ended": Point(
        SUPERVISOR, Call(AFTER, "workers.burial._clear"), "death", "kill freeze", lost=1
    ),
    "burial: before the job is given back": Point(SUPERVISOR, Statement(BEFORE, END), "death", "kill io", lost=1),
    "burial: before the lost attempt": Point(SUPERVISOR, Statement(BEFORE, LOST), "death", "full", lost=1),
    "burial: before the end of the worker": Point(SUPERVISOR, Statement(BEFORE, DEAD), "death", "kill", lost=1),
    "burial: before the wish for an heir": Point(
        SUPERVISOR, Statement(BEFORE, WISH, within=LOST), "death", "io", lost=1
    ),
    "burial: before its commit": Point(SUPERVISOR, Commit(BEFORE, LOST), "death", "kill full", lost=1),
    "burial: after its commit": Point(SUPERVISOR, Commit(AFTER, LOST), "death", "kill freeze", lost=1),
    "burial: before the locks are removed": Point(
        SUPERVISOR, Call(BEFORE, "workers.locks.forget", r"w\d+\.lock"), "death", "kill", lost=1
    ),
    "burial: after the locks are removed": Point(
        SUPERVISOR, Call(AFTER, "workers.locks.forget", r"w\d+\.lock"), "death", "kill", lost=1
    ),
    "burial: before the heir is started": Point(
        SUPERVISOR, Call(BEFORE, "workers.birth.each_forked"), "death", "kill", lost=1, nth=2
    ),
    # --- a supervisor finds the workers of one that died
    "orphan: before it knows": Point(
        WORKER, Call(BEFORE, "workers.loop.Loop._become_orphan"), "orphaned", "kill", lost=1
    ),
    "orphan: once it knows": Point(
        WORKER, Call(AFTER, "workers.loop.Loop._become_orphan"), "orphaned", "kill freeze", lost=1
    ),
    "orphan: before it is attended": Point(
        SUPERVISOR, Call(BEFORE, "workers.supervisor.Supervision._attend_orphan"), "orphan", "freeze"
    ),
    "orphan: before its pid is found": Point(SUPERVISOR, Call(BEFORE, "workers.orphans.find_pid"), "orphan", "kill"),
    "orphan: after its pid is found": Point(SUPERVISOR, Call(AFTER, "workers.orphans.find_pid"), "orphan", "kill"),
    "orphan: before it is told to stop": Point(
        SUPERVISOR, Call(BEFORE, "workers.orphans.send"), "orphan stops", "kill"
    ),
    "orphan: after it is told to stop": Point(SUPERVISOR, Call(AFTER, "workers.orphans.send"), "orphan stops", "kill"),
    "orphan: before its burial is committed": Point(SUPERVISOR, Commit(BEFORE, DEAD), "orphan", "kill io"),
    "orphan: after its burial is committed": Point(SUPERVISOR, Commit(AFTER, DEAD), "orphan", "kill"),
    # --- wishes are passed on
    "cancel: before it is passed on": Point(SUPERVISOR, Call(BEFORE, _TELL, "cancel"), "cancel", "freeze"),
    "cancel: after it is passed on": Point(SUPERVISOR, Call(AFTER, _TELL, "cancel"), "cancel", "kill"),
    "cancel: before it is heard": Point(WORKER, Call(BEFORE, _OBEY, "cancel"), "cancel", "kill freeze", lost=1),
    "cancel: before the end is committed": Point(WORKER, Commit(BEFORE, END), "cancel", "kill full"),
    "cancel: after the end is committed": Point(WORKER, Commit(AFTER, END), "cancel", "kill"),
    "stop: before it is passed on": Point(SUPERVISOR, Call(BEFORE, _TELL, "stop"), "stop", "freeze"),
    "stop: after it is passed on": Point(SUPERVISOR, Call(AFTER, _TELL, "stop"), "stop", "kill"),
    "stop: before it is heard": Point(WORKER, Call(BEFORE, _OBEY, "stop"), "stop", "kill", lost=1),
    "stop: before the job is given back": Point(WORKER, Commit(BEFORE, END), "stop", "kill io"),
    "stop: after the job is given back": Point(WORKER, Commit(AFTER, END), "stop", "kill"),
    # --- commands
    "enqueue: before the statement": Point(COMMAND, Statement(BEFORE, NEW_JOB), "enqueue", "io"),
    "enqueue: before its commit": Point(COMMAND, Commit(BEFORE, NEW_JOB), "enqueue", "kill full"),
    "enqueue: after its commit": Point(COMMAND, Commit(AFTER, NEW_JOB), "enqueue", "kill", done=True),
    "enqueue: in the middle of a batch": Point(COMMAND, Statement(BEFORE, NEW_JOB), "batch", "kill full", nth=2),
    "enqueue: before the commit of a batch": Point(COMMAND, Commit(BEFORE, NEW_JOB), "batch", "kill"),
    "cancel: before its commit": Point(COMMAND, Commit(BEFORE, 'UPDATE "job"'), "cancel waiting", "kill full"),
    "cancel: after its commit": Point(COMMAND, Commit(AFTER, 'UPDATE "job"'), "cancel waiting", "kill", done=True),
    "retry: before its commit": Point(COMMAND, Commit(BEFORE, 'UPDATE "job"'), "retry", "io"),
    "retry: after its commit": Point(COMMAND, Commit(AFTER, 'UPDATE "job"'), "retry", "kill", done=True),
    "retry all: before its commit": Point(COMMAND, Commit(BEFORE, 'UPDATE "job"'), "retry all", "kill"),
    "delete: before its commit": Point(COMMAND, Commit(BEFORE, 'UPDATE "job"'), "delete", "full"),
    "delete: after its commit": Point(COMMAND, Commit(AFTER, 'UPDATE "job"'), "delete", "kill", done=True),
    "prune: before its commit": Point(COMMAND, Commit(BEFORE, OLD_JOBS), "prune", "io"),
    "prune: after its commit": Point(COMMAND, Commit(AFTER, OLD_JOBS), "prune", "kill", done=True),
    "set: before its commit": Point(COMMAND, Commit(BEFORE, 'INTO "config"'), "set", "full"),
    "set: after its commit": Point(COMMAND, Commit(AFTER, 'INTO "config"'), "set", "kill", done=True),
    "worker start: before its commit": Point(COMMAND, Commit(BEFORE, WISH), "worker start", "io"),
    "worker start: before a supervisor is started": Point(
        COMMAND, Call(BEFORE, "workers.control._launch"), "worker start", "kill", done=True
    ),
    "worker start: before the supervisor is waited for": Point(
        COMMAND, Call(BEFORE, "workers.control._await"), "worker start", "kill", done=True
    ),
    "worker drain: before its commit": Point(COMMAND, Commit(BEFORE, WISHED), "worker drain", "full"),
    "worker drain: after its commit": Point(COMMAND, Commit(AFTER, WISHED), "worker drain", "kill", done=True),
    "backup: before the copy": Point(COMMAND, Statement(BEFORE, "VACUUM INTO"), "backup", "kill io"),
    "backup: before it has its name": Point(COMMAND, Call(BEFORE, "os.rename"), "backup", "kill"),
    "restore: before the backup is staged": Point(COMMAND, Call(BEFORE, "engine.backup._copy"), "restore", "kill"),
    "restore: before its running jobs are given back": Point(
        COMMAND, Commit(BEFORE, r'UPDATE "meta"'), "restore", "kill io"
    ),
    "restore: it is staged, not in place": Point(
        COMMAND, Call(BEFORE, "engine.backup._put_in_place"), "restore", "kill"
    ),
    "restore: before what is there is kept": Point(
        COMMAND, Call(BEFORE, "engine.backup._copy"), "restore", "kill", nth=3
    ),
    "restore: what is there is kept, half is written": Point(COMMAND, Call(AFTER, "os.link"), "restore", "kill"),
    "restore: after it is in place": Point(
        COMMAND, Call(AFTER, "engine.backup._write_over"), "restore", "kill", done=True
    ),
    "import: in the middle": Point(COMMAND, Statement(BEFORE, NEW_JOB), "import", "full", nth=2),
    "import: before its commit": Point(COMMAND, Commit(BEFORE, NEW_JOB), "import", "kill"),
    "import: after its commit": Point(COMMAND, Commit(AFTER, NEW_JOB), "import", "kill", done=True),
    "migration: before the first step": Point(COMMAND, Statement(BEFORE, "CREATE TABLE"), "migration", "kill"),
    "migration: between two steps": Point(COMMAND, Statement(BEFORE, "CREATE INDEX"), "migration", "kill full"),
    "migration: before it is complete": Point(
        COMMAND, Statement(BEFORE, r"PRAGMA user_version ="), "migration", "kill io"
    ),
}


# --- arming


def arm(fault: str, mark: str) -> None:
    """Prepare this process and all that it forks for `point:how[:nth]`."""
    name, how, nth = fault.rsplit(":", 2) if fault[-1].isdigit() else (*fault.rsplit(":", 1), "1")
    point = POINTS[name]
    trap = _Trap(point.who, how, int(nth), mark)
    if isinstance(point.where, Call):
        _wrap(point.where, trap)
    else:
        _watch_the_driver(point.where, trap)
    _hurry()


def _hurry() -> None:
    """What waits a second to spare the machine waits less here; how long is not what is tested."""
    from engine import retention
    from workers import birth, chores, command, hand, loop, supervisor

    hand.SHORT_MS, hand.TOGETHER_S = 10_000, 100.0  # on a busy machine too, the jobs of the scenes are short
    command.LINGER_S = 10
    command.SHOW_EVERY_S = 0.05
    birth.RESTART_S = (0, 1)
    supervisor.REST_S = 0.1
    chores.FAILED_S = retention._REST_S = 0.1
    listen = loop.Loop._listen
    loop.Loop._listen = lambda self, wait_s: listen(self, wait_s and 0.05)  # type: ignore[method-assign]


class _Trap:
    """Closes on the process of kind `who` that steps on it for the nth time; only once in all."""

    def __init__(self, who: str, how: str, nth: int, mark: str):
        self.who, self.how, self.nth, self.mark = who, how, nth, mark
        self.pid = os.getpid()
        self.steps = 0

    def step(self, undo: Callable[[], None] = lambda: None) -> None:
        if self._role() != self.who:
            return
        self.steps += 1
        if self.steps == self.nth and self._is_first():
            self._close(undo)

    def _role(self) -> str:
        if os.getpid() != self.pid:
            return WORKER
        return SUPERVISOR if sys.orig_argv[1:3] == ["-m", "workers"] else COMMAND

    def _is_first(self) -> bool:
        own = f"{self.mark}.{os.getpid()}"
        with open(own, "w") as file, open("/proc/self/comm") as comm:
            file.write(f"{os.getpid()} {comm.read().strip()} {time.time_ns() // 1_000_000}")
        try:
            os.link(own, self.mark)
        except FileExistsError:
            return False
        finally:
            os.unlink(own)
        return True

    def _close(self, undo: Callable[[], None]) -> None:
        match self.how:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "full":
                undo()  # SQLite undoes the transaction by itself
                raise sqlite3.OperationalError("database or disk is full")
            case "io":
                raise sqlite3.OperationalError("disk I/O error")
            case "files":
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            case "processes":
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _wrap(where: Call, trap: _Trap) -> None:
    owner, name = _owner(where.function)
    real = getattr(owner, name)

    def wrapped(*args: Any, **others: Any) -> Any:
        reached = re.search(where.given, " ".join(map(str, args)))
        if reached and where.side == BEFORE:
            trap.step()
        result = real(*args, **others)
        if reached and where.side == AFTER:
            trap.step()
        return result

    setattr(owner, name, wrapped)


def _owner(path: str) -> tuple[Any, str]:
    """What holds the function `package.module.Class.function`, and the function's name there."""
    *parts, name = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            owner = getattr(owner, part)
        return owner, name
    raise ModuleNotFoundError(path)


def _watch_the_driver(where: Statement | Commit, trap: _Trap) -> None:
    class Watched(Connection):
        def meet(self, sql: str, side: str) -> None:
            if where.side == side and _is_met(where, sql, self.since_begin):
                trap.step(undo=self.undo)

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **others: connect(*args, **{**others, "factory": Watched})  # type: ignore[assignment]


def _is_met(where: Statement | Commit, sql: str, earlier: list[str]) -> bool:
    if isinstance(where, Commit):
        return sql == "COMMIT" and _any(where.sql, earlier) and _any(where.also, earlier)
    within = [other for other in earlier if other is not sql]
    return _any(where.sql, [sql]) and (not where.within or _any(where.within, within))


def _any(pattern: str, statements: list[str]) -> bool:
    return any(re.search(pattern, sql, re.DOTALL) for sql in statements)


class Connection(sqlite3.Connection):
    """A connection that lets `meet` look at each statement before and after it is run."""

    def __init__(self, *args: Any, **others: Any):
        super().__init__(*args, **others)
        self.since_begin: list[str] = []

    def meet(self, sql: str, side: str) -> None:
        """Called with each statement; may raise in its place."""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or _Cursor)

    def execute(self, sql: str, *params: Any) -> Any:
        return self.cursor().execute(sql, *params)

    def executemany(self, sql: str, rows: Any) -> Any:
        """Row by row, each a statement; what it returns counts the rows, as the driver's own does."""
        return SimpleNamespace(rowcount=sum(self.execute(sql, row).rowcount for row in rows))

    def commit(self) -> None:
        if self.in_transaction:
            self.watch("COMMIT", super().commit)

    def undo(self) -> None:
        if self.in_transaction:
            super().rollback()

    def watch(self, sql: str, run: Callable[[], Any]) -> Any:
        word = sql.lstrip()[:8].upper()
        if word.startswith("BEGIN"):
            self.since_begin = []
        sql = "COMMIT" if word.startswith(("COMMIT", "END")) else sql
        self.meet(sql, BEFORE)
        result = run()
        self.since_begin.append(sql)
        self.meet(sql, AFTER)
        if not self.in_transaction:
            self.since_begin = []
        return result


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, *params: Any) -> Any:
        run = super().execute
        try:
            return self.connection.watch(sql, lambda: run(sql, *params))
        except BaseException:
            self.close()  # the driver's own would be gone; one that an error keeps alive keeps the connection open
            raise
