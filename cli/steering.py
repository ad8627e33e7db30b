"""The commands that steer one job and are not in `queuectl.py`."""

from __future__ import annotations

import click

from cli.options import connect, example, job_id_argument


@click.command("run-now", epilog=example("run-now job1"))
@job_id_argument
def run_now(job_id: str) -> None:
    """Let a waiting job wait no longer for its time or its next try; its attempts stay counted."""
    from engine import jobs

    connect()
    jobs.run_now(job_id)
    click.echo(f"{job_id} is due now.")


COMMANDS = (run_now,)
