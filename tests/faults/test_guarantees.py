"""docs/guarantees.md names tests; each must exist."""

from __future__ import annotations

import re
from pathlib import Path

import models

ROOT = Path(models.ROOT)


def test_every_test_that_the_guarantees_name_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "guarantees.md").read_text())
    assert len(named) > 30
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_every_promise_names_a_test():
    promises = (ROOT / "docs" / "guarantees.md").read_text().partition("## Jobs")[2].partition("## Limits")[0]
    paragraphs = [text for text in promises.split("\n\n") if text.startswith("**")]
    assert [text for text in paragraphs if "- `tests/" not in text] == []
