"""The commands for the settings: read, change, and who changed what."""

from __future__ import annotations

import json
from typing import Any

import click

from cli import printing
from cli.options import Group, actor, connect, connect_existing, example, json_option


def _complete_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from engine.config import KEYS

    return [name for name in KEYS if name.startswith(incomplete)]


_key = click.argument("key", shell_complete=_complete_keys)
_key_or_all = click.argument("key", required=False, shell_complete=_complete_keys)


@click.group(cls=Group, epilog=example("config set backoff_base 3"))
def config() -> None:
    """The settings."""


@config.command("get", epilog=example("config get backoff_base"))
@_key_or_all
@json_option
def config_get(key: str | None, as_json: bool | None) -> None:
    """Show all settings, or one."""
    from engine import config as settings

    connect_existing()
    name = key.replace("-", "_") if key else None
    found = {name: settings.get(name)} if name else settings.get_all()
    if printing.wants_json(as_json):
        printing.show_json(found)
    else:
        rows = [(name, str(value), str(settings.KEYS[name].default)) for name, value in found.items()]
        printing.show_table(
            ("key", "value", "default", "meaning"), [(*row, settings.KEYS[row[0]].help) for row in rows]
        )


@config.command("set", epilog=example("config set backoff_base 3"), context_settings={"ignore_unknown_options": True})
@_key
@click.argument("value")
def config_set(key: str, value: str) -> None:
    """Change a setting."""
    from engine import config as settings

    connect()
    _tell(key, settings.set(key, value, actor=actor()))


@config.command("reset", epilog=example("config reset backoff_base"))
@_key
def config_reset(key: str) -> None:
    """Go back to a setting's default."""
    from engine import config as settings

    connect_existing()
    _tell(key, settings.reset(key, actor=actor()))


@config.command("history", epilog=example("config history backoff_base"))
@_key_or_all
@json_option
def config_history(key: str | None, as_json: bool | None) -> None:
    """Show who changed the settings, or one, from what to what; the newest first."""
    from engine import config as settings
    from engine.queries import iso

    connect_existing()
    rows = [
        {
            "at": iso(change.at),
            "key": change.key,
            "before": json.loads(change.before or "null"),
            "after": json.loads(change.after or "null"),
            "actor": change.actor,
        }
        for change in settings.history(key)
    ]
    printing.show_rows(("at", "key", "before", "after", "actor"), rows, as_json, "Nothing was changed.")


@config.command("revert", epilog=example("config revert backoff_base"))
@_key
def config_revert(key: str) -> None:
    """Take back the last change of a setting."""
    from engine import config as settings

    connect_existing()
    _tell(key, settings.revert(key, actor=actor()))


def _tell(key: str, value: Any) -> None:
    click.echo(f"{key.replace('-', '_')} = {value}")


COMMANDS = (config,)
