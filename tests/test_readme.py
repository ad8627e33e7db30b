"""The README cannot rot: its commands are run, and nothing that exists is missing from it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import queuectl
from engine import spec
from engine.config import KEYS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def _commands(group: click.Group, path: str) -> list[str]:
    found = []
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        inner = f"{path} {name}"
        found += _commands(command, inner) if isinstance(command, click.Group) else [inner]
    return found


@pytest.mark.parametrize("command", _commands(queuectl.cli, "queuectl"))
def test_every_command_is_in_the_readme(command):
    assert f"`{command}" in README


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.name)
def test_every_setting_is_in_the_readme_with_its_default(key):
    assert f"| `{key.name}` | {key.default} |" in README


@pytest.mark.parametrize("field", spec.FIELDS)
def test_every_field_of_a_job_is_in_the_readme(field):
    assert f"| `{field}` |" in README


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)[^)]*\)", README))
def test_every_link_leads_somewhere(target):
    assert (ROOT / target).exists()


def test_the_tour_runs_as_it_is_written(tmp_path):
    tour = re.search(r"```console\n(.*?)```", README, re.S)
    lines = [line.removeprefix("$ ") for line in tour[1].splitlines()]
    env = os.environ | {"QUEUECTL_DB": str(tmp_path / "queue.db")}
    try:
        statuses = {line: _run(line, env) for line in lines}
    finally:
        _run("queuectl worker stop --now", env)
    assert {line: status for line, status in statuses.items() if status} == {"queuectl wait broken": 2}


def _run(line: str, env: dict[str, str]) -> int:
    words = shlex.split(line)
    assert words.pop(0) == "queuectl"
    return subprocess.run([sys.executable, ROOT / "queuectl.py", *words], env=env, timeout=60).returncode
