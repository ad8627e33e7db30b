"""What the shell says about a command without running it: `sh -n`, with bounds on its time and memory."""

from __future__ import annotations

import subprocess
from functools import lru_cache

from workers.shell import SHELL

_PATIENCE_S = 1.0
# The limits are the shell's own (seconds of CPU, KiB), so that nothing of ours runs between fork and exec.
_READ = f"ulimit -c 0; ulimit -t 1; ulimit -v 524288; exec {SHELL} -n"
_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


@lru_cache(maxsize=64)
def problem(command: str) -> str | None:
    """Why the shell cannot read the command: "line 3: Syntax error: …". None when it can, or when it cannot tell."""
    try:
        done = subprocess.run(
            [SHELL, "-c", _READ],
            input=command.encode(),  # never as an argument: with -c some shells heed no -n
            capture_output=True,
            env=_ENV,
            cwd="/",
            timeout=_PATIENCE_S,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode <= 0:  # 0: it can; a signal: one of the limits
        return None
    return _sentence(done.stderr.decode(errors="replace"), has_lines="\n" in command.strip())


def _sentence(said: str, has_lines: bool) -> str:
    """The first line of what the shell says, without its name; dash says "3: …" and bash "line 3: …"."""
    first = next((line for line in said.splitlines() if line.strip()), "the shell cannot read it")
    words = first.removeprefix(f"{SHELL}: ").removeprefix("sh: ").strip()
    number, colon, rest = words.removeprefix("line ").partition(": ")
    if colon and number.isdigit():
        words = f"line {number}: {rest}" if has_lines else rest
    return words[:300]
