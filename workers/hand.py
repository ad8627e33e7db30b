"""What a worker holds beyond the command that runs: jobs it claimed ahead, and ends that are not stored yet.

While jobs are short and many wait, a worker claims several at once and stores their ends at once. Meanwhile its journal
says which of them have begun and how they ended. Whoever buries the worker reads it: no run that has ended is run again,
no job that never began counts as crashed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from engine.jobs import Claim, Ended
from workers import journal, locks

LIMIT = 64  # jobs claimed at once, as long as they take no longer together than
TOGETHER_S = 0.06
MOST = 128  # while others keep the database busy, so that not every few jobs wait for it
_WAITS = 0.2  # of the time that the jobs took: a turn that takes longer has waited
_LOW_FROM = 8  # who holds fewer jobs stores too few ends when more are claimed early
SHORT_MS = 10  # after a job that took longer they are claimed one by one again
OUTPUT_BYTES = 4096  # of an end that waits with others to be stored


class Hand:
    """Jobs claimed (`waiting`) and ends not stored (`ended`), and how many jobs to claim next (`reach`: up to `most`)."""

    def __init__(self, folder: str, worker_pk: int, life: str, limit: int = LIMIT):
        self.waiting: deque[Claim] = deque()
        self.ended: list[Ended] = []
        self.cancelled: set[tuple[int, int]] = set()  # pk and run of jobs held that are to be cancelled
        self.unsaid: Ended | None = None  # the last of them, as long as the journal does not say it
        self.limit = self.patience = self.most = limit
        self.reach = 1
        self.turned_at = time.monotonic()
        self.slow = False  # a job took long
        self.full = False  # store before the next one is run
        self.journal = journal.Writer(locks.of_hand(folder, worker_pk), life)

    def __bool__(self) -> bool:
        return bool(self.waiting or self.ended)

    def next(self) -> Claim | None:
        """The job to run now; None when there is none, or something must be stored before."""
        return self.waiting.popleft() if self.waiting and not self.full else None

    @property
    def is_low(self) -> bool:
        """Whether it is time to claim more, unless that had to be waited for: something is left to run still."""
        return self.reach >= _LOW_FROM and 0 < len(self.waiting) <= self.reach // 4 and not self.full

    @property
    def room(self) -> int:
        """How many jobs to claim when it is low."""
        return self.reach - len(self.waiting)

    def turn(
        self, claims: Sequence[Claim], given_back: Sequence[Claim], took_s: float = 0.0, asked: int | None = None
    ) -> None:
        """What had ended is stored; take what was claimed. More the next time, while there is enough of it.

        took_s: how long that took, waiting for the database and all. asked: for how many jobs; by itself for `reach`
        when none waits, else for none. No command runs.
        """
        self._weigh(took_s)
        self.ended = []
        self.unsaid = None
        self.full = False
        if given_back:
            self._drop_waiting()
        if asked is None:
            if self.waiting:
                return
            asked = self.reach
        self.journal.forget()
        self.waiting.extend(claims)
        deep = len(claims) == asked and not self.slow
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
        self.ended = []
        self.unsaid = None
        self._drop_waiting()

    def _drop_waiting(self) -> None:
        self.cancelled.difference_update(
            (held.pk, held.run) for held in self.waiting
        )  # their next run is that one again
        self.waiting.clear()

    def cancel(self, run: tuple[int, int], present: Claim | None) -> bool:
        """Remember that this run is to be cancelled, for the supervisor says it once; whether it is the present one."""
        if any(held and (held.pk, held.run) == run for held in (present, *self.waiting)):
            self.cancelled.add(run)
        return present is not None and (present.pk, present.run) == run

    def begin(self, held: Claim) -> bool:
        """Say that the job's command is about to be started; False when that cannot be said."""
        unsaid, self.unsaid = self.unsaid, None
        return self.journal.begin(held, unsaid)

    def say(self) -> None:
        """Say how the last run ended, where no other begins at once: this process may be killed at any instant."""
        if self.unsaid:
            self.journal.end(self.unsaid)
            self.unsaid = None

    def end(self, run: Ended) -> None:
        """Keep the end of a run, with those before it if it printed little."""
        self.ended.append(run)
        self.cancelled.discard((run.held.pk, run.held.run))
        ending = run.ending
        if (ending.duration_ms or 0) > SHORT_MS:
            self.slow = True
            self.reach = 1
        printed = len(ending.stdout.data) + len(ending.stderr.data)
        if printed > OUTPUT_BYTES:
            self.full = True
        if self.journal.used + printed > journal.ROOM:
            self.full = True
        else:
            self.unsaid = run
