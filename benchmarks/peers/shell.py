"""What a job of the others does: run a command by the shell, and keep what it prints."""

from __future__ import annotations

import os
import subprocess

FOLDER = os.environ.get("PEER_FOLDER", ".")


def run(command: str) -> str:
    """What the command printed. Raises CalledProcessError when it failed."""
    done = subprocess.run(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return done.stdout.decode(errors="replace")
