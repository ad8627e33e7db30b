"""The commands that start, watch and end workers."""

from __future__ import annotations

import signal
import sys
from collections.abc import Collection, Generator, Iterator
from contextlib import closing, suppress
from typing import Any

import click

from cli import printing
from cli.options import Group, connect, connect_existing, example, json_option, replace_supervisor
from cli.outcome import Stopped
from engine import interruption
from engine.errors import NotFound


def _complete_workers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from engine import queries

    connect_existing(ctx)
    return [worker["id"] for worker in queries.workers() if worker["id"].startswith(incomplete)]


@click.group(cls=Group, epilog=example("worker start --count 3"))
def worker() -> None:
    """Start, drain and stop the worker processes."""


@worker.command("start", epilog=example("worker start --count 3"))
@click.option("--count", type=int, default=1, show_default=True, help="How many more.")
@click.option("--foreground", is_flag=True, help="Stay attached: TERM or INT drains them, twice stops them.")
def worker_start(count: int, foreground: bool) -> None:
    """Start workers in the background."""
    import workers

    connect()
    asked = _collect_signals() if foreground else []
    ids = workers.start(count)
    click.echo(f"Started {len(ids)} worker{'s' * (len(ids) > 1)}: {', '.join(ids)}")
    if foreground:
        _stay_with(ids, asked)


def _collect_signals() -> list[int]:
    """From here on TERM and INT end nothing: each is added to the list, for the loop to heed."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    return asked


def _stay_with(ids: list[str], asked: list[int]) -> None:
    """Tell what becomes of these workers until all have ended; the first signal drains them, the next stop them."""
    import workers

    heeded = 0
    for left in _watch(ids):
        if len(asked) == heeded:
            continue
        order = workers.drain if not heeded and len(asked) == 1 else workers.stop
        heeded = len(asked)
        for worker_id in left:
            with suppress(NotFound):  # it has just ended
                order(worker_id)


def _watch(ids: list[str]) -> Iterator[list[str]]:
    """Show these workers until all have ended, a table that changes on a terminal, else a line a change.

    Yields the ids that are left, several times a second.
    """
    import workers

    with closing(_live_table() if sys.stdout.isatty() else _changes()) as show:
        next(show)
        left = ids
        while left:
            left = workers.wait_ended(ids, 0.2)
            ids = list(dict.fromkeys([*ids, *left]))  # and the replacements of those that died
            show.send(_rows_of(ids))
            yield left


def _rows_of(ids: list[str]) -> list[dict[str, Any]]:
    from engine import queries

    found = {row["id"]: row for row in queries.workers() + queries.workers(ended=True, limit=1000)}
    return [found[worker_id] for worker_id in ids if worker_id in found]


def _changes() -> Generator[None, list[dict[str, Any]], None]:
    told: dict[str, str] = {}
    while True:
        for row in (yield):
            status = f"{row['status']} with {row['current_job_id']}" if row["current_job_id"] else row["status"]
            if told.get(row["id"]) != status:
                told[row["id"]] = status
                click.echo(f"{row['id']}: {status}")


def _live_table() -> Generator[None, list[dict[str, Any]], None]:
    from rich.console import Console
    from rich.live import Live

    from cli.terminal import past_guard

    with Live(console=Console(file=past_guard(sys.stdout)), auto_refresh=False) as live:
        while True:
            rows = yield
            live.update(printing.workers_table(rows), refresh=True)


@worker.command("stop", epilog=example("worker stop --now"))
@click.argument("worker_id", metavar="[ID]", required=False, shell_complete=_complete_workers)
@click.option("--now", "way", flag_value="stop", help="End the running commands and give their jobs back.")
@click.option(
    "--force", "way", flag_value="force_stop", help="Kill at once what a stop does not end; same for the jobs."
)
@click.option("--no-wait", is_flag=True, help="Do not wait until they have ended.")
def worker_stop(worker_id: str | None, way: str | None, no_wait: bool) -> None:
    """Stop workers: they finish their job, mark themselves stopped and exit."""
    _end_workers(worker_id, way or "drain", not no_wait)


@worker.command("drain", epilog=example("worker drain w1"))
@click.argument("worker_id", metavar="[ID]", required=False, shell_complete=_complete_workers)
def worker_drain(worker_id: str | None) -> None:
    """Let workers finish their job and leave; says when that will likely be, and does not wait for it."""
    _end_workers(worker_id, "drain", wait=False)


_ENDING = {"drain": "Draining", "stop": "Stopping", "force_stop": "Killing"}


def _end_workers(worker_id: str | None, way: str, wait: bool) -> None:
    import workers
    from engine import survivors
    from engine.errors import Refused

    connect_existing()
    if wait and way == "drain":
        from cli import inside

        inside.refuse_stop(worker_id)
    orders = {"drain": workers.drain, "stop": workers.stop, "force_stop": workers.force_stop}
    ids = orders[way](worker_id)
    if not ids:
        click.echo("No workers are running.")
        return
    try:  # also while it is told: from there on the wish stands
        click.echo(f"{_ENDING[way]} {', '.join(ids)}")
        interruption.told()
        if way == "drain":
            tell_outlook(ids)
        for left in _watch(ids) if wait else ():
            if left and len(stuck := survivors.keeping(left)) == len(left):
                raise Refused(f"No longer waiting for {', '.join(left)}. {' '.join(stuck)}")
    except KeyboardInterrupt:
        raise Stopped("No longer waiting; the workers still end. See 'queuectl worker list'.", 130) from None
    if wait:
        click.echo("All stopped.")


@worker.command("scale", epilog=example("worker scale 4"))
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


@worker.command("list", epilog=example("worker list --all --end lost"))
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


COMMANDS = (worker,)
