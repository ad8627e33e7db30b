"""The keys that the help names are those that act."""

from __future__ import annotations

import re

from tests.views.panel import add
from views.shortcuts import SHORTCUTS

BY_SCRIPT = {"j", "k", "x", "Enter", "Esc"}  # rows and what is open: static/keys.js, tests/browser/test_ease.py
TOGETHER = {"n", "g e"}  # two names of one control


def _keys_of(html: str) -> set[str]:
    controls = re.sub(r"<html[^>]*>", "", html)  # where it says whether keys act at all
    return {keys for found in re.findall(r'data-keys="([^"]*)"', controls) for keys in found.split(",")}


def test_every_key_of_the_help_is_that_of_a_control_and_the_other_way_round(panel):
    add("dead", id="job1")
    panel.post("/jobs/job1/retry")  # its undo is offered on the page that comes next
    found = _keys_of(panel.get("/jobs").text)
    told = {keys for _, group in SHORTCUTS for keys, _ in group}
    assert found | BY_SCRIPT == told
    assert found >= TOGETHER
    assert not found & BY_SCRIPT


def test_the_help_shows_all_of_them(panel):
    shown = panel.get("/shortcuts").text
    for _, group in SHORTCUTS:
        for keys, words in group:
            assert words in shown
            assert all(f"<kbd>{key}</kbd>" in shown for key in keys.split())
