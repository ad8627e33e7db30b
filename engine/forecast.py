"""How long a running job has still to go, by what its command usually takes. Changes nothing.

Only instants are told, no lengths of time left: what is asked for again a second later is the same answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from engine import queries, tally
from engine.wording import plural, span
from models import Job

LONG = 2  # times as long as usual: from there on it is told,
LONGER_MS = 10_000  # if it is longer by this at least


class Forecast(NamedTuple):
    """A job that runs: since when, what its command usually takes, and until when that would be (None: no history)."""

    job_id: str
    worker: str
    since: int
    usual_ms: int | None

    @property
    def due_at(self) -> int | None:
        return None if self.usual_ms is None else self.since + self.usual_ms

    def is_overdue(self, now: int) -> bool:
        """Whether it takes longer than usual."""
        return self.due_at is not None and now > self.due_at

    def times_longer(self, now: int) -> int | None:
        """Runs 3 times as long as usual: 3. None until that is worth a word, and without a history."""
        if not self.usual_ms or now - self.since < self.usual_ms + LONGER_MS:
            return None
        times = (now - self.since) // self.usual_ms
        return times if times >= LONG else None


class Outlook(NamedTuple):
    """When jobs that run will likely have ended: by then all whose history is known and who are not overdue."""

    running: int
    on_time: int
    unknown: int  # without a history
    overdue: tuple[Forecast, ...]  # the longest overdue first
    last: Forecast | None  # the last to end of those that are on time

    @property
    def done_at(self) -> int | None:
        """The instant after which none of those on time should run; None when there is none of them."""
        return self.last.due_at if self.last else None


def of(jobs: Collection[Job]) -> list[Forecast]:
    """What is known of each of these jobs that run."""
    usual = tally.usual_ms(jobs)
    return [Forecast(job.id, job.locked_by or "", job.locked_at or job.updated_at, usual.get(job.pk)) for job in jobs]


def by_worker(limit: int = 1000) -> dict[str, Forecast]:
    """What the workers run now, by their ids."""
    return {forecast.worker: forecast for forecast in of(queries.running(limit))}


def outlook(forecasts: Sequence[Forecast], now: int) -> Outlook:
    """When all of these will have ended, as far as anybody can know."""
    overdue = [forecast for forecast in forecasts if forecast.is_overdue(now)]
    overdue.sort(key=lambda forecast: forecast.due_at or 0)
    on_time = [forecast for forecast in forecasts if forecast.due_at is not None and not forecast.is_overdue(now)]
    last = max(on_time, key=lambda forecast: forecast.due_at or 0, default=None)
    unknown = sum(forecast.usual_ms is None for forecast in forecasts)
    return Outlook(len(forecasts), len(on_time), unknown, tuple(overdue), last)


def leaving(workers: Collection[str]) -> list[Forecast]:
    """What these workers run now."""
    return [forecast for worker, forecast in by_worker().items() if worker in workers]


def sentences(forecasts: Sequence[Forecast], now: int) -> list[str]:
    """The outlook in words, for a terminal: the same that the panel says with clocks that move."""
    found = outlook(forecasts, now)
    if not found.running:
        return ["None of them runs a job."]
    said = [f"{plural(found.running, 'job')} running"]
    if found.last:
        left = span(max(1000, (found.done_at or now) - now), 1)
        who = "," if found.on_time == found.running else f"; {found.on_time} of them"
        said[0] += f"{who} likely done in {left}; longest: {_history(found.last, now)}"
    said += [f"overdue: {_history(late, now)}" for late in found.overdue]
    if found.unknown:
        whom = (
            f"{found.unknown} of them"
            if found.unknown < found.running
            else "it"
            if found.running == 1
            else "any of them"
        )
        said.append(f"no history for {whom}, so nobody can say")
    return [f"{sentence}." for sentence in said]


def about(ms: int) -> str:
    """A usual length of time, without a last unit that is nothing: 5 min, 1 min 20 s."""
    return span(ms).removesuffix(" 0 s").removesuffix(" 0 min").removesuffix(" 0 h")


def _history(forecast: Forecast, now: int) -> str:
    return f"job {forecast.job_id} (usually {about(forecast.usual_ms or 0)}, runs for {about(now - forecast.since)})"
