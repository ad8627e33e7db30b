"""Jobs that leave evidence of their own: a ledger they append to, and a lock that all their processes hold.

Every job takes a lock on descriptor 9, which its children inherit whatever they do to their session, group or
environment. A run that does not get the lock while a process of an earlier run lives says so in the ledger: the
kernel, not a clock, is the witness.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

FIRST_FAILURE = 7  # the exit status of a job that fails the first time on purpose

_BEGIN = """\
job=$QUEUECTL_JOB_ID run=${QUEUECTL_RUN##*-}
exec 9>>locks/$job
flock -n 9 || echo "overlap $job $run" >>ledger
echo "begin $job $run $$" >>ledger
end() { echo "end $job $run" >>ledger; }
"""

# Closes every descriptor but the lock; then nothing but its environment says which run it belongs to.
_CLOSED = (
    'bash -c \'for f in /proc/self/fd/*; do n=${f##*/}; case $n in 9|255) ;; *) eval "exec $n>&-";; esac; done; '
    "exec sleep 300'"
)

BODIES = {
    "plain": ":",
    "pipeline": "seq 400 | sort -rn | head -n 5",
    "tree": "(sleep 0.03; (sleep 0.03)) & (sleep 0.04) & wait",
    "sleep": "sleep 0.1",
    "background": "setsid sleep 300 >/dev/null 2>&1 & sleep 0.02",
    "daemon": f"(setsid {_CLOSED} &); sleep 0.02",
    "nameless": "(setsid env -i sleep 300 >/dev/null 2>&1 &); sleep 0.02",
    "late": "sleep 300 & sleep 0.02",  # keeps the output open: the worker waits a second for it
    "chatty": "seq 3000; head -c 3000 /dev/urandom >&2",
    "deaf": "trap '' TERM; sleep 0.2",
    "flaky": f"[ -e failed/$job ] || {{ : >failed/$job; exit {FIRST_FAILURE}; }}",
}
_WEIGHTS = {"plain": 12, "sleep": 4, "pipeline": 4, "tree": 4, "background": 3, "late": 0.3, "deaf": 1}


def prepare(folder: Path) -> None:
    """Make the files that the jobs of this folder write to."""
    for name in ("locks", "failed"):
        (folder / name).mkdir()
    (folder / "ledger").touch()
    (folder / "begin").write_text(_BEGIN)


def command(folder: Path, body: str) -> str:
    """A shell command that does `body` between its two lines in the ledger."""
    return f"cd {shlex.quote(str(folder))}; . ./begin; {body}; end"


def kinds(random: Random) -> Iterator[str]:
    """Kinds of jobs without end."""
    names = list(BODIES)
    weights = [_WEIGHTS.get(name, 2) for name in names]
    while True:
        yield from random.choices(names, weights, k=100)


class Line(NamedTuple):
    """One line of the ledger; pid of the shell in a line that begins."""

    word: str  # begin, end, overlap
    job: str
    run: int
    pid: int | None


class Ledger:
    """Reads what the jobs have written, each line once."""

    def __init__(self, folder: Path):
        self.path = folder / "ledger"
        self.offset = 0

    def news(self) -> list[Line]:
        """The lines written since the last call."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self.offset += len(whole) + len(newline)
        return [_parse(line) for line in whole.decode().splitlines()]


def _parse(line: str) -> Line:
    word, job, run, *pid = line.split()
    return Line(word, job, int(run), int(pid[0]) if pid else None)


def running(before: dict[int, tuple[str, int]], news: list[Line]) -> dict[int, tuple[str, int]]:
    """The job and run of each shell, by pid, that has begun, has not said that it ended, and lives."""
    now = dict(before)
    for line in news:
        if line.word == "begin" and line.pid is not None:
            now[line.pid] = (line.job, line.run)
        elif line.word == "end":
            now = {pid: key for pid, key in now.items() if key != (line.job, line.run)}
    return {pid: key for pid, key in now.items() if os.path.exists(f"/proc/{pid}")}
