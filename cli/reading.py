"""The commands that show jobs and counts, and the one that waits for jobs."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import click

from cli import outcome, printing
from cli.options import (
    FINAL,
    Seconds,
    complete_ids,
    connect_existing,
    example,
    filter_options,
    find_again,
    job_id_argument,
    json_option,
    replace_supervisor,
)


@click.command("list", epilog=example("list --state pending"))
@filter_options
@click.option("--view", help="Only jobs that a saved view shows.")
@click.option("--limit", type=click.IntRange(1), help="At most so many. Default: all as JSON, 50 in a table.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, without what was printed.")
@json_option
def list_(view: str | None, limit: int | None, as_csv: bool, as_json: bool | None, **filters: str | None) -> None:
    """List jobs, newest first."""
    from engine import queries

    connect_existing()
    limit = limit and min(limit, sys.maxsize - 1)
    chosen = _of_view(view) | {name: value for name, value in filters.items() if value}
    if as_csv:
        printing.show_csv(islice(queries.every(**chosen), limit))
    elif printing.wants_json(as_json):
        printing.show_array(islice(queries.every(**chosen), limit))
    else:
        rows = list(islice(queries.every(**chosen), (limit or 50) + 1))
        printing.show_jobs(rows[: limit or 50])
        if len(rows) > (limit or 50):
            total = f" of {_count(chosen):,}" if chosen.keys() <= {"state", "queue"} else ""
            click.echo(f"The newest {limit or 50}{total}; --limit shows more, --json all.")


def _of_view(name: str | None) -> dict[str, str]:
    from engine import saved_views

    return saved_views.filters_of(name) if name else {}


def _count(chosen: dict[str, str]) -> int:
    from engine import queries

    counts = queries.counts(chosen.get("queue"))
    return counts[chosen["state"]] if "state" in chosen else sum(counts.values())


@click.command(epilog=example("show job1"))
@job_id_argument
@json_option
def show(job_id: str, as_json: bool | None) -> None:
    """Show one job: its fields, why it waits, its runs, what it printed."""
    from engine import queries, roster, waiting

    connect_existing()
    job = queries.find(job_id)
    shown = queries.as_json(job, queries.attempt(job))
    shown["folder"] = job.cwd or roster.folder()  # where it runs
    shown["why"] = [reason.sentence() for reason in waiting.reasons(job)]
    shown["runs"] = [queries.attempt_as_json(run) for run in queries.attempts(job)]
    if printing.wants_json(as_json):
        printing.show_json(shown)
    else:
        printing.show_job(shown)


@click.command(epilog=example("wait job1 job2 --timeout 60"))
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_ids)
@click.option("--timeout", type=Seconds(), help='Give up after so many seconds, or "10m", with status 124.')
def wait(job_ids: tuple[str, ...], timeout: float | None) -> int:
    """Wait until jobs have ended: 0 when all completed, a single job's own exit code when it failed, else 1."""
    import time

    from cli import inside
    from engine import queries

    connect_existing()
    own = inside.own_job()
    give_up_at = None if timeout is None else time.monotonic() + timeout
    find = queries.find
    while True:
        jobs = [find(job_id) for job_id in job_ids]
        find = find_again
        waiting = [job.id for job in jobs if job.state not in FINAL]
        if not waiting:
            return _verdict(jobs)
        replace_supervisor()
        inside.refuse_wait(own, [job for job in jobs if job.id in waiting])
        if give_up_at is not None and time.monotonic() >= give_up_at:
            return outcome.complain(f"Still not ended: {', '.join(waiting)}.", 124)
        time.sleep(0.1)


def _verdict(jobs: list[Any]) -> int:
    failed = [job for job in jobs if job.state != "completed"]
    for job in failed:
        outcome.complain(f"{job.id} is {job.state}{f': {job.last_error}' if job.last_error else ''}", 1)
    if len(jobs) == 1 and failed and failed[0].return_code and failed[0].return_code > 0:
        return failed[0].return_code
    return 1 if failed else 0


@click.command(epilog=example("status"))
@json_option
def status(as_json: bool | None) -> None:
    """Counts by state, the workers, and whether a shutdown is asked for."""
    from engine import queries

    connect_existing()
    replace_supervisor()
    found = queries.status()
    if printing.wants_json(as_json):
        printing.show_json(found)
        return
    printing.show_table(
        ("state", "jobs"),
        [(printing.coloured(state), f"{count:,}") for state, count in found["jobs"].items()],
        numbers=(1,),
    )
    printing.show_workers(found["workers"])
    if found["shutdown"]:
        click.echo("A shutdown is asked for: the workers take no other job.")


COMMANDS = (list_, show, wait, status)
