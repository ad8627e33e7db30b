"""A real gunicorn with the panel's own configuration, on a free port or where a test says."""

from __future__ import annotations

import os
import re
import resource
import secrets
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import models
from tests.support import wait_until


class Gunicorn:
    """A server that runs. app: what it serves, as gunicorn's command line names it. descriptors: how many it may have. environment: variables besides."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        app: str = "app:create_app()",
        descriptors: int | None = None,
        **environment: str,
    ):
        self.log = folder / f"gunicorn-{secrets.token_hex(4)}.log"
        given = {name: value for name, value in os.environ.items() if not name.startswith("GUNICORN")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *(arguments or ("--bind", "127.0.0.1:0")), app],
                cwd=models.ROOT,
                env=given | {"QUEUECTL_DB": str(folder / "queue.db"), "PORT": "1", **environment},
                stdout=log,
                stderr=log,
                preexec_fn=descriptors
                and partial(resource.setrlimit, resource.RLIMIT_NOFILE, (descriptors, descriptors)),
            )

    def said(self) -> str:
        return self.log.read_text()

    def listens_at(self) -> list[str]:
        """The addresses that it tells the person who started it, once it does."""
        return wait_until(lambda: re.findall(r"^QueueCTL panel: (.*)$", self.said(), re.MULTILINE), timeout_s=60)

    def port(self) -> int:
        return int(self.listens_at()[0].rpartition(":")[2])

    def end(self, how: int = signal.SIGTERM) -> Any:
        """End it if it runs; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(20)
