"""What a benchmark found: samples with a unit and, where we promise something, the promise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Figure(NamedTuple):
    """One thing that was measured several times. Its figure is the median; the rest is the spread."""

    name: str
    samples: Sequence[float]
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def is_met(self) -> bool | None:
        """Whether the median keeps the promise; None where there is none."""
        if self.at_least is not None:
            return self.median >= self.at_least
        if self.at_most is not None:
            return self.median <= self.at_most
        return None

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"≥ {_short(self.at_least)}"
        return "" if self.at_most is None else f"≤ {_short(self.at_most)}"

    def as_json(self) -> dict[str, Any]:
        promise = {"at_least": self.at_least, "at_most": self.at_most, "is_met": self.is_met}
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "samples": list(self.samples),
            **(promise if self.target else {}),
        }


def quantile(samples: Iterable[float], share: float) -> float:
    """The smallest sample that at least this share of all samples do not exceed."""
    ranked = sorted(samples)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def alternating(contestants: Iterable[T], rounds: int) -> Iterator[T]:
    """Whose turn it is: A B, B A, A B, … so that a machine that drifts favours none."""
    order = list(contestants)
    for number in range(rounds):
        yield from order if number % 2 == 0 else reversed(order)


def interleaved(contestants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """The samples of each contestant, one a round, in alternating rounds."""
    samples: dict[str, list[T]] = {name: [] for name in contestants}
    for name in alternating(contestants, rounds):
        samples[name].append(contestants[name]())
    return samples


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round, one contestant divided by the other."""
    return [a / b for a, b in zip(above, below, strict=True)]


def table(figures: Sequence[Figure]) -> str:
    """The figures for people, a line each: name, median, spread, promise, whether it is kept."""
    rows = [("", "median", "lowest … highest", "target", "")]
    for figure in figures:
        spread = f"{_short(min(figure.samples))} … {_short(max(figure.samples))}" if len(figure.samples) > 1 else ""
        verdict = {None: "", True: "kept", False: "MISSED"}[figure.is_met]
        rows.append((figure.name, f"{_short(figure.median)} {figure.unit}", spread, figure.target, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _short(value: float) -> str:
    """Three digits that matter, at least: 1,234 and 12.3 and 0.0123."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
