"""Endings in words."""

from __future__ import annotations

import pytest

from engine.wording import attempts, exit_meaning


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


@pytest.mark.parametrize(
    ("state", "failures", "last_error", "said"),
    [
        ("pending", 0, None, "0 of 4"),
        ("processing", 0, None, "1 of 4"),
        ("completed", 0, None, "1 of 4"),
        ("completed", 2, None, "3 of 4"),
        ("failed", 1, "exit code 1", "1 of 4"),
        ("dead", 4, "exit code 1", "4 of 4"),
        ("cancelled", 0, None, "0 of 4"),  # it waited
        ("cancelled", 0, "cancelled", "1 of 4"),  # it ran
        ("cancelled", 1, "exit code 1", "1 of 4"),  # it waited for its second attempt
    ],
)
def test_the_attempts_made_are_counted(state, failures, last_error, said):
    assert attempts(state, failures, 3, last_error) == said
