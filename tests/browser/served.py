"""The panel as it is shipped: gunicorn on a free port, a database of its own, real workers when they are asked for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import models
import workers
from engine import jobs, queries
from tests.support import wait_until


class Site:
    """A running panel and the queue behind it."""

    def __init__(self, folder: Path):
        self.path = folder / "queue.db"
        self.log = folder / "gunicorn.log"
        models.connect(str(self.path))
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self.log.open("w") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "app:create_app()"],
                cwd=models.ROOT,
                env=os.environ | {"QUEUECTL_DB": str(self.path), "PORT": str(port)},
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._answers, timeout_s=60)
        except BaseException:  # the fixture that would end the server was never made
            self._end_server()
            raise

    def close(self) -> None:
        """End the workers, their supervisor and the server; nothing is left behind."""
        left = workers.wait_ended(workers.stop(), timeout_s=20)
        wait_until(lambda: not workers.supervisor_lives())
        self._end_server()
        assert left == []

    def _end_server(self) -> None:
        self.server.terminate()
        self.server.wait(timeout=20)
        models.disconnect()

    def add(self, command: str, **fields: Any) -> str:
        return jobs.enqueue({"command": command, **fields})

    def wait_for(self, job_id: str, state: str) -> None:
        wait_until(lambda: queries.find(job_id).state == state)

    def add_dead(self, *ids: str) -> None:
        """Jobs that are dead because their only run failed."""
        for job_id in ids:
            self.add("echo trouble >&2; exit 3", id=job_id, max_retries=0)
        started = workers.start(1)
        for job_id in ids:
            self.wait_for(job_id, "dead")
        workers.wait_ended(workers.drain(started[0]), timeout_s=20)

    def _answers(self) -> bool:
        assert self.server.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
