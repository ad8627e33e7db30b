"""Jobs as people have them: a JSON array, standard input, names of any bytes; and commands that only read."""

from __future__ import annotations

import os

import pytest

from cli import intake
from engine.errors import InvalidInput
from queuectl import main
from tests.cli.conftest import at_terminal


@pytest.mark.parametrize(
    "text", ["[ -f /x ] && echo y", '[ "$x" = y ]', "[ {a,b} ]", "[abc] x", "echo '[{}]'", "[ ] && true", "[[ a ]]"]
)
def test_a_command_that_begins_with_a_bracket_is_a_command(text):
    assert intake.entries((text,)) == [("", {"command": text})]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[{"command": "a"}, 3]', "job 2: must be a JSON object. Nothing was stored."),
        ('["echo hi"]', "job 1: must be a JSON object"),
        ('[{"command": }]', "unexpected '}' at line 1, column 14"),
        ("[]", "There is no job in the array"),
    ],
)
def test_an_array_is_refused_as_a_whole_with_the_place_of_the_fault(text, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        intake.entries((text,))


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.txt", b"%d '\\\xff", b"-\xe91", b"a\xe9\n\n", "grün".encode(), b'\x80\x0b$(id)`id`"*'],
)
def test_a_program_gets_arguments_of_any_bytes(name, tmp_path):
    [(_, job)] = intake.entries(("printf", "<%s>", os.fsdecode(name)))
    out = tmp_path / "out"
    assert os.system(f"exec >{out}; {job['command']}") == 0
    assert out.read_bytes() == b"<" + name + b">"
    job["command"].encode()


def test_an_array_as_an_argument_is_stored_whole_or_not_at_all(queuectl):
    assert queuectl.ok("enqueue", '[{"id": "a", "command": "true"}, {"id": "b", "command": "true"}]', "--tag", "t") == (
        "Enqueued a\nEnqueued b\n"
    )
    for second in ('{"command": ""}', '{"id": "a", "command": "true"}'):
        done = queuectl.run("enqueue", f'[{{"id": "c", "command": "true"}}, {second}]')
        assert done.returncode in (1, 2)
        assert "Nothing was stored." in done.stderr
    assert {job["id"]: job["tags"] for job in queuectl.json("list")} == {"a": ["t"], "b": ["t"]}


def test_a_dash_is_standard_input(queuectl):
    queuectl.ok("enqueue", "-", stdin=b'{"id": "a", "command": "test a = a\\r\\n"}')
    assert queuectl.job("a")["command"] == "test a = a\n"
    queuectl.ok("enqueue", "-", "--lines", stdin=b"echo a\r\necho b\r\n")
    assert sorted(job["command"] for job in queuectl.json("list"))[:2] == ["echo a", "echo b"]
    done = queuectl.run("enqueue", "-", stdin=b"echo a\n")
    assert (done.returncode, done.stderr) == (
        2,
        "standard input holds no JSON; with --lines each of its lines is a command. Nothing was stored.\n",
    )


def test_bytes_that_are_no_text_are_refused_in_a_sentence_that_helps(queuectl):
    for words in (["cat caf\udce9.txt"], ["--cwd", "/caf\udce9", "true"], ["--tag", "\udce9", "true"]):
        done = queuectl.run("enqueue", *words)
        assert done.returncode == 2
        assert "is not UTF-8" in done.stderr
    assert "queuectl enqueue -- cat" in queuectl.run("enqueue", "cat caf\udce9.txt").stderr


MAKING_NONE = """list; list --csv; status; dlq list; dlq causes; worker list --all; queues; stats; view list; config get; trash
config history; operations; export -; prune; prune --dry-run; enqueue --check true; retry --all --dry-run; retry --all
dlq retry --all; delete --all --yes; worker stop; worker drain; worker scale 0; queue resume mail; config reset backoff_base"""
FINDING_NOTHING = """show x; logs x; wait x; diff x; retry x; run-now x; delete x; undelete x; dlq retry x; worker stop w1
undo 1; view delete x; config revert backoff_base"""


def _commands(text):
    return [command.split() for line in text.splitlines() for command in line.split("; ")]


@pytest.mark.parametrize(("commands", "status"), [(MAKING_NONE, 0), (FINDING_NOTHING, 1), ("vacuum; backup copy", 1)])
def test_a_command_that_has_nothing_to_do_without_a_database_makes_none(
    commands, status, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for words in _commands(commands):
        with pytest.raises(SystemExit) as ended:
            main(["--db", "typo.db", *words])
        said = capsys.readouterr().err
        assert (ended.value.code, said.split(";")[0]) == (status, f"There is no database at {tmp_path / 'typo.db'}"), (
            words
        )
    assert os.listdir(tmp_path) == []


def test_an_empty_queue_is_shown_in_its_usual_shape(tmp_path, queuectl):
    assert queuectl.json("list") == []
    assert queuectl.json("status")["jobs"]["pending"] == 0
    assert not queuectl.database.exists()
    assert at_terminal(queuectl, "list")[1].endswith("No jobs.\r\n")
