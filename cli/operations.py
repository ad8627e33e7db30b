"""The commands of bad days, and of those before: doctor, backup, restore, vacuum, prune, export, import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

import click

from cli import printing
from cli.options import FINAL, STATES, connect, connect_existing, connect_file, database, example, json_option
from cli.outcome import Stopped
from engine import interruption
from engine.errors import InvalidInput

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command(epilog=example("doctor"))
@click.option("--fix", is_flag=True, help="Count anew and remove stale lock files; nothing else is changed.")
@click.option("--follow-clock", is_flag=True, help="Follow the system's clock at once after a long step forward.")
@json_option
def doctor(fix: bool, follow_clock: bool, as_json: bool | None) -> int:
    """Look whether all is well and say what to do; 1 when there is a problem, 0 with warnings at most."""
    from engine.health import PROBLEM
    from workers import doctor as examiner

    done = examiner.mend(database()) if fix else []
    if follow_clock:
        done += examiner.follow_clock(database())
    try:
        interruption.told()  # to look at all of a large database takes time
        found = examiner.examine(database())
    except KeyboardInterrupt:
        raise Stopped(" ".join(["Interrupted.", *done]), 130) from None
    if printing.wants_json(as_json):
        printing.show_json({"done": done, "checks": [finding._asdict() for finding in found]})
    else:
        _show(done, found)
    return int(any(finding.verdict == PROBLEM for finding in found))


def _show(done: list[str], found: list[Any]) -> None:
    for sentence in done:
        click.echo(sentence)
    for finding in found:
        verdict = click.style(f"{finding.verdict:8}", fg=_COLOURS[finding.verdict])
        advice = f". {finding.advice}" if finding.advice else ""
        click.echo(f"{verdict} {finding.check}: {finding.says}{advice}")


@click.command(epilog=example("backup /var/backups/queue-monday.db"))
@click.argument("file", type=click.Path())
def backup(file: str) -> None:
    """Copy the database to a new FILE while everything runs."""
    from engine import backup as backups

    connect_file()
    size = backups.write(file)
    click.echo(f"{file}: {size:,} bytes, checked.")


@click.command(epilog=example("restore /var/backups/queue-monday.db"))
@click.argument("file", type=click.Path())
def restore(file: str) -> None:
    """Put a backup in the place of the database, which is kept beside it."""
    import models
    from workers import standstill

    path = models.path_of(database())
    restored = standstill.restore(file, path)
    click.echo(f"{path} is the backup now.")
    if restored.kept:
        click.echo(f"What was there is {restored.kept}.")
    if restored.given_back:
        click.echo(f"{_jobs(restored.given_back)} that ran at the time of the backup will run again.")


@click.command(epilog=example("vacuum"))
@click.option("--full", is_flag=True, help="Write the whole file anew; workers wait meanwhile.")
def vacuum(full: bool) -> None:
    """Give back to the disk what the database no longer uses."""
    from engine import space

    connect_file()
    change = space.rewrite() if full else space.give_back()
    click.echo(f"{change.before:,} bytes before, {change.after:,} bytes after.")


@click.command(epilog=example("prune --state completed --older-than 7d"))
@click.option("--state", type=click.Choice(FINAL), help="Only jobs in this state. Default: those not kept for ever.")
@click.option(
    "--older-than", metavar="AGE", help='How long ago they ended, as in "7d", "12h", "0s". Default: settings.'
)
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
def prune(state: str | None, older_than: str | None, dry_run: bool) -> None:
    """Delete jobs that ended long ago, with their history, in small steps."""
    from engine import retention

    connect_existing()
    limits = retention.of(state, older_than)
    deleted = {limit.state: retention.count(limit) if dry_run else 0 for limit in limits}
    is_interrupted = False
    try:
        for name, number in () if dry_run else retention.gently(retention.sweep(limits)):
            deleted[name] += number
            interruption.told()
    except KeyboardInterrupt:
        is_interrupted = True
    for name, number in deleted.items():
        click.echo(f"{name}: {_jobs(number)} {'would be deleted' if dry_run else 'deleted'}.")
    if is_interrupted:
        raise Stopped("Interrupted; 'queuectl prune' goes on.", 130)
    if not deleted:
        click.echo("The settings keep all jobs for ever; name a --state and how old with --older-than.")


@click.command("export", epilog=example("export jobs.jsonl"))
@click.argument("file", type=click.Path(), default="-", metavar="[FILE]")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state, and no settings.")
def export_(file: str, state: str | None) -> None:
    """Write jobs, their runs with output, and settings as JSON lines; - is standard output."""
    from engine import transfer

    connect_existing()
    if file == "-":
        lines = transfer.export(state)
        _write(map(_for_terminal, lines) if sys.stdout.isatty() else lines, sys.stdout.buffer)
        return
    import models
    from engine.files import new_file

    with new_file(file, like=models.db.database) as part, open(part, "wb") as target:
        _write(transfer.export(state), target)
    click.echo(f"{file}: {os.stat(file).st_size:,} bytes.")


def _for_terminal(line: bytes) -> bytes:
    """A line of JSON that says the same by characters that can be seen."""
    from engine import visible

    return visible.in_json(line.decode()).encode()


def _write(lines: Iterator[bytes], target: Any) -> None:
    target.writelines(lines)
    target.flush()


@click.command("import", epilog=example("import jobs.jsonl"))
@click.argument("file", type=click.Path())
@click.option("--skip-existing", is_flag=True, help="Leave out the jobs and settings that are here already.")
def import_(file: str, skip_existing: bool) -> None:
    """Store what an export holds, all of it or nothing; - is standard input."""
    from engine import transfer

    with _opened(file) as source:
        connect()
        tally = transfer.load(source, skip_existing, lambda sentence: click.echo(f"{sentence} Skipped."))
    runs, settings = f"{tally.runs:,} run{_s(tally.runs)}", f"{tally.settings:,} setting{_s(tally.settings)}"
    skipped = f"; {tally.skipped:,} skipped" if tally.skipped else ""
    click.echo(f"{_jobs(tally.jobs)}, {runs} and {settings} imported{skipped}.")


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer if sys.stdin else BytesIO()
        return
    try:
        source = open(file, "rb")  # noqa: SIM115 - its own errors must not be taken for those of the block
    except OSError as error:
        raise InvalidInput(f"Cannot read {file}: {error.strerror}.") from None
    with source:
        yield source


def _jobs(number: int) -> str:
    return f"{number:,} job{_s(number)}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"


COMMANDS = (doctor, backup, restore, vacuum, prune, export_, import_)
