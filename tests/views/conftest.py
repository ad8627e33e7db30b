"""A panel on a database of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

import models
from app import create_app
from tests.views.panel import Panel


@pytest.fixture
def app(tmp_path: Path):
    """The panel as gunicorn runs it."""
    return create_app(str(tmp_path / "queue.db"))


@pytest.fixture
def panel(app, tmp_path: Path):
    yield Panel(app.test_client(), tmp_path / "queue.db")
    models.disconnect()
