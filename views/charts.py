"""Charts as plain SVG: what ended and how long it took, as shapes in a box that the page stretches to its width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count, pairwise
from typing import Any

from engine.figures import Bar, Figures

HEIGHT = 100
STEP = 10  # the width of one bar with the gap beside it
_DURATIONS = [digit * 10**power for power in range(3) for digit in (1, 2, 5)]
_DURATIONS += [second * 1000 for second in (1, 2, 5, 10, 20, 30)]
_DURATIONS += [minute * 60_000 for minute in (1, 2, 5, 10, 20, 30)]
_DURATIONS += [hour * 3_600_000 for hour in (1, 2, 5, 10, 20, 50, 100, 200)]


def throughput(figures: Figures) -> dict[str, Any]:
    """A bar for each part of the window: what completed, and on it what failed."""
    most = max(bar.sums.completed + bar.sums.failed for bar in figures.bars)
    top = round_count(most)
    bars = []
    for place, bar in enumerate(figures.bars):
        completed, failed = (_length(number, top) for number in (bar.sums.completed, bar.sums.failed))
        if completed or failed:
            shape = {"x": STEP * place + 1, "width": STEP - 2, "completed": completed, "failed": failed}
            bars.append(shape | {"title": _title(bar, figures)})
    return _frame(figures, [f"{top:,}", f"{top // 2:,}", "0"]) | {"bars": bars, "most": most}


def durations(figures: Figures) -> dict[str, Any]:
    """Two lines: what half of the runs took at most, and what 95 of a hundred did. Broken where nothing ended."""
    slowest = max((bar.sums.p95_ms or 0 for bar in figures.bars), default=0)
    top = round_duration(slowest)
    lines = {name: _path([getattr(bar.sums, name) for bar in figures.bars], top) for name in ("p50_ms", "p95_ms")}
    return _frame(figures, [short_duration(top), short_duration(top / 2), "0"]) | {"lines": lines}


def spark(counts: Sequence[int]) -> list[dict[str, float]]:
    """Small bars, without a scale: only their shape counts."""
    most = max(counts, default=0)
    lengths = ((place, _length(number, most)) for place, number in enumerate(counts) if number)
    return [{"x": STEP * place + 1, "width": STEP - 2, "height": height} for place, height in lengths]


def round_count(most: int) -> int:
    """A round number, not below this one and even, so that its half can stand beside it."""
    return next(step * 10**power for power in count() for step in (2, 4, 6, 8, 10, 12, 16) if step * 10**power >= most)


def round_duration(most_ms: float) -> int:
    """A round length of time in milliseconds, not below this one."""
    return next((ms for ms in _DURATIONS if ms >= most_ms), _DURATIONS[-1])


def short_duration(ms: float) -> str:
    """One number and its unit: 500 ms, 2 s, 10 min, 5 h."""
    for length, unit in ((3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if ms >= length:
            return f"{ms / length:g} {unit}"
    return f"{ms:g} ms"


def _frame(figures: Figures, labels: list[str]) -> dict[str, Any]:
    return {"width": STEP * len(figures.bars), "height": HEIGHT, "labels": labels}


def _length(number: int, top: int) -> float:
    """How high a bar is; what is there at all can be seen."""
    return max(2.0, round(HEIGHT * number / top, 1)) if number else 0.0


def _title(bar: Bar, figures: Figures) -> str:
    at = datetime.fromtimestamp(bar.at / 1000, UTC)
    when = f"{at:%H:%M}" if figures.window.name != "7d" else f"{at.day} {at:%b %H:%M}"
    return f"{when} UTC: {bar.sums.completed:,} completed, {bar.sums.failed:,} failed"


def _path(values: Iterable[float | None], top: float) -> str:
    """Lines between the middles of neighbours; a value alone is a dot."""
    points = [
        None if value is None else (STEP * place + STEP // 2, round(HEIGHT - HEIGHT * min(1, value / top), 1))
        for place, value in enumerate(values)
    ]
    drawn = []
    for before, point in pairwise([None, *points]):
        if point:
            x, y = point
            drawn.append(f"L{x} {y:g}" if before else f"M{x} {y:g}h0")
    return "".join(drawn)
