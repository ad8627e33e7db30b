"""`enqueue --check`: the mistakes in jobs, and the schedule of a job's attempts. Stores nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from cli.options import connect_existing
from engine.errors import Refused
from engine.wording import plural, seconds

if TYPE_CHECKING:
    from engine.batch import Entry
    from engine.plan import Plan

_SHOWN = 20


def show(jobs: list[Entry]) -> None:
    """Say what may go wrong. Raises Refused when the shell cannot read a command, or an id is taken."""
    connect_existing()
    if len(jobs) == 1:
        _show_one(*jobs[0])
    else:
        _show_many(jobs)


def _show_one(place: str, job: dict[str, Any]) -> None:
    import models
    from workers import precheck

    now = models.now_ms()
    found = precheck.look(job, now)
    for finding in found:
        click.echo(f"{'problem' if finding.grave else 'warning'}: {finding.field}: {finding.sentence}")
    click.echo(_words(precheck.attempts(job, now)))
    if any(finding.grave for finding in found):
        raise Refused("The job has a problem. Nothing was stored.")


def _show_many(jobs: list[Entry]) -> None:
    from engine import batch
    from workers import precheck

    unreadable, read = precheck.unreadable(jobs)
    problems = batch.taken(jobs) + unreadable
    for problem in problems[:_SHOWN]:
        click.echo(f"problem: {problem}")
    if len(problems) > _SHOWN:
        click.echo(f"and {len(problems) - _SHOWN:,} more.")
    if problems:
        raise Refused(f"{len(problems):,} of {len(jobs):,} jobs have a problem. Nothing was stored.")
    only = f" The shell was asked about the first {read:,} commands only." if read < len(jobs) else ""
    click.echo(f"{len(jobs):,} jobs, nothing amiss.{only} Nothing was stored.")


def _words(plan: Plan) -> str:
    waits = [f"+{seconds(step.wait_s)}" for step in plan.attempts[1:6] if step.wait_s is not None]
    more = f", … {len(plan.attempts) - 6} more" if len(plan.attempts) > 6 else ""
    then = f", then about {', '.join(waits)}{more}" if waits else ""
    end = f"dead after {plural(len(plan.attempts), 'attempt')}"
    return f"attempts at {_at(plan.attempts[0].at)}{then}; {end}, at about {_at(plan.dead_at)} if each fails at once."


def _at(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
