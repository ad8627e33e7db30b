"""The command for figures: what ended in an hour, a day or a week, what becomes of the backlog, what is wrong."""

from __future__ import annotations

from typing import Any

import click

from cli import printing
from cli.options import connect_existing, example, json_option


@click.command(epilog=example("stats --window 24h"))
@click.option("--window", type=click.Choice(("1h", "24h", "7d")), default="1h", show_default=True, help="How far back.")
@json_option
def stats(window: str, as_json: bool | None) -> None:
    """Figures: what ended and how long it took, what becomes of the backlog, what wants a person."""
    import models
    from engine import alarms, figures, pace, queues

    with connect_existing().snapshot():
        now, standings = models.now_ms(), queues.standings()
        found = figures.as_json(figures.of(figures.window(window), now))
        foreseen, rung = pace.foreseen(standings, now), alarms.ring(standings, now)
    empty_in = foreseen.empty_in_ms if foreseen else None
    found |= {
        "backlog_per_minute": round(foreseen.per_minute, 1) if foreseen else None,
        "backlog_empty_in_sec": None if empty_in is None else empty_in // 1000,
        "alarms": [alarm.sentence() for alarm in rung],
    }
    if printing.wants_json(as_json):
        printing.show_json(found)
    else:
        _show(found, foreseen.sentence() if foreseen else "")


def _show(found: dict[str, Any], forecast: str) -> None:
    for alarm in found["alarms"]:
        click.secho(alarm, fg="yellow")
    columns = ("completed", "failed", "p50_ms", "p95_ms")
    lines = [(bar["at"], bar) for bar in found["bars"] if bar["completed"] or bar["failed"]]
    lines += [(f"all of {found['window']}", found), (f"{found['window']} before", found["before"])]
    rows = [(name, *(_number(figures.get(column)) for column in columns)) for name, figures in lines]
    printing.show_table(("from", *columns), rows, numbers=(1, 2, 3, 4))
    if forecast:
        click.echo(forecast)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
