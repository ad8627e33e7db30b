"""Whether the database and what it lies on are as they should be. Looks only; each finding says what to do."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import models
from engine import clock, ownership, space, wording
from engine.driver import DAMAGED
from engine.errors import QueueError
from models import db

OK, WARNING, PROBLEM = "ok", "warning", "problem"

_MEGABYTE = 1024 * 1024
SPACE = (64 * _MEGABYTE, 512 * _MEGABYTE)  # free: less is a problem, a warning
_LONG_WAL = 256 * _MEGABYTE  # the supervisor shortens it beyond 64 MiB
_NAMED = 5  # faults in a sentence
CLOCK_MS = 2000  # clocks are adjusted by less
_NETWORK = re.compile(r"nfs\d?|cifs|smb\w*|9p|vboxsf|ceph|afs|lustre|glusterfs|fuse\.(sshfs|glusterfs|s3fs|rclone)")
_WAL_RESET = ((3, 7, 0), (3, 51, 2))  # SQLite versions that can damage a database, first and last
_WAL_RESET_MENDED = (
    (3, 44, 6),
    (3, 50, 7),
)  # and the releases between that cannot, with those of the same line after them
_PYTHON = (3, 11)
_MISCOUNTED = """
SELECT count(*) FROM (
  SELECT queue, state FROM (
    SELECT queue, state, n, 0 AS found FROM counter UNION ALL SELECT queue, state, 0, count(*) FROM job GROUP BY queue, state
  ) AS both GROUP BY queue, state HAVING sum(n) <> sum(found)
) AS wrong
"""


class Finding(NamedTuple):
    """What one check found: ok, warning or problem; what it is, and what to do about it ("" when it is ok)."""

    check: str
    verdict: str
    says: str
    advice: str = ""


def of_place(path: str) -> list[Finding]:
    """The programs, the disk and the files. Needs no connection."""
    folder = os.path.dirname(path)
    return [
        sqlite_version(sqlite3.sqlite_version_info),
        python_version(sys.version_info[:3]),
        looked_at("file system", lambda: file_system(folder, _mounts())),
        looked_at("disk space", lambda: disk_space(folder)),
        looked_at("permissions", lambda: permissions(path)),
        looked_at("write-ahead log", lambda: write_ahead_log(path)),
    ]


def of_database() -> list[Finding]:
    """What is in the open database. Reads all of it."""
    return [
        looked_at("integrity", integrity),
        looked_at("references", references),
        looked_at("schema", schema),
        looked_at("counters", counters),
        looked_at("clock", system_clock),
    ]


def looked_at(check: str, look: Callable[[], Finding]) -> Finding:
    """The finding, or the reason there is none as a problem: what a damaged row holds may break any check."""
    try:
        return look()
    except Exception as error:
        says = str(error) if isinstance(error, QueueError | OSError) else f"it cannot be looked at ({error!r})"
        return Finding(check, PROBLEM, says, "Look at the other findings first; stop the workers and run it again.")


# --- the place


def sqlite_version(version: tuple[int, ...]) -> Finding:
    """Whether this SQLite is old enough for the WAL-reset bug (sqlite.org, 2026)."""
    name = ".".join(map(str, version))
    first, last = _WAL_RESET
    mended = any(version[:2] == line[:2] and version >= line for line in _WAL_RESET_MENDED)
    if version < first or version > last or mended:
        return Finding("SQLite", OK, name)
    return Finding(
        "SQLite",
        WARNING,
        f"{name} has the WAL-reset bug: very rarely, a checkpoint at the instant of a commit damages the database",
        "Use a Python built with SQLite 3.51.3 or newer (or 3.50.7, 3.44.6), and keep backups.",
    )


def python_version(version: tuple[int, ...]) -> Finding:
    """Whether this Python is one that we run on."""
    name = ".".join(map(str, version))
    if version[:2] < _PYTHON:
        return Finding("Python", PROBLEM, f"{name} is too old", "Use Python 3.11 or newer.")
    return Finding("Python", OK, name)


def file_system(folder: str, mounts: str) -> Finding:
    """Whether the folder is on a local disk. mounts: /proc/self/mountinfo, "" where there is none."""
    type = _type_of(folder, mounts)
    if _NETWORK.fullmatch(type):
        return Finding(
            "file system",
            PROBLEM,
            f"{folder} is on {type}, whose locks and shared memory do not reach other machines",
            "Move the database to a local disk.",
        )
    if type.startswith(("fuse", "virtiofs")):
        return Finding("file system", WARNING, f"{folder} is on {type}", "Make sure that it is a local disk.")
    return Finding("file system", OK, type or "not known on this system")


def _mounts() -> str:
    with suppress(FileNotFoundError), open("/proc/self/mountinfo") as file:
        return file.read()
    return ""


def _type_of(folder: str, mounts: str) -> str:
    best, type = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        if len(point) >= len(best) and os.path.join(folder, "").startswith(os.path.join(point, "")):
            best, type = point, after.split()[0]
    return type


def disk_space(folder: str) -> Finding:
    """Whether enough is free to work on."""
    free = space.free(folder)
    says = f"{free // _MEGABYTE:,} MiB free in {folder}"
    few, some = SPACE
    if free >= some:
        return Finding("disk space", OK, says)
    advice = "Make room; 'queuectl prune' and 'queuectl vacuum' give some back."
    return Finding("disk space", PROBLEM if free < few else WARNING, says, advice)


def permissions(path: str) -> Finding:
    """Whether all belongs to one user, we may write, and others may not read."""
    if faults := ownership.faults(path):
        says = ", ".join(f"{fault.path} {fault.says}" for fault in faults[:_NAMED])
        return Finding("permissions", PROBLEM, says, f"Type: {' && '.join(fault.command for fault in faults[:_NAMED])}")
    folder = os.path.dirname(path)
    for needed in (folder, path):
        if os.path.exists(needed) and not os.access(needed, os.W_OK):
            return Finding("permissions", PROBLEM, f"{needed} may not be written", "Give it to the user who runs this.")
    names = [name for name in (path, f"{path}-wal", f"{path}-shm", f"{path}.run") if os.path.exists(name)]
    open_to_others = [name for name in names if os.stat(name).st_mode & 0o077]
    if open_to_others:
        return Finding(
            "permissions",
            WARNING,
            f"other users may use {', '.join(open_to_others)}; commands and output can hold secrets",
            f"chmod go= {' '.join(open_to_others)}",
        )
    return Finding("permissions", OK, "the owner's alone")


def write_ahead_log(path: str) -> Finding:
    """Whether it is emptied as it should be."""
    size = 0
    with suppress(FileNotFoundError):
        size = os.stat(f"{path}-wal").st_size
    says = f"{size / _MEGABYTE:,.1f} MiB"
    if size <= _LONG_WAL:
        return Finding("write-ahead log", OK, says)
    advice = "A reader keeps it from being emptied; end long reads (exports, backups, other programs)."
    return Finding("write-ahead log", WARNING, says, advice)


# --- the database


def integrity() -> Finding:
    """Whether the file is sound from its first page to its last."""
    fault = db.execute_sql("PRAGMA quick_check(1)").fetchone()[0]
    if fault == "ok":
        return Finding("integrity", OK, "sound")
    advice = "Stop everything and 'queuectl restore' the newest backup."
    return Finding("integrity", PROBLEM, f"damaged: {' '.join(fault.split())}", advice)


def damage() -> str | None:
    """The sentence for a database that is damaged, None when it is sound or none is open. Reads all of it.

    For errors that no code expects: a row of a damaged page may hold anything.
    """
    if db.obj is None:
        return None
    try:
        return DAMAGED.format(path=db.database) if integrity().verdict == PROBLEM else None
    except QueueError as error:
        return str(error)


def references() -> Finding:
    """Whether every run belongs to a job."""
    lost = len(db.execute_sql("PRAGMA foreign_key_check").fetchmany(1000))
    if not lost:
        return Finding("references", OK, "every run has its job")
    says = f"{lost}{' or more' if lost == 1000 else ''} runs have no job"
    return Finding("references", PROBLEM, says, "'queuectl export' and 'import' into a new database leave them behind.")


def schema() -> Finding:
    """Whether the tables are those of this program, in WAL mode."""
    version = db.execute_sql("PRAGMA user_version").fetchone()[0]
    mode = db.execute_sql("PRAGMA journal_mode").fetchone()[0]
    if version != models.SCHEMA_VERSION:
        return Finding("schema", PROBLEM, f"version {version}, not {models.SCHEMA_VERSION}", "Upgrade QueueCTL.")
    if mode != "wal":
        says = f"version {version}, but journal mode {mode}: readers and workers stand in each other's way"
        return Finding("schema", WARNING, says, "'queuectl doctor --fix' sets it to WAL.")
    return Finding("schema", OK, f"version {version}")


def counters() -> Finding:
    """Whether the counts that pages show are those of the jobs."""
    wrong = db.execute_sql(_MISCOUNTED).fetchone()[0]
    if not wrong:
        return Finding("counters", OK, "as counted")
    return Finding("counters", PROBLEM, f"{wrong} differ from the jobs", "'queuectl doctor --fix' counts anew.")


def system_clock() -> Finding:
    """Whether the system's clock is followed, and time has gone forward since the last change of a job."""
    doubt = clock.doubt()
    if doubt is not None:
        left = wording.span(doubt.until - models.now_ms())
        says = f"it went forward by {wording.span(doubt.ahead_ms)}, and is followed in {left} if it stays so"
        advice = "If it is right, as after a pause of a virtual machine: 'queuectl doctor --follow-clock'. Else set it, by NTP."
        return Finding("clock", WARNING, says, advice)
    newest = db.execute_sql("SELECT max(updated_at) FROM job").fetchone()[0] or 0
    ahead_ms = newest - models.now_ms()
    if ahead_ms <= CLOCK_MS:
        return Finding("clock", OK, "after every change of a job")
    says = f"it shows {ahead_ms / 1000:,.0f} s before the last change of a job; it was set back"
    return Finding("clock", WARNING, says, "Set the clock, by NTP; retries wait longer by that much.")


# --- mending


def mend() -> list[str]:
    """Put right what can be put right without a loss: the counters and the journal mode. What was done, in words."""
    done = []
    if counters().verdict == PROBLEM:
        with db.transaction():
            db.execute_sql("UPDATE counter SET n = 0")
            db.execute_sql(
                "INSERT INTO counter (queue, state, shard, n) SELECT queue, state, 0, count(*) FROM job WHERE true "
                "GROUP BY queue, state ON CONFLICT (queue, state, shard) DO UPDATE SET n = excluded.n"
            )
        done.append("Counted the jobs anew.")
    if db.execute_sql("PRAGMA journal_mode").fetchone()[0] != "wal":
        db.execute_sql("PRAGMA journal_mode = WAL")
        done.append("Set the journal mode to WAL.")
    return done
