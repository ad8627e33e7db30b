"""What operators do from a shell: many jobs at once and back, the trash, queues, views, who changed what."""

from __future__ import annotations

import json
import os
import pwd

import pytest
from click.testing import CliRunner

import models
import queuectl as program
from engine import jobs
from tests.cli.conftest import at_terminal, on_terminal

ME = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.fixture
def five(queuectl):
    """Five jobs, the last two in another queue."""
    lines = [{"id": f"j{n}", "command": "true", "queue": "mail" if n > 3 else "default"} for n in range(1, 6)]
    queuectl.ok("enqueue", "--file", "-", stdin="\n".join(map(json.dumps, lines)).encode())
    return queuectl


def _states(queuectl) -> dict[str, str]:
    return {job["id"]: job["state"] for job in queuectl.json("list")}


def test_many_are_cancelled_retried_and_the_retry_is_taken_back(five):
    assert five.ok("cancel", "--all", "--queue", "mail") == "2 jobs are cancelled or being stopped.\n"
    assert five.ok("retry", "--all", "--state", "cancelled") == (
        "2 jobs are pending again.\n'queuectl undo 2' takes it back.\n"
    )
    assert set(_states(five).values()) == {"pending"}
    assert five.ok("undo", "2") == "2 jobs are as before the retry.\n"
    assert _states(five)["j5"] == "cancelled"
    assert [(row["verb"], row["actor"], row["done"]) for row in five.json("operations")] == [
        ("unretry", ME, 2),
        ("retry", ME, 2),
        ("cancel", ME, 2),
    ]


def test_jobs_that_came_while_the_question_stood_are_not_meant(queuectl, monkeypatch):
    models.connect(str(queuectl.database))
    jobs.enqueue({"command": "true", "id": "early"})
    monkeypatch.setattr("cli.consent.get", lambda *_: jobs.enqueue({"command": "true", "id": "late"}))
    asked = ["--db", str(queuectl.database), "cancel", "--all"]
    assert CliRunner().invoke(program.cli, asked).exit_code == 0
    assert {job.id: job.state for job in models.Job.select()} == {"early": "cancelled", "late": "pending"}
    models.disconnect()


def test_many_are_deleted_and_come_back(five):
    report = json.loads(five.ok("delete", "--all", "--text", "j", "--json"))
    assert (report["verb"], report["done"], report["scope"]) == ("delete", 5, {"filter": {"text": "j"}})
    assert five.json("list") == []
    assert [row["id"] for row in five.json("trash")] == ["j5", "j4", "j3", "j2", "j1"]
    assert json.loads(five.ok("undo", "1", "--json"))["done"] == 5
    assert five.json("trash") == []
    assert len(five.json("list")) == 5


def test_named_jobs_that_could_not_be_make_it_fail(five):
    five.ok("cancel", "j1", "j2")
    done = five.run("retry", "j1", "j2", "j3", "none")
    assert done.returncode == 1
    assert done.stdout.startswith(
        "2 jobs are pending again; 1 skipped, their state did not allow it; 1 failed: There is no job 'none'.\n"
    )


def test_waiting_jobs_get_another_priority(five):
    assert five.ok("priority", "j1", "--to", "-5") == "j1 has the priority -5.\n"
    assert five.ok("priority", "--all", "--queue", "mail", "--to", "9") == "2 jobs are given the priority 9.\n"
    assert [five.job(job_id)["priority"] for job_id in ("j1", "j2", "j5")] == [-5, 0, 9]
    assert five.run("priority", "j1", "--to", "101").returncode == 2


@pytest.mark.parametrize("words", [["retry"], ["delete", "--state", "dead"], ["cancel", "x", "--all"]])
def test_ids_or_all_never_both_nor_neither(queuectl, words):
    done = queuectl.run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Give the ids of the jobs, or --all with filters such as --state")


def test_a_state_that_does_not_allow_it_is_refused(five):
    done = five.run("retry", "--all", "--state", "completed")
    assert (done.returncode, done.stderr) == (
        1,
        "Jobs that are completed cannot be retried; only failed, dead, cancelled can.\n",
    )


def test_a_deleted_job_comes_back_by_its_id(five):
    assert five.ok("delete", "j1") == "j1 is deleted. 'queuectl undelete j1' brings it back.\n"
    assert five.run("show", "j1").returncode == 1
    token = five.json("trash")[0]["token"]
    assert five.run("show", token).returncode == 1
    assert five.ok("undelete", token) == "j1 is pending again.\n"
    five.ok("cancel", "j1")
    five.ok("retry", "j1")
    assert five.ok("unretry", "j1") == "j1 is cancelled again.\n"
    assert five.run("unretry", "j1").returncode == 1


def test_a_job_is_enqueued_from_another(queuectl):
    queuectl.ok("enqueue", "--id", "old", "--priority", "3", "--env", "A=1", "--tag", "x", "echo old")
    queuectl.ok("enqueue", "--from", "old", "--id", "new", "--env", "B=2", "--priority", "4")
    queuectl.ok("enqueue", "--from", "old", "--id", "other", "echo other")
    new, other = queuectl.job("new"), queuectl.job("other")
    assert (new["command"], new["priority"], new["env"], new["origin"]) == ("echo old", 4, {"A": "1", "B": "2"}, "old")
    assert (other["command"], other["priority"], other["tags"]) == ("echo other", 3, ["x"])
    assert queuectl.run("enqueue", "--from", "nothing").returncode == 1
    assert queuectl.run("enqueue", "--from", "old", "--file", "-").returncode == 2


def test_a_queue_is_paused_limited_and_open_again(five):
    assert five.ok("queue", "pause", "mail") == "The queue mail is paused.\n"
    assert five.ok("queue", "limit", "mail", "1") == "The queue mail is paused, at most 1 job at once.\n"
    default, mail = five.json("queues")
    assert (mail["name"], mail["paused"], mail["limit"], mail["waiting"], mail["running"]) == ("mail", True, 1, 2, 0)
    assert (default["paused"], default["limit"]) == (False, None)
    assert five.ok("queue", "resume", "mail") == "The queue mail is open, at most 1 job at once.\n"
    assert five.ok("queue", "limit", "mail", "none") == "The queue mail is open.\n"
    for words in (["limit", "mail", "0"], ["limit", "mail", "x"], ["pause", "a b"]):
        assert five.run("queue", *words).returncode == 2


def test_a_saved_view_filters_the_list(five):
    five.ok("view", "save", "the mail", "--queue", "mail")
    assert five.json("view", "list") == [{"name": "the mail", "filter": {"queue": "mail"}}]
    assert [job["id"] for job in five.json("list", "--view", "the mail")] == ["j5", "j4"]
    assert five.json("list", "--view", "the mail", "--state", "dead") == []
    five.ok("view", "delete", "the mail")
    assert five.run("list", "--view", "the mail").returncode == 1


def test_it_is_known_who_changed_a_setting_and_taken_back(queuectl):
    queuectl.ok("config", "set", "backoff-base", "3")
    assert queuectl.ok("config", "revert", "backoff-base") == "backoff_base = 2\n"
    newest, first = queuectl.json("config", "history", "backoff-base")
    assert (first["before"], first["after"], first["actor"]) == (None, 3, ME)
    assert (newest["before"], newest["after"]) == (3, None)
    assert queuectl.run("config", "revert", "max_crashes").returncode == 1


def test_the_lists_are_tables_on_a_terminal(five):
    five.ok("delete", "j1", "j2")
    five.ok("queue", "pause", "mail")
    for words, shown in (
        (["operations"], "2 ids"),
        (["trash"], "pending"),
        (["queues"], "mail"),
        (["view", "list"], "No views are saved."),
        (["config", "history"], "Nothing was changed."),
    ):
        assert shown in on_terminal(five, *words)


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_every_job_is_cancelled_or_deleted_only_on_purpose(five, verb):
    done = five.run(verb, "--all")
    assert (done.returncode, done.stderr) == (
        1,
        f"'{verb} --all' without a filter is about every job (5 jobs); add --yes to go on.\n",
    )
    assert five.ok(verb, "--all", "--dry-run") == f"5 jobs would be {verb.rstrip('e')}{'l' * (verb == 'cancel')}ed.\n"
    assert five.json("status")["jobs"]["pending"] == 5
    assert "5 jobs are" in five.ok(verb, "--all", "--yes")


def test_a_person_on_a_terminal_is_asked_first_and_told_how_many(five):
    status, said = at_terminal(five, "delete", "--all", "--queue", "mail", typed="n\n")
    assert (status, "Delete 2 jobs? [y/N]" in said, "Nothing was changed." in said) == (1, True, True)
    assert "Cancel 5 jobs? [y/N]" in at_terminal(five, "cancel", "--all", typed="n\n")[1]
    assert five.json("status")["jobs"]["pending"] == 5
    assert "2 jobs are cancelled" in at_terminal(five, "cancel", "--all", "--queue", "mail", typed="y\n")[1]
    assert "Retry 2 jobs? [y/N]" in at_terminal(five, "retry", "--all", typed="y\n")[1]
    assert "?" not in at_terminal(five, "cancel", "--all", "--yes")[1]
    assert "Retry 0 jobs? [y/N]" in at_terminal(five, "dlq", "retry", "--all", typed="n\n")[1]
