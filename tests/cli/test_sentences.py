"""What is wrong is said in a sentence that names it, whatever was given and wherever the command runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from queuectl import cli
from tests.cli.conftest import ROOT
from tests.faults.commands import Commands
from tests.support import wait_until


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    runner = Commands()
    yield runner
    runner.close()


# --- numbers

ARGUMENTS = {
    "wait": ["j1"],
    "logs": ["j1"],
    "diff": ["j1"],
    "priority": ["j1"],
    "enqueue": ["true"],
    "worker scale": [],
    "undo": [],
}
NUMBERS = ("9" * 20, "9" * 5000, "1e999", "-1", "nan", "")


def _numeric(group: click.Group, before: str = "") -> Iterator[tuple[str, str]]:
    """Every option and argument that takes a number: the command and the option, "" for an argument."""
    for name in list(group.commands):
        command = group.get_command(click.Context(group), name)
        assert command
        if isinstance(command, click.Group):
            yield from _numeric(command, f"{before}{name} ")
        for parameter in command.params:
            if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
                yield f"{before}{name}", parameter.opts[0] if isinstance(parameter, click.Option) else ""


@pytest.mark.parametrize(("name", "option"), sorted(_numeric(cli)))
def test_a_number_of_any_size_is_taken_or_refused_in_a_sentence(commands, tmp_path, name, option):
    database = ["--db", str(tmp_path / "queue.db")]
    commands.run([*database, "enqueue", "--id", "j1", "true"])
    for number in NUMBERS:
        given = [f"{option}={number}"] if option else ["--", number]
        if name == "worker start" and number.isdigit():
            given.append("--foreground")  # were it taken it would be seen
        outcome = commands.run([*database, *name.split(), *ARGUMENTS.get(name, []), *given])
        assert outcome.is_a_sentence, (number, outcome)
        assert outcome.code in (0, 1, 2)


def test_a_limit_beyond_all_numbers_is_no_limit(commands, tmp_path):
    database = ["--db", str(tmp_path / "queue.db")]
    commands.run([*database, "enqueue", "--id", "j1", "true"])
    for form in ("--json", "--no-json", "--csv"):
        outcome = commands.run([*database, "list", "--limit", "9" * 20, form])
        assert (outcome.code, outcome.err) == (0, "")
        assert "j1" in outcome.out


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5000, "1e999", "-1", "nan"])
def test_a_setting_of_any_size_is_refused_in_a_sentence(commands, tmp_path, number):
    from engine.config import KEYS

    for key in KEYS:
        outcome = commands.run(["--db", str(tmp_path / "queue.db"), "config", "set", key, number])
        assert outcome.is_a_sentence, (key, outcome)
        assert (outcome.code, outcome.out) == (2, ""), key


# --- where it runs


@pytest.mark.parametrize("words", [["list"], ["enqueue", "true"], ["doctor"], ["worker", "start"], ["restore", "x"]])
def test_an_empty_name_is_no_other_database(queuectl, words):
    for given, env in ((["--db", ""], queuectl.env), ([], queuectl.env | {"QUEUECTL_DB": ""})):
        done = queuectl.run(*given, *words, env=env)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "The name of the database is empty; correct --db or QUEUECTL_DB, or leave it out.\n"


def test_a_folder_that_is_gone_is_named_as_such(queuectl, tmp_path):
    gone = tmp_path / "gone"
    line = f"mkdir '{gone}'; cd '{gone}'; rmdir '{gone}'; '{sys.executable}' '{ROOT}/queuectl.py' --db here.db list"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=queuectl.env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "The folder this command was started in no longer exists; change to another and try again.\n"
    )


def test_what_cannot_be_kept_for_a_while_is_not_taken_for_the_output(queuectl, tmp_path):
    export = queuectl.ok("export", "-").encode()
    env = queuectl.env | {"TMPDIR": str(tmp_path / "none")}
    done = queuectl.run("import", "-", stdin=export, env=env)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot use {tmp_path / 'none'}")
    read_only = queuectl.run("import", "-", stdin=export)  # beside the database
    assert read_only.returncode == 0


def test_what_the_output_does_not_take_is_said_of_the_output(queuectl):
    queuectl.ok("enqueue", "true")
    done = subprocess.run(
        f"'{sys.executable}' '{ROOT}/queuectl.py' status > /dev/full",
        shell=True,
        capture_output=True,
        env=queuectl.env,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        1,
        f"Cannot use the standard output: {os.strerror(28)}.\n",
    )


# --- what became of it


@pytest.mark.parametrize("words", [["wait", "w"], ["logs", "w", "--follow"]])
def test_a_job_that_is_deleted_meanwhile_is_said_to_be(queuectl, words):
    queuectl.ok("enqueue", "--id", "w", "--run-at", "+1h", "true")
    with queuectl.start(*words) as waiting:
        wait_until(lambda: "queue.db" in _open_files(waiting.pid))
        queuectl.ok("delete", "w")
        out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (1, "")
    assert err in ("Job w was deleted meanwhile.\n", "There is no job 'w'.\n")  # the second: it had not looked yet


def _open_files(pid: int) -> set[str]:
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.add(os.path.basename(os.readlink(f"/proc/{pid}/fd/{fd}")))
        except FileNotFoundError:
            continue
    return found


def test_pausing_a_queue_that_holds_no_job_says_so(queuectl):
    done = queuectl.run("queue", "pause", "mial")
    assert (done.returncode, done.stdout) == (0, "The queue mial is paused.\n")
    assert done.stderr == "No job is in a queue mial; 'queuectl queues' shows the names.\n"
    queuectl.ok("enqueue", "--queue", "mail", "true")
    assert queuectl.run("queue", "pause", "mail").stderr == ""
