"""Servers that are ended after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.running import Gunicorn


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    """Start a server with these arguments."""
    started: list[Gunicorn] = []

    def start(*arguments: str, **named: str) -> Gunicorn:
        started.append(Gunicorn(tmp_path, *arguments, **named))
        return started[-1]

    yield start
    for server in started:
        server.end()
