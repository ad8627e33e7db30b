"""Endings in words."""

from __future__ import annotations

import pytest

from engine.wording import exit_meaning


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        ("success", 0, "succeeded"),
        ("failed", 1, ""),
        ("failed", 126, "found, but not executable"),
        ("failed", 127, "command not found"),
        ("failed", 130, "killed by SIGINT, as by Ctrl-C"),
        ("failed", 137, "killed by SIGKILL, often because memory ran out"),
        ("failed", 143, "killed by SIGTERM, asked to end"),
        ("failed", 191, "killed by signal 63"),
        ("failed", 193, ""),
        ("failed", 255, ""),
        ("failed", -9, "killed by SIGKILL, often because memory ran out"),
        ("failed", -63, "killed by signal 63"),
        ("failed", None, "could not be started"),
        ("timeout", -15, "ended at its time limit"),
        ("lost", None, "its worker died; no retry spent"),
        ("cancelled", -15, "ended because the job was cancelled"),
        ("released", -15, "ended with its worker and given back; no retry spent"),
        ("running", None, "still running"),
    ],
)
def test_an_end_is_explained(outcome, code, said):
    assert exit_meaning(outcome, code) == said
