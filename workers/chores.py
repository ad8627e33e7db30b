"""What a supervisor does besides its workers: beat, checkpoint, look what they use, end what others began, delete what
is old, watch the clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import models
from engine import clock, jobs, wording
from engine.adoption import Adoption
from engine.retention import Retention
from models import Job, Supervisor, Worker, db
from workers import log
from workers.child import Child
from workers.usage import Gauge

BEAT_S = 5.0
CHECKPOINT_S = 1.0
FAILED_S = 60.0  # until a clearing that failed is tried again
LONG_WAL = 1000  # pages
WAL_LIMIT = 64 * 1024 * 1024
CLOCK_STEP_MS = 2000  # a clock that falls back further was set, not adjusted


class _Chore:
    """Something done from time to time: `act` returns in how many seconds again; `retry_s`: when it failed."""

    def __init__(self, act: Callable[[], float], retry_s: float):
        self.act = act
        self.retry_s = retry_s
        self.due_at = 0.0

    def do(self) -> None:
        self.due_at = time.monotonic() + self.retry_s
        self.due_at = time.monotonic() + self.act()


class Chores:
    """The chores of the supervisor with this row, each done when its time has come."""

    def __init__(self, supervisor_pk: int, children: Collection[Child]):
        self.pk = supervisor_pk
        self.chores = (
            _Chore(self.beat, BEAT_S),
            _Chore(self._checkpoint, CHECKPOINT_S),
            _Chore(Gauge(children).step, FAILED_S),
            _Chore(Adoption().step, FAILED_S),
            _Chore(Retention().step, FAILED_S),
        )
        written, now = _last_written(supervisor_pk), models.now_ms()
        self.clock = max(now, written), time.monotonic()  # what it showed when last looked at
        self.is_doubted = False
        if written and now - written > clock.STANDS_MS:  # the machine was off, or its clock is wrong: that shows soon
            self.chores[-1].due_at = time.monotonic() + clock.STANDS_MS / 1000

    def step(self) -> bool:
        """Do what is due now; a little at a time, for the workers' sake. Returns whether anything was."""
        now = time.monotonic()
        due = [chore for chore in self.chores if now >= chore.due_at]
        for chore in due:
            chore.do()
        return bool(due)

    def watch_clock(self) -> bool:
        """When the clock was set back, what was due stays due, and no retry waits longer for it. True when it was."""
        self._say_whether_doubted()
        (wall, at), now, elapsed_at = self.clock, models.now_ms(), time.monotonic()
        before = wall + int((elapsed_at - at) * 1000)
        fell = before - now > CLOCK_STEP_MS
        if fell:
            moved = jobs.follow_clock(before, now)
            Worker.update(start_after=0).where(Worker.started_at.is_null(), Worker.stopped_at.is_null()).execute()
            seconds = round((before - now) / 1000)
            log.say("supervisor", f"the clock was set back by {seconds} s; {moved} waiting jobs follow it")
        self.clock = now, elapsed_at
        return fell

    def _say_whether_doubted(self) -> None:
        doubt = clock.doubt()
        if (doubt is not None) != self.is_doubted:
            self.is_doubted = doubt is not None
            if doubt is None:
                log.say("supervisor", "the system's clock is followed again")
            else:
                until = f"it is followed in {wording.span(doubt.until - models.now_ms())} if it stays so"
                log.say("supervisor", f"the system's clock went forward by {wording.span(doubt.ahead_ms)}; {until}")

    def beat(self) -> float:
        """Say that the supervisor lives; in how many seconds again."""
        beat = {"beat_at": models.now_ms(), "beat_seq": Supervisor.beat_seq + 1}
        Supervisor.update(**beat).where(Supervisor.pk == self.pk).execute()
        return BEAT_S

    def _checkpoint(self) -> float:
        """Move the write-ahead log into the database, off the workers' path; shorten it when it grew long.

        Where jobs come thick and fast it never is empty by itself. It is then begun anew, which holds up who writes
        for an instant: to write to a log over again costs half of what it costs to let it grow.
        """
        with suppress(OSError):
            size = os.stat(f"{db.database}-wal").st_size
            if size > WAL_LIMIT:
                db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            elif size:
                _, frames, _ = db.execute_sql("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if frames > LONG_WAL:
                    db.execute_sql("PRAGMA wal_checkpoint(RESTART)")
        return CHECKPOINT_S


def _last_written(supervisor_pk: int) -> int:
    """The latest that the clock is known to have shown: at an earlier supervisor's last beat or a job's arrival."""
    earlier: Any = Supervisor.select(Supervisor.beat_at).where(Supervisor.pk < supervisor_pk)
    beat = earlier.order_by(Supervisor.pk.desc()).limit(1).scalar()
    arrival = Job.select(Job.created_at).order_by(Job.pk.desc()).limit(1).scalar()
    return max(beat or 0, arrival or 0)
