"""The commands for whole queues and for saved filters: queues, queue, stats, view."""

from __future__ import annotations

from typing import Any

import click

from cli import printing
from cli.options import Group, actor, connect, connect_existing, example, filter_options, json_option
from cli.stats import stats


def _complete_queues(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from engine import queries

    connect_existing(ctx)
    return [name for name in queries.queues() if name.startswith(incomplete)]


_queue = click.argument("name", metavar="NAME", shell_complete=_complete_queues)


@click.command(epilog=example("queues"))
@json_option
def queues(as_json: bool | None) -> None:
    """List the queues: what is due and since when, what waits for later, runs, ended lately; whether paused or limited."""
    import models
    from engine import figures
    from engine import queues as standing

    with connect_existing().snapshot():
        lately = figures.last_hour(models.now_ms())
        rows = [row.as_json() | {"last_hour": sum(lately.get(row.name, ()))} for row in standing.standings()]
    if printing.wants_json(as_json):
        printing.show_json(rows)
    elif rows:
        columns = ("queue", "due", "oldest", "later", "running", "dead", "last hour", "")
        printing.show_table(columns, [_line(row) for row in rows], numbers=(1, 2, 3, 4, 5, 6))
    else:
        click.echo("No queue holds jobs.")


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    from engine.wording import span

    more = "" if row["exact"] else "+"
    oldest = "" if row["oldest_due_sec"] is None else span(row["oldest_due_sec"] * 1000, 1)
    running = str(row["running"]) + (f" of {row['limit']}" if row["limit"] else "")
    counts = f"{row['due']:,}{more}", oldest, f"{row['delayed']:,}{more}", running, f"{row['dead']:,}"
    return (row["name"], *counts, f"{row['last_hour']:,}", "paused" if row["paused"] else "")


@click.group(cls=Group, epilog=example("queue pause mail"))
def queue() -> None:
    """Pause, resume and limit a queue."""


@queue.command("pause", epilog=example("queue pause mail"))
@_queue
def queue_pause(name: str) -> None:
    """Let no job of a queue begin; those that run go on."""
    from engine import queues as standing

    connect()
    paused = standing.pause(name, actor=actor())
    _tell(paused)
    if not any(paused.counts.values()):
        click.echo(f"No job is in a queue {name}; 'queuectl queues' shows the names.", err=True)


@queue.command("resume", epilog=example("queue resume mail"))
@_queue
def queue_resume(name: str) -> None:
    """Let the jobs of a queue begin again."""
    from engine import queues as standing

    connect_existing()
    _tell(standing.resume(name, actor=actor()))


@queue.command("limit", epilog=example("queue limit mail 2"))
@_queue
@click.argument("most", metavar="N|none")
def queue_limit(name: str, most: str) -> None:
    """Let at most N jobs of a queue run at once; none for any number."""
    from engine import queues as standing

    number: Any = int(most) if most.isascii() and most.isdigit() and len(most) < 6 else most
    connect()
    _tell(standing.limit(name, None if most == "none" else number, actor=actor()))


def _tell(standing: Any) -> None:
    from engine.wording import plural

    limit = "" if standing.limit is None else f", at most {plural(standing.limit, 'job')} at once"
    click.echo(f"The queue {standing.name} is {'paused' if standing.paused else 'open'}{limit}.")


@click.group(cls=Group, epilog=example("view list"))
def view() -> None:
    """Filters of the list of jobs, saved under a name; 'queuectl list --view NAME' uses one."""


@view.command("save", epilog=example("view save 'mail that died' --queue mail --state dead"))
@click.argument("name")
@filter_options
def view_save(name: str, **filters: str | None) -> None:
    """Save a filter under a name."""
    from engine import saved_views

    connect()
    click.echo(f"Saved the view {saved_views.keep(name, filters, actor=actor()).name}.")


@view.command("list", epilog=example("view list"))
@json_option
def view_list(as_json: bool | None) -> None:
    """List the saved views."""
    from engine import saved_views

    connect_existing()
    rows = [{"name": row.name, "filter": saved_views.filters_of(row.name)} for row in saved_views.every()]
    printing.show_rows(("name", "filter"), rows, as_json, "No views are saved.")


@view.command("delete", epilog=example("view delete 'mail that died'"))
@click.argument("name")
def view_delete(name: str) -> None:
    """Forget a view."""
    from engine import saved_views

    connect_existing()
    saved_views.delete(name)
    click.echo(f"The view {name} is deleted.")


COMMANDS = (queues, queue, stats, view)
