"""Before many jobs are changed at once: how many they are, and whether that is meant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import click

from engine.errors import Refused

_FINAL = ("cancel", "delete")  # what must be said twice when it is about every job there is
_VERBS = {"retry": "Retry {}", "cancel": "Cancel {}", "delete": "Delete {}", "priority": "Give {} another priority"}


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--yes and --dry-run, for commands with --all."""
    yes = click.option("--yes", is_flag=True, help="With --all: do not ask.")
    dry_run = click.option("--dry-run", is_flag=True, help="With --all: only say how many jobs it would be.")
    return yes(dry_run(command))


def get(verb: str, filters: Mapping[str, str | None], yes: bool) -> None:
    """Return when the jobs that match are meant: --yes says so, a person on a terminal when asked.

    Off a terminal scripts go on unasked, but not to cancel or delete every job. Raises Refused.
    """
    if yes:
        return
    is_every = verb in _FINAL and not any(filters.values())
    if not _is_terminal():
        if is_every:
            raise Refused(
                f"'{verb} --all' without a filter is about every job ({_count(verb, filters)}); add --yes to go on."
            )
        return
    if not click.confirm(f"{_VERBS[verb].format(_count(verb, filters))}?", err=True):
        raise Refused("Nothing was changed.")


def say_only(verb: str, filters: Mapping[str, str | None]) -> NoReturn:
    """Say how many jobs the verb would change now, and end."""
    from engine import operations
    from engine.wording import plural

    click.echo(f"{plural(operations.count(verb, filters), 'job')} would be {operations.DONE[verb]}.")
    raise click.exceptions.Exit(0)


def _count(verb: str, filters: Mapping[str, str | None]) -> str:
    """The number of jobs that match and whose state allows it, in words."""
    from engine import operations
    from engine.wording import plural

    number = operations.expect(verb, filters)
    return "all jobs that match, which are many" if number is None else plural(number, "job")


def _is_terminal() -> bool:
    """Whether a person can be asked: reads what is said on standard error, and types the answer."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty())
