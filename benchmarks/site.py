"""The panel as it is shipped, gunicorn and its settings, and a client that keeps its connection, cookie and token."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import models
from benchmarks.place import wait_until

KEPT_S = 3.0  # less than the panel keeps a connection that is not used


class Client:
    """One browser tab, without the browser."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookies: dict[str, str] = {}
        self.wait_s = 0  # how long the last answer asks to wait
        self.used_at = 0.0

    def get(self, path: str, piece: bool = False) -> tuple[int, str]:
        """Status and body of the page; `piece`: of what htmx would get."""
        return self._ask("GET", path, None, {"HX-Request": "true"} if piece else {})

    def post(self, path: str, token: str, **form: str) -> int:
        """Send a form; the status."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": token}
        return self._ask("POST", path, urlencode(form), headers)[0]

    def token(self, path: str = "/enqueue") -> str:
        """The token that this client's forms must carry."""
        found = re.search(r'"X-CSRFToken": "([^"]+)"', self.get(path)[1])
        assert found, "the page has no token"
        return found[1]

    def close(self) -> None:
        self.connection.close()

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, str]:
        if time.monotonic() - self.used_at > KEPT_S:
            self.connection.close()  # it opens itself again
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.connection.request(method, path, body, headers | ({"Cookie": cookie} if cookie else {}))
        answer = self.connection.getresponse()
        self.used_at = time.monotonic()
        self.wait_s = int(answer.getheader("Retry-After", "0"))
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        text = answer.read().decode()
        assert answer.status < 400, f"{path}: {answer.status}"
        return answer.status, text


@contextmanager
def panel(database: Path) -> Iterator[int]:
    """Serve the panel of this database; the port it listens on."""
    port = _free_port()
    with Path(f"{database}.panel.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "app:create_app()"],
            cwd=models.ROOT,
            env=os.environ | {"QUEUECTL_DB": str(database), "PORT": str(port)},
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(lambda: _answers(port))
            yield port
        finally:
            server.terminate()
            server.wait(timeout=30)


def _answers(port: int) -> bool:
    client = Client(port)
    try:
        return client.get("/healthz")[0] == 200
    except OSError:
        return False
    finally:
        client.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
