"""What the commands print: JSON for scripts, tables for people. Rich is imported only when a table is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import click


def wants_json(asked: bool | None) -> bool:
    """What --json or --no-json says; without either, JSON unless a person looks on."""
    return not sys.stdout.isatty() if asked is None else asked


def _dumped(value: Any, indent: int | None = None) -> str:
    dumped = json.dumps(value, ensure_ascii=sys.stdout.encoding.lower() != "utf-8", indent=indent)
    if not sys.stdout.isatty():
        return dumped
    from engine import visible

    return visible.in_json(dumped)


def colours_end(text: str) -> str:
    """What makes the next text plain again after one that may have begun a colour; "" when it has none."""
    return "\x1b[0m" if "\x1b" in text else ""


def show_json(value: Any) -> None:
    click.echo(_dumped(value, indent=2))


def show_array(rows: Iterable[Any]) -> None:
    """A JSON array written row by row, so that a million jobs need no memory."""
    separator = "["
    for row in rows:
        click.echo(separator + "\n" + _dumped(row), nl=False)
        separator = ","
    click.echo("[]" if separator == "[" else "\n]")


def show_csv(rows: Iterable[Any]) -> None:
    from engine import sheet

    for line in sheet.lines(rows):
        click.echo(line, nl=False)


_COLOURS = {
    "pending": "cyan",
    "processing": "blue",
    "completed": "green",
    "failed": "yellow",
    "dead": "red",
    "cancelled": "bright_black",
}


_LONG = (
    "command",
    "last error",
    "error",
    "meaning",
    "reason",
    "value",
    "current_job_id",
    "scope",
    "filter",
    "before",
    "after",
)


def coloured(state: str) -> Any:
    from rich.text import Text

    return Text(state, style=_COLOURS.get(state, ""))


def show_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], numbers: tuple[int, ...] = ()) -> None:
    from rich.console import Console

    Console().print(_made_table(columns, rows, numbers))


def _made_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], numbers: tuple[int, ...] = ()) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from engine import visible

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        justify: Any = "right" if number in numbers else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column not in _LONG)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(visible.plain(str(cell))) for cell in row))
    return table


def show_rows(columns: tuple[str, ...], rows: list[dict[str, Any]], as_json: bool | None, none: str) -> None:
    """A list as JSON, or as a table of these columns; `none` is said when it is empty."""
    if wants_json(as_json):
        show_json(rows)
    elif not rows:
        click.echo(none)
    else:
        show_table(columns, [tuple(_shown(row[name]) for name in columns) for row in rows])


def show_jobs(jobs: list[dict[str, Any]]) -> None:
    if not jobs:
        click.echo("No jobs.")
        return
    columns = ("id", "state", "attempts", "command", "last error")
    rows = [
        (
            job["id"],
            coloured(job["state"]),
            _attempts(job),
            _short(job["command"]),
            _short(job["last_error"] or ""),
        )
        for job in jobs
    ]
    show_table(columns, rows)


def show_job(job: dict[str, Any]) -> None:
    from engine.wording import duration

    hidden = ("stdout", "stderr", "runs", "why")
    shown = job | {"attempts": _attempts(job), "duration_ms": duration(job["duration_ms"])}
    show_table(("field", "value"), [(name, _shown(value)) for name, value in shown.items() if name not in hidden])
    if job["why"]:
        question = "Why doesn't it end?" if job["state"] == "processing" else "Why isn't it running?"
        click.echo(f"{question} {' '.join(job['why'])}")
    if job["runs"]:
        columns = ("run", "outcome", "worker", "started_at", "duration", "return_code", "meaning", "error")
        runs = [run | {"duration": duration(run["duration_ms"])} for run in job["runs"]]
        show_table(columns, [tuple(_shown(run[name]) for name in columns) for run in runs])
    for stream in ("stdout", "stderr"):
        if job[stream]:
            click.secho(f"{stream}:", bold=True)
            click.echo(job[stream] + colours_end(job[stream]))


def _attempts(job: dict[str, Any]) -> str:
    from engine.wording import attempts

    return attempts(job["state"], job["attempts"], job["max_retries"], job["last_error"])


def show_workers(rows: list[dict[str, Any]]) -> None:
    if not rows:
        click.echo("No workers are running; start some with 'queuectl worker start --count 2'.")
        return
    from rich.console import Console

    Console().print(workers_table(rows))


def workers_table(rows: list[dict[str, Any]]) -> Any:
    columns = ("id", "status", "pid", "current_job_id", "started_at", "reason")
    return _made_table(columns, [tuple(_shown(row[name]) for name in columns) for row in rows])


def _shown(value: Any) -> str:
    if value is None or value in ([], {}):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str, width: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
