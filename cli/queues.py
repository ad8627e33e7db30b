"""The commands for whole queues and for saved filters: queues, queue, view."""

from __future__ import annotations

from typing import Any

import click

from cli import printing
from cli.options import Group, actor, connect, example, filter_options, json_option


def _complete_queues(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from engine import queries

    connect(ctx)
    return [name for name in queries.queues() if name.startswith(incomplete)]


_queue = click.argument("name", metavar="NAME", shell_complete=_complete_queues)


@click.command(epilog=example("queues"))
@json_option
def queues(as_json: bool | None) -> None:
    """List the queues: what waits and since when, what runs, whether paused or limited."""
    from engine import queues as standing

    connect()
    rows = [row.as_json() for row in standing.standings()]
    columns = ("name", "waiting", "oldest_due_sec", "running", "limit", "paused")
    printing.show_rows(columns, rows, as_json, "No queue holds jobs.")


@click.group(cls=Group, epilog=example("queue pause mail"))
def queue() -> None:
    """Pause, resume and limit a queue."""


@queue.command("pause", epilog=example("queue pause mail"))
@_queue
def queue_pause(name: str) -> None:
    """Let no job of a queue begin; those that run go on."""
    from engine import queues as standing

    connect()
    _tell(standing.pause(name, actor=actor()))


@queue.command("resume", epilog=example("queue resume mail"))
@_queue
def queue_resume(name: str) -> None:
    """Let the jobs of a queue begin again."""
    from engine import queues as standing

    connect()
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

    connect()
    rows = [{"name": row.name, "filter": saved_views.filters_of(row.name)} for row in saved_views.every()]
    printing.show_rows(("name", "filter"), rows, as_json, "No views are saved.")


@view.command("delete", epilog=example("view delete 'mail that died'"))
@click.argument("name")
def view_delete(name: str) -> None:
    """Forget a view."""
    from engine import saved_views

    connect()
    saved_views.delete(name)
    click.echo(f"The view {name} is deleted.")


COMMANDS = (queues, queue, view)
