"""Servers that are ended after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.clients import Client
from tests.server.running import Gunicorn


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    """Start a server with these arguments."""
    started: list[Gunicorn] = []

    def start(*arguments: str, **named: Any) -> Gunicorn:
        started.append(Gunicorn(tmp_path, *arguments, **named))
        return started[-1]

    yield start
    for server in started:
        server.end()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """Connect to a port; the connections are closed after the test."""
    made: list[Client] = []

    def connect(port: int, sends: bytes = b"", deaf: bool = False) -> Client:
        made.append(Client(port, sends, deaf))
        return made[-1]

    yield connect
    for one in made:
        one.close()
