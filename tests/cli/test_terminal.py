"""What a job printed can colour a terminal, and cannot steer it."""

from __future__ import annotations

import re

import pytest

from tests.cli.conftest import at_terminal

HOSTILE = r"printf '\033]0;title\007\033[2J\342\200\256 \033[31mred' | tee /dev/stderr; exit 3"
STEERING = re.compile(r"\x1b(?!\[[0-9;:]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def ran(queuectl):
    queuectl.ok("enqueue", "--id", "j", "--max-retries", "0", "--tag", "a\u202eb", HOSTILE)
    queuectl.ok("worker", "start")
    queuectl.wait_for_state("j", "dead")
    return queuectl


COMMANDS = ("show j", "show j --json", "logs j", "logs j -f", "wait j", "list", "list --csv", "dlq list", "dlq causes")
COMMANDS += ("dlq list --json", "diff j --against 1", "export -", "retry j")


def test_no_command_lets_a_job_steer_the_terminal(ran):
    for command in COMMANDS:
        _, said = at_terminal(ran, *command.split())
        assert not STEERING.search(said), (command, said)
        assert "Traceback" not in said


def test_colours_pass_and_end_with_the_text(ran):
    for words in (("logs", "j"), ("show", "j")):
        _, said = at_terminal(ran, *words)
        assert "\x1b[31mred" in said
        assert "␛]0;title␇␛[2J<U+202E>" in said
        assert said.rindex("\x1b[0m") > said.rindex("\x1b[31m")


def test_raw_and_a_pipe_get_every_byte(ran):
    every = "\x1b]0;title\x07\x1b[2J\u202e \x1b[31mred"
    assert at_terminal(ran, "logs", "j", "--raw", "--stream", "stdout") == (0, every)
    assert ran.ok("logs", "j", "--raw", "--stream", "stderr") == every
    assert ran.json("show", "j")["stdout"] == every
