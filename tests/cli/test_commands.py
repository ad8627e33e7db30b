"""Each command by itself: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import pty
import re
import subprocess
import sys

import click
import pytest

import queuectl as program
from cli import logs
from engine.output import Output
from tests.cli.conftest import ROOT, all_of, on_terminal
from tests.support import wait_until

JOB_KEYS = [
    "id",
    "command",
    "state",
    "attempts",
    "max_retries",
    "created_at",
    "updated_at",
    "next_run_at",
    "locked_by",
    "locked_at",
    "priority",
    "return_code",
    "stdout",
    "stderr",
    "duration_ms",
    "last_error",
]


def _one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1 and len(text) > 5


def _leaves(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [path]
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        found += _leaves(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("path", _leaves(program.cli), ids=" ".join)
def test_every_command_has_help_with_an_example(queuectl, path):
    said = queuectl.ok(*path, "--help")
    assert "Example:\n    queuectl" in said


def test_a_job_in_json_has_all_its_keys_and_instants_in_utc(queuectl):
    queuectl.ok("enqueue", '{"id":"job1","command":"echo Hello World","max_retries":3}')
    (job,) = queuectl.json("list")
    assert set(JOB_KEYS) <= set(job)
    assert job["created_at"].endswith("Z")
    assert len(job["created_at"]) == len("2025-11-04T10:30:00Z")


def test_status_has_jobs_workers_and_shutdown(queuectl):
    found = queuectl.json("status")
    assert found["jobs"]["pending"] == 0
    assert (found["workers"], found["shutdown"]) == ([], False)


def test_the_db_flag_wins_over_the_environment(queuectl, tmp_path):
    queuectl.ok("--db", str(tmp_path / "other.db"), "enqueue", "true")
    assert queuectl.json("list") == []
    assert len(json.loads(queuectl.ok("--db", str(tmp_path / "other.db"), "list"))) == 1


def test_without_json_wanted_a_table_is_printed(queuectl):
    queuectl.ok("enqueue", "--id", "job1", "echo hi")
    said = queuectl.ok("list", "--no-json")
    assert "job1" in said
    assert not said.lstrip().startswith("[")


def test_a_terminal_gets_a_table_and_json_when_asked(queuectl):
    queuectl.ok("enqueue", "--id", "job1", "echo hi")
    assert "attempts" in on_terminal(queuectl, "list")
    assert json.loads(on_terminal(queuectl, "list", "--json"))[0]["id"] == "job1"
    assert "meaning" in on_terminal(queuectl, "config", "get")
    assert "pending" in on_terminal(queuectl, "status")


def test_a_command_cannot_steer_the_terminal_that_lists_it(queuectl):
    queuectl.ok("enqueue", "echo \x1b]0;title\x07 \x9b31m")
    said = on_terminal(queuectl, "list")
    assert "\x1b]0;" not in said
    assert "\x9b" not in said
    assert "␛]0;title␇" in said


def test_a_long_table_says_how_many_there_are_in_all(queuectl):
    queuectl.ok("enqueue", "--file", "-", stdin=b'{"command": "true"}\n' * 60)
    queuectl.ok("enqueue", "--queue", "other", "true")
    assert "The newest 50 of 61;" in queuectl.ok("list", "--no-json")
    assert "The newest 5 of 60;" in queuectl.ok("list", "--no-json", "--queue", "default", "--limit", "5")
    assert "newest" not in queuectl.ok("list", "--no-json", "--limit", "61")


@pytest.mark.parametrize("path", [(), ("dlq",), ("worker",), ("config",)], ids=" ".join)
def test_a_group_without_a_command_shows_its_help(queuectl, path):
    done = queuectl.run(*path)
    assert done.returncode == 2
    assert "Commands:\n" in done.stderr


@pytest.mark.parametrize("words", [["list"], ["list", "--no-json"], ["enqueue", "true"], ["--help"]], ids=" ".join)
def test_an_output_that_cannot_be_written_is_told_in_one_line(queuectl, words):
    queuectl.ok("enqueue", "true")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, ROOT / "queuectl.py", *words], stdout=full, stderr=subprocess.PIPE, env=queuectl.env
        )
    assert done.returncode == 1
    assert _one_line(done.stderr.decode())


def test_without_any_output_the_work_is_done(queuectl):
    for words in ("enqueue true", "list", "list --no-json"):
        done = subprocess.run(
            f"'{sys.executable}' '{ROOT}/queuectl.py' {words} >&-", shell=True, capture_output=True, env=queuectl.env
        )
        assert (done.returncode, done.stderr) == (0, b"")
    assert len(queuectl.json("list")) == 1


def test_a_terminal_that_knows_only_ascii_gets_json_all_the_same(queuectl):
    queuectl.ok("enqueue", "echo é €")
    ascii_only = queuectl.env | {"PYTHONIOENCODING": "ascii"}
    assert json.loads(queuectl.run("list", env=ascii_only).stdout)[0]["command"] == "echo é €"
    assert "echo ? ?" in queuectl.run("list", "--no-json", env=ascii_only).stdout


# --- enqueue


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["echo hi | cat"], "echo hi | cat"),
        (["--", "echo", "two words", "$HOME"], "echo 'two words' '$HOME'"),
        (["--", "ls", "-l"], "ls -l"),
        (['  {"command": "echo {}"}'], "echo {}"),
    ],
)
def test_a_plain_command_is_enqueued_as_it_is_meant(queuectl, words, command):
    queuectl.ok("enqueue", *words)
    assert [job["command"] for job in queuectl.json("list")] == [command]


def test_flags_win_over_the_payload_and_variables_are_added(queuectl):
    payload = '{"command":"true","priority":1,"env":{"A":"1","B":"2"},"max_retries":1}'
    flags = ["--priority", "5", "--env", "B=3", "--env", "C=4=5", "--tag", "x", "--tag", "y", "--queue", "q"]
    queuectl.ok("enqueue", payload, *flags, "--timeout", "1.5", "--cwd", "/tmp", "--id", "j")
    job = queuectl.job("j")
    assert (job["priority"], job["max_retries"], job["queue"], job["tags"]) == (5, 1, "q", ["x", "y"])
    assert (job["env"], job["timeout_sec"], job["cwd"]) == ({"A": "1", "B": "3", "C": "4=5"}, 1.5, "/tmp")


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ('{"command": "echo 1"}', 1),
        ('{\n  "command": "echo 1",\n  "priority": 2\n}\n', 1),
        ('{"command": "echo 1"}\n\n{"command": "echo 2"}\n', 2),
        ('{"command": "echo 1"}\r\n{"command": "echo 2"}\r\n', 2),
        ('[{"command": "echo 1"}, {"command": "echo 2"}, {"command": "echo 3"}]', 3),
        ('\ufeff{"command": "echo 1"}', 1),
    ],
)
def test_a_file_may_hold_one_object_lines_or_an_array(queuectl, tmp_path, content, count):
    file = tmp_path / "jobs.json"
    file.write_text(content)
    queuectl.ok("enqueue", "--file", str(file))
    queuectl.ok("enqueue", "--file", "-", stdin=content.encode())
    assert queuectl.json("status")["jobs"]["pending"] == 2 * count


def test_thousands_of_lines_are_stored_and_told(queuectl):
    lines = "\n".join(json.dumps({"id": f"n{number}", "command": "true"}) for number in range(2500))
    said = queuectl.ok("enqueue", "--file", "-", stdin=lines.encode())
    assert said.splitlines()[-1] == "Enqueued n2499"
    assert queuectl.json("status")["jobs"]["pending"] == 2500


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"command": "true"}\n{"command": "true", "priority": 101}', "line 2: priority"),
        ('{"command": "true"}\nnot json', "line 2: Not valid JSON"),
        ('{"id": "a", "command": "true"}\n{"id": "a", "command": "true"}', "line 2: id a was given in line 1"),
        ('[{"command": "true"}, 5]', "job 2: must be a JSON object"),
        ('[{"command": "true"}, {"command": "true", "cwd": "here"}]', "job 2: cwd"),
    ],
)
def test_a_file_with_a_mistake_names_its_line_and_stores_nothing(queuectl, content, place):
    done = queuectl.run("enqueue", "--file", "-", stdin=content.encode())
    assert done.returncode == 2
    assert done.stderr.startswith(place)
    assert "Nothing was stored." in done.stderr
    assert queuectl.json("list") == []


@pytest.mark.parametrize("content", [b"", b" \n\n", b"[]"])
def test_a_file_without_a_job_is_a_mistake(queuectl, content):
    done = queuectl.run("enqueue", "--file", "-", stdin=content)
    assert done.returncode == 2
    assert done.stderr.startswith("There is no job in standard input;")


def test_an_import_that_stops_midway_says_how_far_it_came(queuectl):
    lines = [json.dumps({"id": f"n{number}", "command": "true"}) for number in range(2500)]
    queuectl.ok("enqueue", "--id", "n2100", "true")
    done = queuectl.run("enqueue", "--file", "-", stdin="\n".join(lines).encode())
    assert done.returncode == 1
    assert done.stderr.startswith("There is a job n2100 already;")
    assert done.stderr.endswith("The first 1,000 of 2,500 jobs are stored.\n")
    assert queuectl.json("status")["jobs"]["pending"] == 1001


def test_an_import_whose_reader_leaves_says_how_far_it_came(queuectl, tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"command": "true"}\n' * 20_000)
    done = subprocess.run(
        f"'{sys.executable}' '{ROOT}/queuectl.py' enqueue --file '{file}' | head -n 1",
        shell=True,
        capture_output=True,
        env=queuectl.env,
    )
    told = re.fullmatch(r"The first ([0-9,]+) of 20,000 jobs are stored.\n", done.stderr.decode())
    assert told
    assert queuectl.json("status")["jobs"]["pending"] == int(told[1].replace(",", ""))


def test_many_jobs_show_a_progress_bar_on_a_terminal(queuectl, tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"command": "true"}\n' * 3000)
    parent, child = pty.openpty()
    words = [sys.executable, ROOT / "queuectl.py", "enqueue", "--file", file]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=child, env=queuectl.env)
    said = all_of(parent, child)
    assert process.wait() == 0
    assert "Enqueueing" in said
    assert "100%" in said


@pytest.mark.parametrize(
    "words",
    [
        ["enqueue"],
        ["enqueue", "{"],
        ["enqueue", '{"command": ""}'],
        ["enqueue", '{"command": "true", "colour": "red"}'],
        ["enqueue", '{"command": "true", "max_retries": -1}'],
        ["enqueue", '{"command": "true", "priority": "high"}'],
        ["enqueue", '{"command": "a\\u0000b"}'],
        ["enqueue", '{"id": "a/b", "command": "true"}'],
        ["enqueue", "true", "--priority", "x"],
        ["enqueue", "true", "--env", "novalue"],
        ["enqueue", "true", "--file", "x"],
        ["enqueue", "--file", "/no/such/file"],
        ["enqueue", "--file", "/"],
        ["enqueue", "true", "--run-at", "tomorrow"],
        ["list", "--state", "nowhere"],
        ["list", "--limit", "0"],
        ["nonsense"],
        ["--nonsense"],
        ["config", "set", "backoff_base", "-1"],
        ["config", "set", "max_retries_default", "many"],
        ["config", "set", "backoff_base"],
        ["worker", "start", "--count", "0"],
        ["worker", "start", "--count", "100000"],
        ["dlq", "retry"],
        ["dlq", "retry", "a", "--all"],
        ["wait"],
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_one_line_with_status_2_and_changes_nothing(queuectl, words):
    done = queuectl.run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert _one_line(done.stderr)
    assert queuectl.json("list") == []
    assert queuectl.json("worker", "list") == []


@pytest.mark.parametrize(
    "words",
    [
        ["show", "nothing"],
        ["logs", "nothing"],
        ["wait", "nothing"],
        ["retry", "nothing"],
        ["retry", "taken"],
        ["cancel", "nothing"],
        ["delete", "nothing"],
        ["dlq", "retry", "taken"],
        ["enqueue", '{"id": "taken", "command": "true"}'],
        ["config", "get", "nothing"],
        ["config", "set", "nothing", "1"],
        ["worker", "drain", "w99"],
        ["worker", "stop", "everything"],
        ["--db", "/no/such/folder/queue.db", "list"],
        ["--db", "/", "list"],
        ["--db", __file__, "list"],
    ],
    ids=" ".join,
)
def test_a_refusal_is_told_in_one_line_with_status_1(queuectl, words):
    queuectl.ok("enqueue", "--id", "taken", "true")
    done = queuectl.run(*words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert _one_line(done.stderr)


def test_input_that_is_no_text_is_refused_without_a_traceback(queuectl):
    done = queuectl.run("enqueue", "--file", "-", stdin=b'{"command": "\xff"}')
    assert done.returncode == 2
    assert "UTF-8" in done.stderr
    done = queuectl.run("enqueue", b"echo \xff")
    assert done.returncode == 2
    assert _one_line(done.stderr)


def test_a_reader_that_leaves_early_is_no_error_to_see(queuectl):
    lines = "\n".join('{"command": "true"}' for _ in range(2000))
    queuectl.ok("enqueue", "--file", "-", stdin=lines.encode())
    done = subprocess.run(
        f"'{sys.executable}' '{ROOT}/queuectl.py' list | head -n 2", shell=True, capture_output=True, env=queuectl.env
    )
    assert done.stderr == b""


# --- one job


def test_wait_times_out_with_status_124(queuectl):
    queuectl.ok("enqueue", "--id", "slow", "true")
    done = queuectl.run("wait", "slow", "--timeout", "0.1")
    assert done.returncode == 124
    assert "slow" in done.stderr


def test_wait_for_several_fails_when_one_did(queuectl):
    queuectl.ok("enqueue", "--id", "good", "true")
    queuectl.ok("enqueue", "--id", "bad", "--max-retries", "0", "exit 9")
    queuectl.ok("worker", "start")
    assert queuectl.run("wait", "good", "bad").returncode == 1
    assert queuectl.run("wait", "bad").returncode == 9
    assert queuectl.run("wait", "good").returncode == 0


def test_logs_follow_prints_as_the_job_runs_and_ends_with_it(queuectl, tmp_path):
    gate = tmp_path / "gate"
    queuectl.ok(
        "enqueue", "--id", "talks", f"echo one; until [ -e {gate} ]; do sleep 0.05; done; echo two; echo no >&2"
    )
    queuectl.ok("worker", "start")
    follow = queuectl.start("logs", "talks", "--follow")
    assert follow.stdout.readline() == "one\n"
    gate.touch()
    said, complained = follow.communicate(timeout=30)
    assert (said, complained) == ("two\n", "no\n")


def test_logs_follow_goes_from_run_to_run(queuectl):
    queuectl.ok("config", "set", "backoff_base", "1")
    queuectl.ok("enqueue", "--id", "twice", "--max-retries", "1", "echo try $QUEUECTL_ATTEMPT; exit 1")
    follow = queuectl.start("logs", "twice", "--follow", "--stream", "stdout")
    queuectl.ok("worker", "start")
    assert follow.communicate(timeout=30)[0] == "try 1\ntry 2\n"
    assert follow.returncode == 0
    assert queuectl.ok("logs", "twice", "--follow", "--run", "1") == "try 1\n"
    assert queuectl.run("logs", "twice", "--follow", "--run", "3").returncode == 1


def test_what_logs_follow_prints_is_whole_however_the_output_comes(capsys):
    tail, printer = logs._Tail(), logs._Text(err=False)
    said = []
    for data, total, cut, ended in (
        (b"one \xe2\x82", 6, None, False),
        (b"one \xe2\x82\xac two", 11, None, False),
        (b"one \xe2" + b"end", 30, 5, False),
        (b"one \xe2" + b"nd!", 31, 5, True),
    ):
        printer.show(tail.fresh(Output(data, total, cut)), ended)
        said.append(capsys.readouterr().out)
    assert said == ["one ", "€ two", "\n… 16 bytes left out …\nend", "!"]


def test_wait_has_the_verdict_of_a_cancelled_job_and_of_one_ended_by_a_signal(queuectl):
    queuectl.ok("enqueue", "--id", "off", "true")
    queuectl.ok("cancel", "off")
    assert queuectl.run("wait", "off").returncode == 1
    queuectl.ok("enqueue", "--id", "killed", "--max-retries", "0", "kill -9 $$")
    queuectl.ok("worker", "start")
    assert queuectl.run("wait", "killed").returncode == 1


def test_retry_puts_a_cancelled_job_back(queuectl):
    queuectl.ok("enqueue", "--id", "job1", "true")
    queuectl.ok("cancel", "job1")
    queuectl.ok("retry", "job1")
    assert queuectl.job("job1")["state"] == "pending"


def test_lists_are_filtered_by_queue_tag_and_text(queuectl):
    queuectl.ok("enqueue", "--id", "a", "--queue", "mail", "--tag", "nightly", "echo one")
    queuectl.ok("enqueue", "--id", "b", "echo two")
    for words in (["--queue", "mail"], ["--tag", "nightly"], ["--text", "one"], ["--state", "pending", "--text", "a"]):
        assert [job["id"] for job in queuectl.json("list", *words)] == ["a"]
    assert [job["id"] for job in queuectl.json("list", "--limit", "1")] == ["b"]
    assert queuectl.json("list", "--tag", "night") == []


def test_logs_of_an_earlier_run_can_be_read(queuectl):
    queuectl.ok("config", "set", "backoff_base", "1")
    queuectl.ok("enqueue", "--id", "twice", "--max-retries", "1", "echo try $QUEUECTL_ATTEMPT; exit 1")
    queuectl.ok("worker", "start")
    queuectl.run("wait", "twice")
    assert queuectl.ok("logs", "twice", "--attempt", "1") == "try 1\n"
    assert queuectl.ok("logs", "twice", "--stream", "stdout") == "try 2\n"
    assert queuectl.run("logs", "twice", "--attempt", "3").returncode == 1


def test_cancel_ends_a_running_job_and_delete_removes_it(queuectl):
    queuectl.ok("enqueue", "--id", "long", "sleep 60")
    queuectl.ok("worker", "start")
    queuectl.wait_for_state("long", "processing")
    assert queuectl.run("delete", "long").returncode == 1
    queuectl.ok("cancel", "long")
    queuectl.wait_for_state("long", "cancelled")
    queuectl.ok("delete", "long")
    assert queuectl.json("list") == []


def test_dlq_retry_all_says_how_many(queuectl):
    for number in range(3):
        queuectl.ok("enqueue", "--id", f"d{number}", "--max-retries", "0", "false")
    queuectl.ok("worker", "start")
    queuectl.run("wait", "d0", "d1", "d2")
    queuectl.ok("worker", "stop")
    assert queuectl.ok("dlq", "retry", "--all") == "3 jobs are pending again.\n"


def test_worker_drain_and_list_all_tell_the_end(queuectl):
    queuectl.ok("worker", "start", "--count", "2")
    queuectl.ok("worker", "drain", "w1")
    wait_until(lambda: [row["id"] for row in queuectl.json("worker", "list")] == ["w2"], 20, 0.1)
    ended = [row for row in queuectl.json("worker", "list", "--all") if row["id"] == "w1"]
    assert [(row["status"], row["reason"]) for row in ended] == [("stopped", "ended as asked")]


def test_workers_are_scaled_to_a_number(queuectl):
    assert queuectl.ok("worker", "scale", "2") == "Started w1, w2\n"
    assert queuectl.ok("worker", "scale", "2") == "The number of workers is 2 already.\n"
    assert queuectl.ok("worker", "scale", "0") == "Draining w2, w1\n"
    wait_until(lambda: queuectl.json("worker", "list") == [], 20, 0.1)
    assert queuectl.run("worker", "scale", "--", "-1").returncode == 2
    assert queuectl.run("worker", "scale", "1000").returncode == 2


def test_draining_says_what_is_waited_for_and_force_ends_it(queuectl):
    queuectl.ok("worker", "start")
    queuectl.ok("enqueue", "--id", "long", "sleep 60")
    wait_until(lambda: queuectl.json("show", "long")["state"] == "processing", 20, 0.1)
    said = queuectl.ok("worker", "drain")
    assert said == "Draining w1\n1 job running.\nNo history for it, so nobody can say.\n"
    assert queuectl.ok("worker", "stop", "--force").startswith("Killing w1\n")
    assert queuectl.json("show", "long")["state"] == "pending"
    (ended,) = queuectl.json("worker", "list", "--end", "stopped", "--reason", "force")
    assert (ended["id"], ended["reason"]) == ("w1", "force-stopped")
    assert queuectl.json("worker", "list", "--end", "lost") == []


# --- settings, completion


def test_settings_are_read_set_and_reset(queuectl):
    queuectl.ok("config", "set", "backoff_base", "3")
    queuectl.ok("config", "set", "job-timeout-sec", "30")
    assert queuectl.json("config", "get")["job_timeout_sec"] == 30
    assert queuectl.json("config", "get", "backoff_base") == {"backoff_base": 3}
    queuectl.ok("config", "reset", "backoff_base")
    assert queuectl.json("config", "get", "backoff-base") == {"backoff_base": 2}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(queuectl, shell):
    assert "_QUEUECTL_COMPLETE" in queuectl.ok("completion", shell)


def test_ids_are_completed(queuectl):
    queuectl.ok("enqueue", "--id", "alpha1", "true")
    asked = {"_QUEUECTL_COMPLETE": "bash_complete", "COMP_WORDS": "queuectl show al", "COMP_CWORD": "2"}
    assert queuectl.run(env=queuectl.env | asked).stdout == "plain,alpha1\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("queuectl list --state p", ["pending", "processing"]),
        ("queuectl config set backoff", ["backoff_base", "backoff_jitter"]),
        ("queuectl worker st", ["start", "stop"]),
        ("queuectl --db /no/such/folder/x show a", []),
    ],
)
def test_states_keys_and_commands_are_completed_and_trouble_is_silent(queuectl, line, found):
    asked = {"_QUEUECTL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = queuectl.run(env=queuectl.env | asked)
    assert [word.removeprefix("plain,") for word in done.stdout.split()] == found
    assert done.stderr == ""


# --- a look before a job is stored


def test_check_says_what_is_amiss_and_when_it_would_be_tried_and_stores_nothing(queuectl):
    said = queuectl.ok("enqueue", "--check", "--timeout", "0.5", "no_such_program")
    assert "warning: command: There is no program no_such_program here" in said
    assert "warning: timeout_sec: Only 500 ms" in said
    assert "then about +2 s, +4 s, +8 s; dead after 4 attempts" in said
    assert queuectl.json("list") == []


def test_check_refuses_what_the_shell_cannot_read(queuectl):
    done = queuectl.run("enqueue", "--check", "echo 'open")
    assert done.returncode == 1
    assert "problem: command: The shell cannot read it" in done.stdout


def test_a_file_may_hold_a_command_a_line(queuectl):
    queuectl.ok("enqueue", "--lines", "--queue", "mail", "--file", "-", stdin=b"echo a\n\n# no job\necho b\n")
    assert [job["command"] for job in queuectl.json("list", "--queue", "mail")] == ["echo b", "echo a"]


def test_check_names_the_lines_of_a_file_that_have_a_problem(queuectl):
    done = queuectl.run("enqueue", "--check", "--lines", "--file", "-", stdin=b"echo a\necho '\n")
    assert done.returncode == 1
    assert "problem: line 2: The shell cannot read it" in done.stdout
    assert queuectl.json("list") == []


def test_a_relative_folder_is_one_of_the_caller(queuectl, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for given, meant in ((".", "a"), ("b", "a/b"), ("..", "")):
        queuectl.ok("enqueue", "--id", f"job{given}", "--cwd", given, "true", cwd=tmp_path / "a")
        shown = queuectl.job(f"job{given}")
        assert shown["cwd"] == shown["folder"] == str(tmp_path / meant)
