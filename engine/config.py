"""The settings that change at run time: what each means, its default and limits; read and set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from peewee import fn

import models
from engine import durations, wakeup
from engine.errors import InvalidInput, NotFound, Refused, Unavailable
from models import Config, SettingChange

SOMEBODY = "somebody"  # who did it, when nobody says


class Key(NamedTuple):
    """One setting. `kind` is int, float or a tuple of words; low and high bound the numbers."""

    name: str
    default: Any
    kind: Any
    low: float
    high: float
    unit: str
    help: str
    applies: str


_YEAR_S = 365 * 24 * 3600
UNIT_S = {"s": 1, "minutes": 60, "days": 86_400}  # the units that are lengths of time
_CENTURY_DAYS = 36_500

KEYS = {
    key.name: key
    for key in (
        Key(
            "max_retries_default",
            3,
            int,
            0,
            1000,
            "retries",
            "How often a job that fails is tried again when it does not say so itself.",
            "new jobs",
        ),
        Key(
            "backoff_base",
            2,
            float,
            1,
            100,
            "",
            "A failed job waits this number to the power of its attempts, in seconds, before the next try.",
            "the next failure",
        ),
        Key(
            "max_backoff_sec",
            21_600,
            int,
            1,
            _YEAR_S,
            "s",
            "The longest wait before a retry, without the jitter.",
            "the next failure",
        ),
        Key(
            "backoff_jitter",
            0,
            float,
            0,
            1,
            "",
            "Spreads retries: up to this share of the wait is added at random. 0 adds nothing.",
            "the next failure",
        ),
        Key(
            "job_timeout_sec",
            0,
            float,
            0,
            _YEAR_S,
            "s",
            "How long a job may run when it does not say so itself; then it is stopped and counts as failed. 0: no limit.",
            "the next run",
        ),
        Key(
            "kill_grace_sec",
            10,
            float,
            0,
            3600,
            "s",
            "How long a command that is told to stop (SIGTERM) may take before it is killed (SIGKILL).",
            "the next run",
        ),
        Key(
            "max_crashes",
            3,
            int,
            1,
            1000,
            "crashes",
            "How often a job may lose its worker before it is given up as dead. A crash spends no retry.",
            "the next crash",
        ),
        Key(
            "output_limit_kb",
            256,
            int,
            4,
            65_536,
            "KiB",
            "How much of each output stream is kept: the first quarter and the last three quarters of this.",
            "the next run",
        ),
        Key(
            "durability",
            "normal",
            ("normal", "full"),
            0,
            0,
            "",
            "normal: after a power failure the jobs that ended in the last moments may run again; "
            "full: their results too are on the disk before the next job begins, which is slower.",
            "workers started from now on",
        ),
        Key(
            "retention_completed_days",
            7,
            float,
            0,
            _CENTURY_DAYS,
            "days",
            "How long a completed job is kept; then it is deleted with its history and output. 0: for ever.",
            "completed jobs, within a minute",
        ),
        Key(
            "retention_cancelled_days",
            30,
            float,
            0,
            _CENTURY_DAYS,
            "days",
            "How long a cancelled job is kept; then it is deleted with its history and output. 0: for ever.",
            "cancelled jobs, within a minute",
        ),
        Key(
            "retention_dead_days",
            0,
            float,
            0,
            _CENTURY_DAYS,
            "days",
            "How long a dead job is kept; then it is deleted with its history and output. 0: for ever.",
            "dead jobs, within a minute",
        ),
        Key(
            "retention_output_days",
            0,
            float,
            0,
            _CENTURY_DAYS,
            "days",
            "How long what a job printed is kept after its end; the job and its history stay. 0: as long as the job.",
            "old output, within a minute",
        ),
        Key(
            "trash_minutes",
            60,
            float,
            0,
            60 * 24 * 366,
            "minutes",
            "How long a job that was deleted can be brought back; then it is gone with its history and output.",
            "deleted jobs, within a minute",
        ),
        Key(
            "retention_workers_days",
            30,
            float,
            0,
            _CENTURY_DAYS,
            "days",
            "How long workers and supervisors that have ended are listed. 0: for ever.",
            "workers that ended, within a minute",
        ),
    )
}


def get(name: str) -> Any:
    """The value of one key. Raises NotFound for a key that does not exist."""
    key = _key(name)
    row = Config.get_or_none(Config.key == key.name)
    return json.loads(row.value) if row else key.default


def get_all() -> dict[str, Any]:
    """Every key and its value, in the order of KEYS."""
    stored = {key: json.loads(value) for key, value in models.db.execute_sql("SELECT key, value FROM config")}
    return {name: stored.get(name, key.default) for name, key in KEYS.items()}


@lru_cache(maxsize=1)
def of(stored: str) -> Mapping[str, Any]:
    """Every key and its value, given the JSON object of those that were set (as a claim carries it)."""
    found = json.loads(stored)
    return MappingProxyType({name: found.get(name, key.default) for name, key in KEYS.items()})


def present(name: str, stored: str) -> Any:
    """The present value of one key; where the database does not say, that in the JSON object `stored`."""
    try:
        return get(name)
    except Unavailable:
        return of(stored)[name]


def last_changes() -> dict[str, SettingChange]:
    """The last change of each key that was ever changed."""
    newest = SettingChange.select(fn.MAX(SettingChange.pk)).group_by(SettingChange.key)
    return {row.key: row for row in SettingChange.select().where(SettingChange.pk.in_(newest))}


def set(name: str, value: Any, at: int | None = None, *, actor: str = SOMEBODY) -> Any:
    """Store `value` (text or a number) for the key and return it as stored. Raises InvalidInput, NotFound.

    at: the instant it counts as set, in milliseconds; None: now. actor: who does it, for the history.
    """
    key = _key(name)
    parsed = _parse(key, value)
    _store(key, json.dumps(parsed), actor, at)
    return parsed


def reset(name: str, *, actor: str = SOMEBODY) -> Any:
    """Go back to the default and return it. Raises NotFound."""
    key = _key(name)
    _store(key, None, actor)
    return key.default


def revert(name: str, *, actor: str = SOMEBODY) -> Any:
    """Take back the last change of the key and return its value. That is a change too. Raises NotFound, Refused."""
    key = _key(name)
    with models.db.transaction():
        last = SettingChange.select().where(SettingChange.key == key.name).order_by(SettingChange.pk.desc()).first()
        if last is None:
            raise Refused(f"{key.name} was never changed; there is nothing to take back.")
        _store(key, last.before, actor)
        return get(key.name)


def history(name: str | None = None, limit: int = 100) -> list[SettingChange]:
    """The changes of one key, or of all, the newest first. Raises NotFound."""
    changes = SettingChange.select().order_by(SettingChange.pk.desc()).limit(limit)
    return list(changes.where(SettingChange.key == _key(name).name) if name else changes)


def _store(key: Key, value: str | None, actor: str, at: int | None = None) -> None:
    """Write the value (JSON; None: the default) and, when it is another, who changed it and when."""
    now = models.now_ms() if at is None else at
    with models.db.transaction():
        before = Config.select(Config.value).where(Config.key == key.name).scalar()
        if value is None:
            Config.delete().where(Config.key == key.name).execute()
        else:
            Config.insert(key=key.name, value=value, updated_at=now).on_conflict_replace().execute()
        if value != before:
            SettingChange.insert(key=key.name, before=before, after=value, actor=actor, at=now).execute()
        wakeup.nudge()


def _key(name: str) -> Key:
    try:
        return KEYS[name.replace("-", "_")]
    except KeyError:
        raise NotFound(f"There is no setting {name[:64]!r}; the settings are {', '.join(KEYS)}.") from None


def _parse(key: Key, value: Any) -> Any:
    if isinstance(key.kind, tuple):
        if value not in key.kind:
            raise InvalidInput(f"{key.name} must be {' or '.join(key.kind)}.", key.name)
        return value
    number = durations.number(value, UNIT_S.get(key.unit))
    whole = "whole " if key.kind is int else ""
    if number is None or (key.kind is int and number != int(number)) or not key.low <= number <= key.high:
        raise InvalidInput(f"{key.name} must be a {whole}number from {key.low:g} to {key.high:.0f}.", key.name)
    return int(number) if number == int(number) else number
