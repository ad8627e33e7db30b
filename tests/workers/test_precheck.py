"""What is said about a job before it is stored, without running anything of it."""

from __future__ import annotations

import time

import pytest

import models
from engine import jobs, queues
from workers import precheck, syntax

NOW = 1_800_000_000_000


@pytest.fixture(autouse=True)
def queue(tmp_path):
    models.connect(str(tmp_path / "queue.db"))
    yield
    models.disconnect()


def told(command: str = "true", **fields) -> list[str]:
    return [f"{one.field}: {one.sentence}" for one in precheck.look({"command": command, **fields}, NOW)]


@pytest.mark.parametrize(
    "command",
    [
        "echo hi",
        "A=1 B=x/y sh -c 'exit 1'",
        "[ -e / ] && echo yes",
        "if true; then echo a; fi",
        "f() { :; }; f",
        "$PROGRAM --flag",
        '"quoted program"',
        "(cd / && ls)",
        "PATH=/opt/bin here_it_is",
        "./relative.sh",
        "cat <<E\nhello\nE",
        "for i in 1 2; do echo $i; done",
        "! false",
        "# only a remark",
    ],
)
def test_nothing_is_said_where_nothing_is_wrong_or_known(command):
    assert told(command) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo 'open", "The shell cannot read it: "),
        ("if true", "The shell cannot read it: "),
        ("true\n\necho )", "The shell cannot read it: line 3: "),
        ("no_such_program --flag", "There is no program no_such_program here"),
        ("A=1 no_such_program; true", "There is no program no_such_program here"),
        ("/no/such/program", "There is no program /no/such/program here"),
    ],
)
def test_what_will_go_wrong_is_said(command, said):
    assert [sentence for sentence in told(command) if sentence.startswith(f"command: {said}")]


def test_a_command_is_read_and_never_run(tmp_path):
    trace = tmp_path / "trace"
    for command in (
        f"touch {trace}",
        f"$(touch {trace})",
        f"`touch {trace}`",
        f"exec touch {trace}",
        f"set +n; touch {trace}",
    ):
        assert syntax.problem(command) is None
        assert syntax.problem(f"{command}\n'") is not None
    assert not trace.exists()


@pytest.mark.parametrize("command", ["(" * 50_000, "$(" * 30_000, "`" * 9999, "if true; then " * 7000, "x" * 100_000])
def test_a_command_that_wears_the_shell_out_is_given_up_soon(command):
    begin = time.monotonic()
    syntax.problem(command)
    assert time.monotonic() - begin < 5


def test_folder_timeout_instant_queue_and_id_are_looked_at(tmp_path):
    assert told(cwd="/no/such/folder")[0].startswith("cwd: There is no such folder here")
    assert told(cwd=str(tmp_path)) == []
    assert told(timeout_sec=0.25) == ["timeout_sec: Only 250 ms: hardly a command ends within that."]
    assert told(timeout_sec=0) == []
    assert told(run_at="2027-10-31 02:30 Europe/Berlin") == [
        "run_at: The clocks show that time twice that day; the first is meant, at 00:30 UTC."
    ]
    assert told(run_at="2027-10-31 03:30 Europe/Berlin") == []
    assert told(run_at="2020-01-01T00:00:00Z") == ["run_at: That has passed, so it is due at once."]
    queues.pause("mail", actor="me")
    assert told(queue="mail") == ["queue: The queue mail is paused; the job waits until it is resumed."]
    jobs.enqueue({"id": "a", "command": "true"})
    assert told(id="a") == ["id: There is a job a already; choose another id, or leave it out."]


def test_a_program_in_the_jobs_folder_is_found(tmp_path):
    program = tmp_path / "run.sh"
    assert "in that folder" in told("./run.sh", cwd=str(tmp_path))[0]
    program.write_text("")
    program.chmod(0o755)
    assert told("./run.sh", cwd=str(tmp_path)) == []


def test_of_many_the_unreadable_ones_are_named():
    entries = [("line 1", {"command": "true"}), ("line 2", {"command": "echo '"})]
    found, read = precheck.unreadable(entries)
    assert ([mistake.place for mistake in found], read) == (["line 2"], 2)


def test_of_very_many_it_is_known_how_many_were_read(monkeypatch):
    monkeypatch.setattr(precheck, "READ_S", -1)
    assert precheck.unreadable([("line 1", {"command": "true"})]) == ([], 0)


def test_the_attempts_are_those_of_the_settings():
    assert len(precheck.attempts({"command": "true"}, NOW).attempts) == 4
    found = precheck.attempts({"command": "true", "max_retries": 1, "run_at": "+10m"}, NOW)
    assert [step.at - NOW for step in found.attempts] == [600_000, 602_000]
