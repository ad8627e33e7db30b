"""The settings as their page shows them: plain values, every decision taken."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from engine import config
from engine.config import Key
from engine.errors import NotFound
from engine.forecast import about
from models import SettingChange

# What belongs together; a key that is named nowhere stands at the end.
GROUPS = {
    "Retries": ("max_retries_default", "backoff_base", "max_backoff_sec", "backoff_jitter", "max_crashes"),
    "Running": ("job_timeout_sec", "kill_grace_sec", "output_limit_kb", "durability"),
    "Keeping and deleting": (
        "retention_completed_days",
        "retention_cancelled_days",
        "retention_dead_days",
        "retention_output_days",
        "retention_workers_days",
        "trash_minutes",
    ),
}
_UNIT_MS = {"s": 1000, "minutes": 60_000}


def every() -> dict[str, list[dict[str, Any]]]:
    """All settings, by the name of their group."""
    rows = {row["name"]: row for row in _rows(config.KEYS.values())}
    groups = {group: [rows.pop(name) for name in names if name in rows] for group, names in GROUPS.items()}
    return groups | ({"Others": [*rows.values()]} if rows else {})


def one(name: str) -> dict[str, Any]:
    """One setting. Raises NotFound."""
    return some([name])[0]


def some(names: Iterable[str]) -> list[dict[str, Any]]:
    """These settings. Raises NotFound."""
    return _rows([_key(name) for name in names])


def newest_change() -> int:
    """The number of the last change of any setting; it tells a page whether it is up to date."""
    return max((change.pk for change in config.last_changes().values()), default=0)


def changed_since(change: int) -> list[str]:
    """The settings that were changed after that change."""
    return [key for key, last in config.last_changes().items() if last.pk > change and key in config.KEYS]


def history(name: str) -> list[dict[str, Any]]:
    """The changes of one setting, the newest first."""
    key = _key(name)
    return [
        {
            "pk": change.pk,
            "at": change.at,
            "actor": change.actor,
            "before": _told(key, change.before),
            "after": _told(key, change.after),
            "value": None if change.before is None else shown(json.loads(change.before)),
        }
        for change in config.history(key.name)
    ]


def shown(value: Any) -> str:
    """A value as its field shows it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rows(keys: Iterable[Key]) -> list[dict[str, Any]]:
    values, last = config.get_all(), config.last_changes()
    return [_row(key, values[key.name], last.get(key.name)) for key in keys]


def _row(key: Key, value: Any, last: SettingChange | None) -> dict[str, Any]:
    return {
        "name": key.name,
        "help": key.help,
        "applies": key.applies,
        "unit": key.unit,
        "words": key.kind if isinstance(key.kind, tuple) else (),
        "low": f"{key.low:g}",
        "high": f"{key.high:.0f}",
        "is_duration": key.unit in config.UNIT_S,
        "step": "1" if key.kind is int else "any",
        "limits": _limits(key),
        "default": shown(key.default),
        "value": shown(value),
        "text": shown(value),  # what stands in the field
        "span": _span(key, value),
        "is_set": value != key.default if last is None else last.after is not None,
        "at": last.at if last else None,
        "actor": last.actor if last else None,
        "seen": last.pk if last else 0,
        "sentence": None,
    }


def _key(name: str) -> Key:
    try:
        return config.KEYS[name.replace("-", "_")]
    except KeyError:
        raise NotFound(f"There is no setting {name[:64]!r}.") from None


def _limits(key: Key) -> str:
    if isinstance(key.kind, tuple):
        return " or ".join(key.kind)
    return f"{'a whole number, ' if key.kind is int else ''}{key.low:g} to {key.high:,.0f}"


def _span(key: Key, value: Any) -> str | None:
    """A long time in larger units; None where the number says it as well."""
    ms = _UNIT_MS.get(key.unit, 0) * (value if isinstance(value, (int, float)) else 0)
    return about(int(ms)) if ms >= 2 * 60_000 and ms >= 60 * _UNIT_MS[key.unit] else None


def _told(key: Key, stored: str | None) -> str:
    """A stored value (JSON) for people; the default when there was none."""
    return f"default ({shown(key.default)})" if stored is None else shown(json.loads(stored))
