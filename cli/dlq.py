"""The commands of the dead letter queue."""

from __future__ import annotations

import click

from cli import consent, printing
from cli.options import Group, complete_ids, connect_existing, example, json_option
from cli.outcome import Stopped
from engine import interruption


@click.group(cls=Group, epilog=example("dlq list"))
def dlq() -> None:
    """The dead letter queue: jobs that failed after their last retry."""


@dlq.command("list", epilog=example("dlq list"))
@json_option
def dlq_list(as_json: bool | None) -> None:
    """List the dead jobs."""
    from cli.reading import list_

    click.get_current_context().invoke(list_, state="dead", limit=None, as_csv=False, as_json=as_json, view=None)


@dlq.command("causes", epilog=example("dlq causes"))
@json_option
def dlq_causes(as_json: bool | None) -> None:
    """Why the dead jobs failed, the most frequent cause first; 'retry --all --state dead --cause CAUSE' retries one."""
    from engine import causes
    from engine.queries import iso

    connect_existing()
    rows = [
        {
            "jobs": cause.deaths,
            "error": cause.pattern,
            "example": cause.example,
            "first": iso(cause.first_at),
            "last": iso(cause.last_at),
        }
        for cause in causes.by_count()
    ]
    printing.show_rows(("jobs", "error"), rows, as_json, "No job is dead.")


@dlq.command("retry", epilog=example("dlq retry job1"))
@click.argument("job_ids", metavar="ID...", nargs=-1, shell_complete=complete_ids)
@click.option("--all", "every", is_flag=True, help="All that are dead now.")
@consent.options
def dlq_retry(job_ids: tuple[str, ...], every: bool, yes: bool, dry_run: bool) -> None:
    """Put dead jobs back to pending with attempts 0."""
    from engine import dlq

    if bool(job_ids) == every or (dry_run and not every):
        raise click.UsageError("Give the ids of the jobs, or --all, which --dry-run goes with.")
    connect_existing()
    if dry_run:
        consent.say_only("retry", {"state": "dead"})
    if every:
        consent.get("retry", {"state": "dead"}, yes)
        _retry_all()
    for job_id in job_ids:
        dlq.retry(job_id)
        click.echo(f"{job_id} is pending again.")
        interruption.told()


def _retry_all() -> None:
    from engine import dlq

    retried = 0

    def note(number: int) -> None:
        nonlocal retried
        retried = number
        interruption.told()

    try:
        click.echo(f"{dlq.retry_all(note)} jobs are pending again.")
    except KeyboardInterrupt:
        raise Stopped(f"Interrupted; {retried} jobs are pending again.", 130) from None


COMMANDS = (dlq,)
