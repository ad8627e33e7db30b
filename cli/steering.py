"""The commands that steer jobs: one, several, or all that match a filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from cli import consent, printing
from cli.options import (
    actor,
    complete_ids,
    connect_existing,
    example,
    filter_options,
    job_id_argument,
    json_option,
)
from cli.outcome import Stopped
from engine import interruption

_ONE_OR_MANY = "Give the ids of the jobs, or --all with filters such as --state, --queue or --text."


def _one_or_many(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a command takes that is for the named jobs, or with --all for those that match."""
    named = click.argument("job_ids", metavar="[ID...]", nargs=-1, shell_complete=complete_ids)
    every = click.option("--all", "every", is_flag=True, help="All jobs that match, in batches; it can be interrupted.")
    as_json = click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
    return named(every(consent.options(filter_options(as_json(command)))))


class Wanted(NamedTuple):
    """The jobs that a command is about: the named ones, or with `every` all that match the filters."""

    job_ids: tuple[str, ...]
    every: bool
    yes: bool
    dry_run: bool
    as_json: bool
    filters: dict[str, str | None]

    def is_one(self) -> bool:
        """Whether it is about one job, told in a sentence. Raises UsageError for ids and filters together, or neither."""
        if bool(self.job_ids) == self.every or (self.job_ids and any(self.filters.values())):
            raise click.UsageError(_ONE_OR_MANY)
        if self.job_ids and self.dry_run:
            raise click.UsageError("--dry-run goes with --all; named jobs are as many as their names.")
        return len(self.job_ids) == 1 and not self.as_json


def _wanted(given: dict[str, Any]) -> Wanted:
    """What the options say; the filters are what is left of them."""
    known = {name: given.pop(name) for name in ("job_ids", "every", "yes", "dry_run", "as_json")}
    return Wanted(**known, filters=given)


def _bulk(verb: str, wanted: Wanted, argument: Any = None) -> int:
    """Do it to many and report; the exit status: 1 when a job that was named could not be."""
    from engine import operations

    connect_existing()
    if wanted.dry_run:
        consent.say_only(verb, wanted.filters)
    scope: dict[str, Any] = {"ids": wanted.job_ids}
    if wanted.every:
        scope = {"filters": wanted.filters, "newest": operations.newest()}  # the question is about no later ones
        consent.get(verb, wanted.filters, wanted.yes)
    operation = _run(operations.begin(verb, actor=actor(), argument=argument, **scope).pk)
    _report(operation, wanted.as_json)
    return int(operation.failed > 0 or (not wanted.every and operation.skipped > 0))


def _run(pk: int) -> Any:
    from engine import operations

    try:
        return operations.run(pk, interruption.told)
    except KeyboardInterrupt:
        sentence = f"Interrupted; a supervisor goes on with operation {pk}. See 'queuectl operations'."
        raise Stopped(sentence, 130) from None


def _report(operation: Any, as_json: bool) -> None:
    from engine import operations, reports

    if as_json:
        printing.show_json(operations.as_json(operation))
        return
    click.echo(reports.report(operation))
    if operation.done and operations.can_be_undone(operation):
        click.echo(f"'queuectl undo {operation.pk}' takes it back.")


@click.command(epilog=example("retry job1"))
@_one_or_many
def retry(**given: Any) -> int:
    """Put failed, dead or cancelled jobs back to pending."""
    from engine import jobs

    wanted = _wanted(given)
    if not wanted.is_one():
        return _bulk("retry", wanted)
    connect_existing()
    [job_id] = wanted.job_ids
    jobs.retry(job_id)
    click.echo(f"{job_id} is pending again.")
    return 0


@click.command(epilog=example("unretry job1"))
@job_id_argument
def unretry(job_id: str) -> None:
    """Withdraw a retry, until a worker has taken the job."""
    from engine import jobs

    connect_existing()
    click.echo(f"{job_id} is {jobs.unretry(job_id)} again.")


@click.command("run-now", epilog=example("run-now job1"))
@job_id_argument
def run_now(job_id: str) -> None:
    """Let a waiting job wait no longer for its time or its next try; its attempts stay counted."""
    from engine import jobs

    connect_existing()
    jobs.run_now(job_id)
    click.echo(f"{job_id} is due now.")


@click.command(epilog=example("cancel job1"))
@_one_or_many
def cancel(**given: Any) -> int:
    """Cancel jobs; a running command is stopped."""
    from engine import jobs

    wanted = _wanted(given)
    if not wanted.is_one():
        return _bulk("cancel", wanted)
    connect_existing()
    [job_id] = wanted.job_ids
    state = jobs.cancel(job_id)
    click.echo(f"{job_id} is cancelled." if state == "cancelled" else f"{job_id} is being stopped.")
    return 0


@click.command(epilog=example("priority job1 --to 5"))
@_one_or_many
@click.option("--to", "priority", type=int, required=True, help="-100 to 100; higher runs first.")
def priority(priority: int, **given: Any) -> int:
    """Give waiting jobs another priority."""
    from engine import jobs

    wanted = _wanted(given)
    if not wanted.is_one():
        return _bulk("priority", wanted, priority)
    connect_existing()
    [job_id] = wanted.job_ids
    click.echo(f"{job_id} has the priority {jobs.set_priority(job_id, priority)}.")
    return 0


@click.command(epilog=example("delete job1"))
@_one_or_many
def delete(**given: Any) -> int:
    """Delete jobs that are not running, with their history; for a while they can be brought back."""
    from engine import jobs

    wanted = _wanted(given)
    if not wanted.is_one():
        return _bulk("delete", wanted)
    connect_existing()
    [job_id] = wanted.job_ids
    jobs.delete(job_id)
    click.echo(f"{job_id} is deleted. 'queuectl undelete {job_id}' brings it back.")
    return 0


@click.command(epilog=example("undelete job1"))
@click.argument("token", metavar="ID")
def undelete(token: str) -> None:
    """Bring a deleted job back as it was, by its id or by its token in the trash."""
    from engine import jobs

    connect_existing()
    job_id = jobs.undelete(token)
    click.echo(f"{job_id} is {jobs.state_of(job_id)} again.")


@click.command(epilog=example("trash"))
@json_option
def trash(as_json: bool | None) -> None:
    """List the deleted jobs that can still be brought back, the last deleted first."""
    from engine import trash as lying

    connect_existing()
    rows = [row.as_json() for row in lying.listed(1000)]
    printing.show_rows(("token", "id", "state", "command", "until"), rows, as_json, "The trash is empty.")


@click.command(epilog=example("remove job1"))
@click.argument("token", metavar="ID")
def remove(token: str) -> None:
    """Remove a deleted job from the trash for good, by its id or by its token."""
    from engine import jobs

    connect_existing()
    click.echo(f"{jobs.remove(token)} is removed for good.")


@click.command(epilog=example("operations"))
@json_option
def operations(as_json: bool | None) -> None:
    """List what was done to many jobs at once, by whom and how far it has come, the newest first."""
    from engine import operations as bulk

    connect_existing()
    rows = [bulk.as_json(row) for row in bulk.recent()]
    if not printing.wants_json(as_json):
        rows = [row | {"scope": _in_words(row["scope"])} for row in rows]
    columns = ("id", "verb", "scope", "state", "done", "skipped", "failed", "actor")
    printing.show_rows(columns, rows, as_json, "Nothing was done to many jobs at once.")


def _in_words(scope: dict[str, Any]) -> str:
    from engine.wording import plural

    if "ids" in scope:
        return plural(len(scope["ids"]), "id")
    if "operation" in scope:
        return f"operation {scope['operation']}"
    return " ".join(f"{name}={value}" for name, value in scope["filter"].items()) or "all"


@click.command(epilog=example("undo 7"))
@click.argument("number", metavar="OPERATION", type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def undo(number: int, as_json: bool) -> int:
    """Take back a delete or a retry of many jobs, where it can be still."""
    from engine import operations as bulk

    connect_existing()
    operation = _run(bulk.undo(number, actor=actor()).pk)
    _report(operation, as_json)
    return int(operation.failed > 0)


COMMANDS = (retry, unretry, run_now, cancel, priority, delete, undelete, trash, remove, operations, undo)
