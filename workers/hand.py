"""What a worker holds beyond the command that runs: jobs it claimed ahead, and ends that are not stored yet.

While jobs are short and many wait, a worker claims several at once and stores their ends at once. Meanwhile a file of
the run folder says which of them have begun and how they ended: a line before a command is started, another one after
its end, while the next one runs. Whoever buries the worker reads it: no run that is known to have ended is run again, no
job that never began counts as crashed. It need outlive a process only, so nothing waits for the disk.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from engine.jobs import Claim, Ended, Ending
from engine.output import Output
from workers import locks

LIMIT = 32  # jobs claimed at once, as long as they take no longer together than
TOGETHER_S = 0.03
MOST = 64  # while others keep the database busy, so that not every few jobs wait for it
_WAITS = 0.2  # of the time that the jobs took: a turn that takes longer has waited
SHORT_MS = 10  # after a job that took longer they are claimed one by one again
OUTPUT_BYTES = 4096  # of an end that waits with others to be stored


class Hand:
    """Jobs claimed (`waiting`) and ends not stored (`ended`), and how many jobs to claim next (`reach`: up to `most`)."""

    def __init__(self, folder: str, worker_pk: int, limit: int = LIMIT):
        self.waiting: deque[Claim] = deque()
        self.ended: list[Ended] = []
        self.said = 0  # so many of them are written down
        self.limit = self.patience = self.most = limit
        self.reach = 1
        self.turned_at = time.monotonic()
        self.slow = False  # a job took long
        self.full = False  # store before the next one is run
        self.alone = True  # one job at a time: nothing is written
        path = locks.of_hand(folder, worker_pk)
        self.journal = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def __bool__(self) -> bool:
        return bool(self.waiting or self.ended)

    def next(self) -> Claim | None:
        """The job to run now; None when there is none, or something must be stored before."""
        return self.waiting.popleft() if self.waiting and not self.full else None

    def turn(self, claims: Sequence[Claim], given_back: Sequence[Claim], took_s: float = 0.0) -> None:
        """What had ended is stored; take what was claimed. More the next time, while there is enough of it.

        took_s: how long that took, waiting for the database and all.
        """
        self._weigh(took_s)
        self._forget_ended()
        self.full = False
        if given_back:
            self.waiting.clear()
        if self.waiting:
            return
        if not self.alone:
            os.ftruncate(self.journal, 0)
        self.waiting.extend(claims)
        self.alone = len(claims) <= 1
        deep = len(claims) == self.reach and not self.slow
        self.reach = min(self.reach * 2, self.most) if deep else 1
        self.slow = False

    def _weigh(self, took_s: float) -> None:
        """How many jobs to hold at most, from how long those that ended took and how long storing them did."""
        now = time.monotonic()
        ran_s, self.turned_at = now - took_s - self.turned_at, now
        if self.limit == 1 or not self.ended:
            return
        grown = self.patience * 2 if took_s > ran_s * _WAITS else self.patience // 2
        self.patience = max(self.limit, min(MOST, grown))
        alike = TOGETHER_S * len(self.ended) / ran_s if ran_s > 0 else self.patience
        self.most = max(1, min(self.patience, int(alike * self.patience / self.limit)))

    def clear(self) -> None:
        """What had ended is stored and what waited given back, while a command runs: what is said of it stays."""
        self._forget_ended()
        self.waiting.clear()

    def begin(self, held: Claim) -> bool:
        """Say that the job's command is about to be started; False when that cannot be written."""
        if self.alone:
            return True
        return self._write([held.pk, held.run])

    def note(self) -> None:
        """Say how those ended of which nothing is said yet: while the next command runs, so that it does not wait for it."""
        unsaid = self.ended[self.said :]
        self.said = len(self.ended)
        if unsaid and not self.alone and not self._write(*map(_plain, unsaid)):
            self.full = True

    def end(self, run: Ended) -> None:
        """Keep the end of a run, with those before it if it printed little."""
        self.ended.append(run)
        ending = run.ending
        if (ending.duration_ms or 0) > SHORT_MS:
            self.slow = True
            self.reach = 1
        self.full = self.full or len(ending.stdout.data) + len(ending.stderr.data) > OUTPUT_BYTES

    def _forget_ended(self) -> None:
        self.ended = []
        self.said = 0

    def _write(self, *lines: list[Any]) -> bool:
        # A newline first: what a full disk cut off before spoils nothing but itself.
        text = "".join(f"\n{json.dumps(line)}" for line in lines).encode() + b"\n"
        with suppress(OSError):  # a full disk
            return os.write(self.journal, text) == len(text)
        return False


class Journal:
    """What the file of a worker that died says."""

    def __init__(self, folder: str, worker_pk: int):
        self.begun: set[tuple[int, int]] = set()  # a job's pk and the number of its run
        self.ended: dict[tuple[int, int], list[Any]] = {}
        with suppress(FileNotFoundError), open(locks.of_hand(folder, worker_pk), "rb") as file:
            for line in file:
                with suppress(ValueError):  # the last one may be incomplete
                    pk, run, *end = json.loads(line)
                    self.begun.add((pk, run))
                    if end:
                        self.ended[pk, run] = end

    def has_begun(self, held: Claim, among: int) -> bool:
        """Whether the job's command was started, of `among` jobs that the worker held."""
        if not self.begun and among == 1:
            return True  # it held one at a time and wrote nothing
        return (held.pk, held.run) in self.begun

    def end_of(self, held: Claim) -> Ended | None:
        """How its run ended, when that is known."""
        if (held.pk, held.run) not in self.ended:
            return None
        outcome, started_at, (*columns, stdout, stderr) = self.ended[held.pk, held.run]
        ending = Ending._make([*columns, _output(*stdout), _output(*stderr)])
        return Ended(held._replace(started_at=started_at), outcome, ending)


def _plain(run: Ended) -> list[Any]:
    """For JSON: every byte of the output becomes one character."""
    held, outcome, ending = run
    *columns, stdout, stderr = ending
    streams = [[data.decode("latin-1"), total, cut] for data, total, cut in (stdout, stderr)]
    return [held.pk, held.run, outcome, held.started_at, [*columns, *streams]]


def _output(data: str, total: int, cut: int | None) -> Output:
    return Output(data.encode("latin-1"), total, cut)
