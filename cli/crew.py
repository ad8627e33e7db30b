"""The commands for the workers as a crew: their number, who they are, when those who leave will be gone."""

from __future__ import annotations

from collections.abc import Collection

import click

from cli import printing
from cli.options import connect, connect_existing, example, json_option, replace_supervisor


@click.command("scale", epilog=example("worker scale 4"))
@click.argument("count", type=int, metavar="N")
def scale(count: int) -> None:
    """Let N workers take jobs: start those that lack, or drain those that are too many."""
    import workers

    (connect if count else connect_existing)()
    done = workers.scale(count)
    if done.started:
        click.echo(f"Started {', '.join(done.started)}")
    elif done.drained:
        click.echo(f"Draining {', '.join(done.drained)}")
        tell_outlook(done.drained)
    else:
        click.echo(f"The number of workers is {count} already.")


def tell_outlook(ids: Collection[str]) -> None:
    """When the jobs of these workers will likely have ended, by what their commands took before."""
    import models
    from engine import forecast

    found = forecast.leaving(ids)
    for sentence in forecast.sentences(found, models.now_ms()) if found else ():
        click.echo(sentence[:1].upper() + sentence[1:])


@click.command("list", epilog=example("worker list --all --end lost"))
@click.option("--all", "every", is_flag=True, help="Also those that have ended.")
@click.option(
    "--end", type=click.Choice(["lost", "stopped"]), help="Only those that were lost in a crash, or stopped as asked."
)
@click.option("--reason", help="Only those that ended for a reason, or on a host, with this text in it.")
@json_option
def list_(every: bool, end: str | None, reason: str | None, as_json: bool | None) -> None:
    """List the workers, or how others ended."""
    from engine import queries, roster

    connect_existing()
    replace_supervisor()
    is_of_ended = bool(end or reason)
    rows = [] if is_of_ended else queries.workers()
    if every or is_of_ended:
        ended, _ = roster.ended(end, reason, limit=100)
        rows += [queries.worker_as_json(worker) for worker in ended]
    if printing.wants_json(as_json):
        printing.show_json(rows)
        return
    printing.show_workers(rows)
    if not is_of_ended:
        tell_outlook([row["id"] for row in rows if row["desired"] == "drain" and not row["stopped_at"]])


COMMANDS = (scale, list_)
