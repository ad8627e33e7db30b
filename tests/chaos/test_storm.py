"""A short storm of every kind of kill. The seeds are fixed; `make chaos` takes a new one and goes on for longer."""

from __future__ import annotations

import subprocess
import sys

import pytest

import models


@pytest.mark.parametrize(("seed", "extra"), [(11, []), (12, ["--panel"])], ids=["workers", "workers and panel"])
def test_no_job_is_lost_and_none_runs_twice_at_once_whatever_is_killed(seed, extra):
    command = [sys.executable, "-m", "tests.chaos", "--jobs", "160", "--kills", "32", "--seed", str(seed), *extra]
    storm = subprocess.run(command, cwd=models.ROOT, capture_output=True, text=True, timeout=110)
    assert storm.returncode == 0, storm.stdout + storm.stderr
