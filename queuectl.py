"""The command line: parses, calls the engine or the workers, prints. It has no rules of its own.

Imports that cost (rich, workers) stay inside the commands that need them: `enqueue` is typed by people and scripts all
day and must begin at once.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # built in: it is there before a Ctrl-C can come

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import startup  # before all that an old Python cannot load

if startup.is_program("queuectl"):
    startup.begin()

# isort: split
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cli import outcome
from cli.options import (
    Group,
    Seconds,
    connect,
    connect_existing,
    database,
    example,
    replace_supervisor,
)
from cli.outcome import Stopped
from engine import interruption
from engine.errors import InvalidInput, QueueError

if TYPE_CHECKING:
    from engine.batch import Entry

VERSION = "0.1.0"
_PORTION, _LARGE_PORTION = 1000, 16_000  # jobs of a file that are stored at once


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 refused, 2 bad usage or input, 130 interrupted."""
    try:
        with _interruptible():
            outcome.open_output()
            code = cli.main(argv, prog_name="queuectl", complete_var=outcome.COMPLETE, standalone_mode=False)
            sys.stdout.flush()
            if (wakeup := sys.modules.get("engine.wakeup")) and wakeup.unheard:
                replace_supervisor()
        if interruption.is_waiting():
            code = outcome.complain("Interrupted when that was done already.", 130)
    except SystemExit:  # so click leaves when the reader of the output is gone
        outcome.close_output()
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = error.exit_code
    except BaseException as error:
        code = outcome.complain(*outcome.ending(error))
        outcome.close_output()
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Inside, a Ctrl-C is a KeyboardInterrupt, or waits until what was changed is told. Not for those deaf to it."""
    before = _signal.getsignal(_signal.SIGINT)
    if before == _signal.SIG_IGN:
        yield
        return
    numbers = (_signal.SIGINT, _signal.SIGALRM)
    try:
        for number in numbers:
            _signal.signal(number, lambda *_: interruption.interrupt())
        sys.unraisablehook = _ask_again
        yield
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        _signal.signal(_signal.SIGINT, before)
        sys.unraisablehook = sys.__unraisablehook__


def _ask_again(lost: Any) -> None:
    """Python drops what is raised while it tidies up, also a KeyboardInterrupt: raise it a moment later."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        _signal.setitimer(_signal.ITIMER_REAL, 0.001)
    else:
        sys.__unraisablehook__(lost)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]}, epilog=example("enqueue 'echo hi'"))
@click.option("--db", metavar="PATH", help="The database. Default: env QUEUECTL_DB, else queue.db beside the program.")
@click.version_option(VERSION, prog_name="queuectl")
def cli(db: str | None) -> None:
    """A queue of shell commands that never loses one."""


# --- jobs


@cli.command(epilog=example('enqueue \'{"id": "job1", "command": "echo Hello World", "max_retries": 3}\''))
@click.argument("payload", nargs=-1, metavar="[JSON | COMMAND | - | -- PROGRAM ARG...]")
@click.option("--file", "path", metavar="FILE", help="Take the jobs from a file of JSON or JSON lines; - is stdin.")
@click.option("--from", "origin", metavar="ID", help="A job like that one; what else is given replaces what it has.")
@click.option("--id", "job_id", help="The job's id; made up when left out.")
@click.option("--priority", type=int, help="-100 to 100; higher runs first. Default 0.")
@click.option("--queue", help="The queue it waits in.")
@click.option("--max-retries", type=int, help="Retries after the first failure.")
@click.option("--timeout", "timeout_sec", type=Seconds(), help='How long it may run: seconds, or "1h30m"; 0: no limit.')
@click.option(
    "--run-at", metavar="WHEN", help='Not before: "+10m", "09:00", "tomorrow 9:00", "2026-11-29 09:00 Europe/Berlin".'
)
@click.option("--cwd", help="The folder it runs in; . is this one.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="An environment variable; repeatable.")
@click.option("--tag", "tags", multiple=True, help="A word to find it by; repeatable.")
@click.option("--lines", "form", flag_value="lines", default="json", help="With --file or -: each line is a command.")
@click.option("--check", is_flag=True, help="Store nothing; say what is wrong, and when it would be tried.")
def enqueue(
    payload: tuple[str, ...], path: str | None, origin: str | None, form: str, check: bool, **flags: Any
) -> None:
    """Store a job, or many from a file or a JSON array."""
    if payload == ("-",) and not path:
        payload, path = (), "-"
    if (path and (payload or origin)) or not (path or payload or origin):
        raise click.UsageError("Give a job, --file FILE, or - for standard input; one of them.")
    from cli import intake

    found = intake.of_file(path, form) if path else _from_job(origin, payload) if origin else intake.entries(payload)
    given = _given(flags)
    jobs = [(label, job | given | _merged(job, given)) for label, job in found] if given else found
    if len(jobs) > 1 and "id" in given:
        raise click.UsageError("--id names one job; there are many here.")
    rows = _parsed(jobs)
    if check:
        from cli import checking

        checking.show(jobs)
        return
    _store(rows, origin, told=len(jobs) == 1, at_once=len(rows) if payload else _PORTION)


def _from_job(job_id: str, words: tuple[str, ...]) -> list[Entry]:
    """A job like that one, with what the words say in its place."""
    from cli import intake
    from engine import queries
    from engine.jobs import payload_of

    said = intake.entries(words) if words else [("", {})]
    if len(said) > 1:
        raise click.UsageError("--from makes one job; there are many here.")
    connect_existing()
    return [("", payload_of(queries.find(job_id)) | said[0][1])]


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    """The fields that the flags set; flags win over the payload."""
    names = {"job_id": "id"}
    variables, tags = flags.pop("variables"), flags.pop("tags")
    given = {names.get(name, name): value for name, value in flags.items() if value is not None}
    if tags:
        given["tags"] = list(tags)
    if given.get("cwd"):
        given["cwd"] = _absolute(given["cwd"])
    if variables:
        given["env"] = dict(_variable(text) for text in variables)
    return given


def _absolute(folder: str) -> str:
    """The folder as the caller means it: by a relative name, one below the folder that the caller is in."""
    if os.path.isabs(folder):
        return folder
    from workers import environment

    return os.path.normpath(os.path.join(environment.here(), folder))


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--env {text!r} has no '='; write NAME=VALUE.")
    return name, value


def _merged(job: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Variables of the flags are added to those of the payload, the others replace them."""
    env = job.get("env")
    return {"env": env | given["env"]} if isinstance(env, dict) and "env" in given else {}


def _parsed(jobs: list[Entry]) -> list[dict[str, Any]]:
    """Look at every job before the first is stored. Raises InvalidInput with the line at fault."""
    import models
    from engine import batch, clock

    clock.keep_in(f"{models.path_of(database())}.run")  # "+5s" counts from the time that the workers follow
    try:
        return batch.parsed(jobs, models.now_ms())
    except InvalidInput as error:
        raise InvalidInput(f"{error}{' Nothing was stored.' if jobs[0][0] else ''}", error.field) from None


def _store(jobs: list[dict[str, Any]], origin: str | None, told: bool, at_once: int) -> None:
    from engine.jobs import enqueue_parsed

    connect()
    stored = 0
    try:
        for portion in _with_progress(jobs, at_once):
            job_ids = enqueue_parsed(portion, origin)
            stored += len(portion)
            click.echo("\n".join(f"Enqueued {job_id}" for job_id in job_ids))
            interruption.told()
    except (QueueError, OSError, KeyboardInterrupt) as error:
        if told:
            raise
        sentence, code = outcome.ending(error)
        outcome.close_output()
        done = f"The first {stored:,} of {len(jobs):,} jobs are stored." if stored else "Nothing was stored."
        raise Stopped(f"{sentence} {done}".strip(), code) from None
    if not told:
        click.echo(f"{stored} jobs enqueued.", err=True)


def _portions(jobs: list[Any], size: int) -> Iterator[list[Any]]:
    """Each is stored at once: small ones while others write too, larger and larger ones while nobody has to wait."""
    import models

    stored, version = 0, models.db.version()
    while stored < len(jobs):
        yield jobs[stored : stored + size]
        stored += size
        before, version = version, models.db.version()
        size = min(2 * size, _LARGE_PORTION) if version == before else _PORTION


def _with_progress(jobs: list[Any], first: int) -> Iterator[list[Any]]:
    if len(jobs) < 3 * _PORTION or not sys.stderr.isatty():
        yield from _portions(jobs, first)
        return
    from rich.console import Console
    from rich.progress import Progress

    from cli.terminal import past_guard

    with Progress(console=Console(file=past_guard(sys.stderr))) as progress:
        task = progress.add_task("Enqueueing", total=len(jobs))
        for portion in _portions(jobs, first):
            yield portion
            progress.advance(task, len(portion))


cli.add_later("cli.reading", "list", "show")
cli.add_later("cli.logs", "logs")
cli.add_later("cli.reading", "wait")


cli.add_later("cli.comparing", "diff")
cli.add_later("cli.steering", "retry", "unretry", "run-now", "cancel", "priority", "delete", "undelete", "trash")
cli.add_later("cli.steering", "remove", "operations", "undo")
cli.add_later("cli.dlq", "dlq")
cli.add_later("cli.crew", "worker")
cli.add_later("cli.reading", "status")


cli.add_later("cli.queues", "queues", "queue", "stats", "view")
cli.add_later("cli.settings", "config")
cli.add_later("cli.operations", "doctor", "backup", "restore", "vacuum", "prune", "export", "import")


@cli.command(epilog=example("completion bash > ~/.local/share/bash-completion/completions/queuectl"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    chosen = get_completion_class(shell)
    assert chosen is not None
    click.echo(chosen(cli, {}, "queuectl", outcome.COMPLETE).source())


if __name__ == "__main__":
    main()
