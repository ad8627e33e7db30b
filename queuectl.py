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
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from cli import consent, outcome, printing
from cli.options import (
    FINAL,
    Group,
    Seconds,
    complete_ids,
    connect,
    connect_existing,
    example,
    filter_options,
    find_again,
    job_id_argument,
    json_option,
    replace_supervisor,
)
from cli.outcome import Stopped
from engine import interruption
from engine.errors import InvalidInput, NotFound, QueueError

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
    except SystemExit:
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = error.exit_code
    except BaseException as error:
        code = outcome.complain(*outcome.ending(error))
        outcome.close_output(error)
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Inside, a Ctrl-C is a KeyboardInterrupt, or waits until what was changed is told. Not for those deaf to it."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        yield
        return
    numbers = (signal.SIGINT, signal.SIGALRM)
    try:
        for number in numbers:
            signal.signal(number, lambda *_: interruption.interrupt())
        sys.unraisablehook = _ask_again
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = sys.__unraisablehook__


def _ask_again(lost: Any) -> None:
    """Python drops what is raised while it tidies up, also a KeyboardInterrupt: raise it a moment later."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.001)
    else:
        sys.__unraisablehook__(lost)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]}, epilog=example("enqueue 'echo hi'"))
@click.option("--db", metavar="PATH", help="The database. Default: env QUEUECTL_DB, else queue.db beside the program.")
@click.version_option(VERSION, prog_name="queuectl")
def cli(db: str | None) -> None:
    """A queue of shell commands that never loses one."""


def _complete_workers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from engine import queries

    connect_existing(ctx)
    return [worker["id"] for worker in queries.workers() if worker["id"].startswith(incomplete)]


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
@click.option("--check", is_flag=True, help="Store nothing; say what is amiss, and when it would be tried.")
def enqueue(
    payload: tuple[str, ...], path: str | None, origin: str | None, form: str, check: bool, **flags: Any
) -> None:
    """Store a job, or many from a file or a JSON array."""
    if payload == ("-",) and not path:
        payload, path = (), "-"
    if (path and (payload or origin)) or not (path or payload or origin):
        raise click.UsageError("Give a job, --file FILE, or - for standard input; one of them.")
    found = _from_file(path, form) if path else _from_job(origin, payload) if origin else _from_words(payload)
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
    from engine import queries
    from engine.jobs import payload_of

    said = _from_words(words) if words else [("", {})]
    if len(said) > 1:
        raise click.UsageError("--from makes one job; there are many here.")
    connect_existing()
    return [("", payload_of(queries.find(job_id)) | said[0][1])]


def _from_words(words: tuple[str, ...]) -> list[Entry]:
    from cli import intake

    return intake.entries(words)


def _from_file(path: str, form: str) -> list[Entry]:
    """Every job in the file with where it stands, for messages."""
    import gc

    from cli import intake
    from engine import batch

    gc.disable()  # all that is read stays to the end: to look for garbage in it again and again would find none
    return intake.of_text(batch.decode(_read(path), _name(path)), _name(path), form)


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read() if sys.stdin else b""
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidInput(f"Cannot read {path}: {error.strerror}.") from None


def _name(path: str) -> str:
    return "standard input" if path == "-" else path


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
    from engine import batch

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
        outcome.close_output(error)
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


@cli.command("list", epilog=example("list --state pending"))
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


@cli.command(epilog=example("show job1"))
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


cli.add_later("cli.logs", "logs")


@cli.command(epilog=example("wait job1 job2 --timeout 60"))
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


cli.add_later("cli.comparing", "diff")
cli.add_later("cli.steering", "retry", "unretry", "run-now", "cancel", "priority", "delete", "undelete", "trash")
cli.add_later("cli.steering", "remove", "operations", "undo")


# --- the dead letter queue


@cli.group(cls=Group, epilog=example("dlq list"))
def dlq() -> None:
    """The dead letter queue: jobs that failed after their last retry."""


@dlq.command("list", epilog=example("dlq list"))
@json_option
def dlq_list(as_json: bool | None) -> None:
    """List the dead jobs."""
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


# --- workers


@click.group(cls=Group, epilog=example("worker start --count 3"))
def worker() -> None:
    """Start, drain and stop the worker processes."""


cli.add_command(worker)


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
            ids = list(dict.fromkeys([*ids, *left]))  # whoever took the place of one that died, too
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
            from cli import crew

            crew.tell_outlook(ids)
        for left in _watch(ids) if wait else ():
            if left and len(stuck := survivors.keeping(left)) == len(left):
                raise Refused(f"No longer waiting for {', '.join(left)}. {' '.join(stuck)}")
    except KeyboardInterrupt:
        raise Stopped("No longer waiting; the workers still end. See 'queuectl worker list'.", 130) from None
    if wait:
        click.echo("All stopped.")


worker.add_later("cli.crew", "scale", "list")


@cli.command(epilog=example("status"))
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


# --- queues, settings, bad days


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
