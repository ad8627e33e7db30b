"""Rendered pieces kept for a moment, so that many who poll the same address cost one rendering; and what rendering may cost."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Condition
from typing import NamedTuple

YOUNG_S = 1.0  # so old a piece may always be
OLD_S = 10.0  # and so old while the allowance is spent, or another thread makes a new one
MOST_PIECES = 100
MOST_CHARACTERS = 4_000_000
_SHARE = 0.005  # of each core that this process may use
_BURST_S = 0.5


class Piece(NamedTuple):
    """A rendered piece as everybody may have it (views/answers.py puts in what belongs to the reader).

    made_at: in milliseconds since 1970. title, dead, stranded: what the tab shows of trouble besides.
    """

    text: str
    digest: str
    made_at: int
    title: str
    dead: int
    stranded: bool


Clock = Callable[[], float]
Make = Callable[[Piece | None], Piece]  # out of the old one, if there is one


class Allowance:
    """Processor time for rendering: a small share of the cores, saved up to half a second."""

    def __init__(self, clock: Clock, cores: int):
        self._clock = clock
        self._share = _SHARE * cores
        self._left_s = _BURST_S
        self._counted_at = clock()

    def spend(self, seconds: float) -> None:
        self._earn()
        self._left_s -= seconds

    def is_spent(self) -> bool:
        self._earn()
        return self._left_s <= 0

    def _earn(self) -> None:
        now = self._clock()
        self._left_s = min(_BURST_S, self._left_s + (now - self._counted_at) * self._share)
        self._counted_at = now


class _Kept(NamedTuple):
    piece: Piece
    begun_at: float


class Shelf:
    """The pieces of one process, by address.

    clock, spent: seconds that passed, and that this thread was busy. cores: how many this process may use.
    """

    def __init__(self, clock: Clock = time.monotonic, spent: Clock = time.thread_time, cores: int = 1):
        self._clock = clock
        self._spent = spent
        self._allowance = Allowance(clock, cores)
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._in_the_making: set[Hashable] = set()
        self._changed = Condition()

    def take(self, address: Hashable, make: Make) -> Piece:
        """The piece of this address: the kept one while it is young enough, else a new one. Raises what `make` raises.

        Of several threads that miss it one makes it; the others take the old one, or wait when there is none.
        """
        with self._changed:
            while True:
                if (kept := self._kept.get(address)) and self._clock() - kept.begun_at < self._may_be_old(address):
                    return kept.piece
                if address not in self._in_the_making:
                    break
                self._changed.wait()
            self._in_the_making.add(address)
        try:
            return self.renew(address, make)
        finally:
            with self._changed:
                self._in_the_making.discard(address)
                self._changed.notify_all()

    def renew(self, address: Hashable, make: Make) -> Piece:
        """A new piece in any case, kept for the others. Raises what `make` raises."""
        begun_at, spent_s = self._clock(), self._spent()
        with self._changed:
            old = self._kept.get(address)
        try:
            piece = make(old.piece if old else None)
        finally:
            with self._changed:
                self._allowance.spend(self._spent() - spent_s)
        with self._changed:
            self._keep(address, _Kept(piece, begun_at))
        return piece

    def _may_be_old(self, address: Hashable) -> float:
        return OLD_S if address in self._in_the_making or self._allowance.is_spent() else YOUNG_S

    def _keep(self, address: Hashable, new: _Kept) -> None:
        """Unless a rendering that began later was quicker. The oldest leave when there are too many, or too much text."""
        old = self._kept.get(address)
        if old and old.begun_at > new.begun_at:
            return
        self._kept[address] = new
        self._kept.move_to_end(address)
        while len(self._kept) > MOST_PIECES or self._characters() > MOST_CHARACTERS:
            self._kept.popitem(last=False)

    def _characters(self) -> int:
        return sum(len(kept.piece.text) for kept in self._kept.values())
