"""What changed between two runs, on the command line."""

from __future__ import annotations

from typing import Any

import click

from cli import printing
from cli.options import connect_existing, example, job_id_argument, json_option

STREAMS = ("stdout", "stderr")
_COLOURS = {"+": "green", "-": "red", "…": "bright_black"}


@click.command(epilog=example("diff job1 --against success"))
@job_id_argument
@click.option("--attempt", "--run", "run", type=click.IntRange(1), help="Which run. Default: the newest.")
@click.option("--against", default="previous", help="previous, success (the last of this command), or a run's number.")
@json_option
def diff(job_id: str, run: int | None, against: str, as_json: bool | None) -> None:
    """Show what changed in a run since an earlier one: how it ended, and what it printed."""
    from engine import comparison, queries
    from engine.errors import NotFound

    connect_existing()
    job = queries.find(job_id)
    attempt = queries.attempt(job, run)
    other = comparison.other(job, attempt, against)
    if attempt is None or other is None:
        raise NotFound(f"There is no run to compare job {job_id} with; see 'queuectl show {job_id}'.")
    changes = {
        name: comparison.changes(
            *(click.unstyle(queries.output(side, name).text()) for side in (other.attempt, attempt))
        )
        for name in STREAMS
    }
    shown = {
        "before": {"id": other.job.id, "run": other.attempt.run},
        "now": {"id": job.id, "run": attempt.run},
        "facts": [fact._asdict() for fact in comparison.facts(other.attempt, attempt)],
        **{name: [f"{line.mark}{line.text}" for line in found.lines] for name, found in changes.items()},
    }
    if printing.wants_json(as_json):
        printing.show_json(shown)
    else:
        _show(shown, {name: found.lines for name, found in changes.items()})


def _show(shown: dict[str, Any], streams: dict[str, list[Any]]) -> None:
    before, now = shown["before"], shown["now"]
    click.echo(f"From run {before['run']} of {before['id']} to run {now['run']} of {now['id']}.")
    if shown["facts"]:
        printing.show_table(("", "before", "now"), [tuple(fact.values()) for fact in shown["facts"]])
    for name, lines in streams.items():
        click.secho(f"{name}:{'' if lines else ' the same'}", bold=True)
        for line in lines:
            click.secho(f"{line.mark} {line.text}", fg=_COLOURS.get(line.mark))


COMMANDS = (diff,)
