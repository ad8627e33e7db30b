"""Who brings a supervisor back: the library, the Procfile's command, the command line, the panel's form."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import models
import workers

_MOST_FOREGROUND = 2


class Panel:
    """A real gunicorn on the same database, which may be killed and started again."""

    def __init__(self, folder: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "panel.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "app:create_app()"],
                cwd=models.ROOT,
                env={**os.environ, "PORT": str(self.port), "GUNICORN_CMD_ARGS": "--workers 1 --threads 2"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> int:
        """Kill it with all its processes and start another; the pid of the dead one."""
        process = self.end(signal.SIGKILL)
        self.start()
        return process.pid

    def end(self, number: int = signal.SIGTERM) -> subprocess.Popen[bytes]:
        assert self.process is not None
        os.killpg(self.process.pid, number)
        self.process.wait(30)
        return self.process

    def start_worker(self) -> bool:
        """Send the form that starts a worker; False when the panel is not up (yet)."""
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        address = f"http://127.0.0.1:{self.port}/workers"
        with suppress(OSError):
            page = browser.open(address, timeout=15).read().decode()
            token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
            form = {"count": "1", "csrf_token": token.group(1) if token else ""}
            browser.open(f"{address}/start", urllib.parse.urlencode(form).encode(), timeout=15).close()
            return True
        return False


class Callers:
    """Starts supervisors in every way there is. Counts who called."""

    def __init__(self, folder: Path, count: int, panel: Panel | None):
        self.folder = folder
        self.count = count
        self.panel = panel
        self.foreground: list[subprocess.Popen[bytes]] = []
        self.calls: Counter[str] = Counter()
        self.ways: dict[str, Callable[[], bool]] = {
            "library": self._library,
            "procfile": self._procfile,
            "command line": self._command_line,
            "panel": self._panel,
        }

    def call(self, way: str) -> None:
        """Bring a supervisor back; by the library when this way is closed."""
        if not self.ways[way]():
            way = "library"
            self._library()
        self.calls[way] += 1

    def leave(self) -> None:
        """End the supervisors in the foreground as a process runner does."""
        for process in self.foreground:
            process.terminate()
        for process in self.foreground:
            process.wait(60)

    def _library(self) -> bool:
        workers.ensure_supervisor()
        return True

    def _procfile(self) -> bool:
        self.foreground = [process for process in self.foreground if process.poll() is None]
        if len(self.foreground) >= _MOST_FOREGROUND:
            return False
        self.foreground.append(self._run(["-m", "workers", "--count", str(self.count)]))
        return True

    def _command_line(self) -> bool:
        return self._run(["queuectl.py", "worker", "start", "--count", "1"]).wait(60) == 0

    def _panel(self) -> bool:
        return self.panel is not None and self.panel.start_worker()

    def _run(self, words: list[str]) -> Any:
        with open(self.folder / "callers.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, *words],
                cwd=models.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
