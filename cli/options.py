"""What the commands have in common: the database they are about, the example in their help, --json."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from engine import interruption

STATES = ("pending", "processing", "completed", "failed", "dead", "cancelled")
FINAL = ("completed", "dead", "cancelled")
_NONE = "There is no database at {}; correct --db or QUEUECTL_DB"


class Seconds(click.ParamType):
    """A number of seconds, 0 or more, or a length of time with its units. `nan` is neither."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from engine import durations

        if (said_s := durations.seconds(str(value).strip())) is not None:
            return said_s
        with suppress(ValueError, OverflowError):
            if (number := float(value)) >= 0:
                return number
        sentence = f"{value!r} is no length of time; give seconds, or one such as {durations.EXAMPLES}."
        raise click.BadParameter(sentence, ctx, param)


class Group(click.Group):
    """Lists its commands in the order they are written, the order of a job's life.

    Those of other modules are loaded when they are asked for: most of the time of a short command is importing code.
    """

    def add_later(self, module: str, *names: str) -> None:
        """The commands of these names are in the COMMANDS of this module."""
        for name in names:
            self.add_command(_Later(name, module))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if isinstance(command, _Later):
            for found in import_module(command.module).COMMANDS:
                self.add_command(found)
            command = super().get_command(ctx, cmd_name)
        return command


class _Later(click.Command):
    """The place of a command whose module is not loaded yet."""

    def __init__(self, name: str, module: str):
        super().__init__(name)
        self.module = module


def filter_options(command: Any) -> Any:
    """What jobs can be chosen by, as the list of jobs takes it (engine/filters.py)."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


_FILTERS = (
    click.option("--state", type=click.Choice(STATES), help="Only jobs in this state."),
    click.option("--queue", help="Only jobs of this queue."),
    click.option("--tag", help="Only jobs with this tag."),
    click.option("--text", help="Only jobs with this text in the id or the command."),
    click.option("--output", help="Only jobs that printed this text."),
    click.option("--error", metavar="PATTERN", help='Only jobs whose last error is like "exit code 1: no route*".'),
    click.option("--cause", help="Only dead jobs of this cause, as 'dlq causes' names it."),
    click.option("--exit-code", metavar="CODE", help="Only jobs whose last run ended so; -9: by signal 9."),
    click.option("--worker", metavar="ID", help="Only jobs that this worker ran or runs."),
    click.option("--failed-since", metavar="WHEN", help="Only jobs with a run that failed since then."),
    click.option("--since", metavar="WHEN", help='Only jobs that ended since; "24h", "7d" or "2025-11-04T10:30Z".'),
    click.option("--until", metavar="WHEN", help="Only jobs that ended before. Unfinished ones: enqueued."),
)
json_option = click.option("--json/--no-json", "as_json", default=None, help="JSON or a table. Default: by terminal.")


def example(line: str) -> str:
    """The end of a command's help: how it is called."""
    return f"\b\nExample:\n  queuectl {line}"


def database(ctx: click.Context | None = None) -> str | None:
    """What --db says; None when it is not given."""
    return (ctx or click.get_current_context()).find_root().params.get("db")


def actor() -> str:
    """Who asks, for what is remembered: this Unix user."""
    import os
    import pwd

    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a user without a name, as in containers
        return f"cli:{os.getuid()}"


def connect(ctx: click.Context | None = None) -> Any:
    """Open the database of this command. Raises Unavailable."""
    import models

    opened = models.connect(database(ctx))
    interruption.told()  # a new database or schema is nothing to tell of
    return opened


def replace_supervisor() -> None:
    """Start another supervisor in the place of one that died, if it is missed, and say so on standard error."""
    from engine import liveness

    if liveness.missed_supervisor() is None:
        return
    import workers
    from engine.errors import Unavailable

    try:
        said = workers.replace_supervisor()
    except Unavailable as error:
        said = str(error)
    if said:
        click.echo(said, err=True)


def find_again(job_id: str) -> Any:
    """A job that was there a moment ago. Raises NotFound with what became of it."""
    from engine import queries
    from engine.errors import NotFound

    try:
        return queries.find(job_id)
    except NotFound:
        raise NotFound(f"Job {job_id} was deleted meanwhile.") from None


def connect_existing(ctx: click.Context | None = None) -> Any:
    """Open the database of a command that has nothing to do without one.

    Where none is, says so and opens an empty one in memory: the command shows or finds nothing, and no file is made.
    """
    import os

    import models
    from engine import opening

    path = models.path_of(database(ctx))
    if os.path.exists(path) or not os.path.isdir(os.path.dirname(path)):  # without its folder none can be enqueued to
        return connect(ctx)
    if "_QUEUECTL_COMPLETE" not in os.environ:
        click.echo(f"{_NONE.format(path)}, or enqueue the first job.", err=True)
    empty = opening.empty(os.path.join(models.ROOT, "migrations"), models.SCHEMA_VERSION)
    models.db.initialize(empty)
    return empty


def connect_file() -> Any:
    """Open the database of a command that is about its file. Raises NotFound when there is none."""
    import os

    import models
    from engine.errors import NotFound

    path = models.path_of(database())
    if not os.path.exists(path):
        raise NotFound(f"{_NONE.format(path)}.")
    return connect()


def complete_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The ids that begin like this, the newest jobs first."""
    from models import Job

    connect_existing(ctx)
    found: Any = (
        Job.select(Job.id)
        .where(Job.id.startswith(incomplete), Job.state != "deleted")
        .order_by(Job.pk.desc())
        .limit(50)
    )
    return [job_id for (job_id,) in found.tuples()]


job_id_argument = click.argument("job_id", metavar="ID", shell_complete=complete_ids)
