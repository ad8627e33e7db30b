"""Durations sorted into buckets, two to an octave, so that percentiles of millions of runs cost a few rows."""

from __future__ import annotations

LAST = 63  # longer than eleven days


def of(duration_ms: int) -> int:
    """The number of the bucket for this duration: 0 for less than a millisecond, then two for every doubling."""
    if duration_ms < 1:
        return 0
    octave = duration_ms.bit_length() - 1
    upper = octave > 0 and duration_ms >= 3 << (octave - 1)
    return min(LAST, 2 * octave + upper + 1)


def bounds_ms(bucket: int) -> tuple[float, float]:
    """The shortest duration of the bucket and the shortest beyond it."""
    if bucket == 0:
        return 0.0, 1.0
    octave, upper = divmod(bucket - 1, 2)
    low = 2.0**octave
    return (low * 1.5, low * 2) if upper else (low, low * 1.5)


def middle_ms(bucket: int) -> float:
    """What stands for every duration of the bucket: off by a fifth at most, from 2 ms on."""
    low, high = bounds_ms(bucket)
    return (low * high) ** 0.5 if low else 0.5
