"""Every command of the command line, run in children of one process that has all code loaded: some in a second.

`python -m tests.faults.commands loaded|fresh` reads a request a line and answers each with a line, both JSON. fresh: the
children load the code themselves.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "queuectl.py"

# One line a command. J: jobs as they come, X: an export, B: a backup, OUT: a file that is not there yet.
# Those that need workers are tested with workers.
COMMANDS = """
enqueue true
enqueue --from j1 --id again
enqueue --check true
enqueue --file J
list
list --no-json
list --csv --limit 3
list --text echo --state dead
list --output printed
list --error exit*
list --view mine
show j1
show j0 --no-json
logs j1
logs j0 --follow
wait j1 --timeout 0
diff j0
retry j0
retry j0 j3 j6
retry --all --yes
unretry j2
run-now j50
cancel j50
cancel --all --yes
priority j50 --to 5
delete j1
delete --all --state dead --yes
undelete j55
trash
remove j55
operations
undo 1
dlq list
dlq list --no-json
dlq causes
dlq retry j0
dlq retry --all
worker list
worker list --all --no-json
worker stop
worker drain
worker scale 0
status
status --no-json
queues
queues --no-json
queue pause other
queue resume mail
queue limit mail 2
stats
stats --window 7d --no-json
view list
view save dead --state dead
view delete mine
config get
config get --no-json
config set backoff_base 4
config reset backoff_base
config history
config revert backoff_base
doctor
doctor --fix
doctor --no-json
backup OUT
restore B
vacuum
vacuum --full
prune --state completed --older-than 0s
export OUT
export -
import X
completion bash
"""


class Outcome(NamedTuple):
    """How a command ended: its exit status (negative: a signal), what it printed."""

    code: int
    out: str
    err: str

    @property
    def is_a_sentence(self) -> bool:
        """Whether a person was told in words whatever went wrong, with a status that scripts know."""
        words = ("Traceback", "Exception ignored", "Fatal Python", "QueueCTL failed")
        return self.code in (0, 1, 2, 130, -signal.SIGINT) and not any(word in self.err for word in words)


class Commands:
    """Runs commands on request. `loaded`: with all code in memory already."""

    def __init__(self, *, loaded: bool = True):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.commands", "loaded" if loaded else "fresh"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, argv: list[str], **conditions: Any) -> Outcome:
        """interrupt_s: a Ctrl-C after so many seconds. interrupted_by_commit: one right after each commit.

        descriptors: how many it may have open.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"argv": argv, **conditions}) + "\n")
        self.process.stdin.flush()
        return Outcome(*json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


def words(line: str, folder: Path) -> list[str]:
    """The arguments of a line of COMMANDS, about the database in this folder."""
    named = {"J": "jobs.jsonl", "X": "export.jsonl", "B": "backup.db", "OUT": "out"}
    found = [str(folder / named[word]) if word in named else word for word in line.split()]
    return ["--db", str(folder / "queue.db"), *found]


# --- the process that runs them


def _serve(loaded: bool) -> None:
    code = compile(PROGRAM.read_text(), PROGRAM, "exec")
    if loaded:
        _load_all()
    for line in sys.stdin:
        print(json.dumps(_outcome(code, json.loads(line))), flush=True)


def _load_all() -> None:
    import rich.box
    import rich.console
    import rich.table  # noqa: F401

    for folder in ("cli", "engine", "workers"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if not file.stem.startswith("__"):
                __import__(".".join(file.relative_to(ROOT).with_suffix("").parts))


def _outcome(code: Any, request: dict[str, Any]) -> tuple[int, str, str]:
    out, err, ready = _file(), _file(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready[0])
        _become(code, request, out, err, ready[1])
    os.close(ready[1])
    os.read(ready[0], 1)
    os.close(ready[0])
    if (delay_s := request.get("interrupt_s")) is not None:
        time.sleep(delay_s)
        os.kill(pid, signal.SIGINT)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), _said(out), _said(err)


def _file() -> int:
    return os.memfd_create("said")


def _said(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(fd, "rb") as file:
        return file.read().decode(errors="replace")


def _become(code: Any, request: dict[str, Any], out: int, err: int, ready: int) -> NoReturn:
    """In the child: be `python queuectl.py ...` from its first line on."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, fd in enumerate((nothing, out, err)):
        os.dup2(fd, number)
    if limit := request.get("descriptors"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as the first line does
    if request.get("interrupted_by_commit"):
        _interrupt_by_commit()
    sys.argv = [str(PROGRAM), *request["argv"]]
    sys.stdout = sys.__stdout__ = TextIOWrapper(os.fdopen(1, "wb"), "utf-8")  # type: ignore[misc]
    sys.stderr = TextIOWrapper(os.fdopen(2, "wb", 0), "utf-8", "backslashreplace", write_through=True)
    os.write(ready, b".")
    for fd in (nothing, out, err, ready):
        os.close(fd)
    status: Any = 0
    try:
        exec(code, {"__name__": "__main__", "__file__": str(PROGRAM)})
    except SystemExit as end:
        status = end.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status or 0)


def _interrupt_by_commit() -> None:
    """From here on a Ctrl-C comes at the end of each commit: what is stored then is not told yet."""
    from engine.database import WRITES, Sqlite

    commit, execute = Sqlite.commit, Sqlite.execute

    def interrupted_commit(self: Sqlite) -> None:
        commit(self)
        os.kill(os.getpid(), signal.SIGINT)

    def interrupted_execute(self: Sqlite, query: Any, **options: Any) -> Any:
        found = execute(self, query, **options)
        if isinstance(query, WRITES) and not self.in_transaction():
            os.kill(os.getpid(), signal.SIGINT)
        return found

    Sqlite.commit = interrupted_commit  # type: ignore[method-assign]
    Sqlite.execute = interrupted_execute  # type: ignore[method-assign]


if __name__ == "__main__":
    _serve(sys.argv[1] == "loaded")
