"""The commands of bad days, as they are typed: what they print, what they refuse, how they end."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine import clock
from tests.cli.conftest import ROOT


def _refused(done: subprocess.CompletedProcess[str], code: int, sentence: str) -> None:
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


# --- doctor


def test_doctor_finds_nothing_wrong_in_a_new_queue(queuectl):
    queuectl.ok("enqueue", "--run-at", "+1h", "true")
    found = queuectl.json("doctor")
    assert found["done"] == []
    assert [check for check in found["checks"] if check["verdict"] == "problem"] == []
    assert {"integrity", "counters", "supervisor", "disk space", "SQLite"} <= {row["check"] for row in found["checks"]}


def _step_forward(queuectl) -> None:
    """As if the system's clock had gone forward by a day since the database was used last."""
    wall, since_boot = clock._read_clocks()
    Path(f"{queuectl.database}.run", "clock").write_text(f"{clock._boot()} {wall - since_boot - 86_400_000} 0 0")


def test_a_wait_counts_from_the_time_that_the_workers_follow(queuectl):
    queuectl.ok("enqueue", "--id", "a", "true")
    _step_forward(queuectl)
    queuectl.ok("enqueue", "--id", "b", "--run-at", "+5s", "true")
    job = queuectl.job("b")
    waits = datetime.fromisoformat(job["next_run_at"]) - datetime.fromisoformat(job["created_at"])
    assert waits < timedelta(hours=1)


def test_doctor_follows_a_clock_that_went_forward_when_asked(queuectl):
    queuectl.ok("enqueue", "--id", "a", "true")
    _step_forward(queuectl)
    advice = "If it is right, as after a pause of a virtual machine: 'queuectl doctor --follow-clock'."
    assert advice in queuectl.ok("doctor", "--no-json")
    followed = queuectl.ok("doctor", "--follow-clock", "--no-json")
    assert "Followed the clock, 1 d 0 h ahead." in followed
    assert advice not in followed


def test_doctor_makes_no_database(queuectl):
    queuectl.ok("doctor")
    assert not queuectl.database.exists()


def test_doctor_says_what_to_do_ends_with_1_and_mends_when_asked(queuectl):
    queuectl.ok("enqueue", "true")
    with closing(sqlite3.connect(queuectl.database)) as careless:
        careless.execute("UPDATE counter SET n = 5")
        careless.commit()
    done = queuectl.run("doctor", "--no-json")
    assert done.returncode == 1
    assert "problem  counters: 1 differ from the jobs. 'queuectl doctor --fix' counts anew." in done.stdout
    assert "Counted the jobs anew." in queuectl.ok("doctor", "--fix", "--no-json")
    assert queuectl.json("status")["jobs"]["pending"] == 1


def test_doctor_says_that_a_file_is_no_database(queuectl):
    queuectl.database.write_text("hello " * 1000)
    done = queuectl.run("doctor", "--no-json")
    assert done.returncode == 1
    assert "problem  database:" in done.stdout
    assert "queuectl restore" in done.stdout
    _refused(queuectl.run("doctor", "--fix"), 1, "is not a QueueCTL database")
    queuectl.database.unlink()


# --- backup and restore


def test_a_backup_while_workers_run_and_the_way_back(queuectl, tmp_path):
    copy = str(tmp_path / "copy.db")
    queuectl.ok("enqueue", "--id", "job", "sleep 60")
    queuectl.ok("worker", "start")
    queuectl.wait_for_state("job", "processing")
    assert "checked." in queuectl.ok("backup", copy)
    _refused(queuectl.run("backup", copy), 1, "exists already")
    _refused(queuectl.run("restore", copy), 1, "A supervisor works on")
    queuectl.ok("worker", "stop", "--now")
    queuectl.ok("enqueue", "--id", "later", "true")
    assert "1 job that ran at the time of the backup will run again." in queuectl.ok("restore", copy)
    assert [job["id"] for job in queuectl.json("list")] == ["job"]
    job = queuectl.job("job")
    assert (job["state"], job["attempts"]) == ("pending", 0)
    assert [(run["outcome"], run["error"]) for run in job["runs"]] == [
        ("lost", "the database was restored from a backup")
    ]
    (kept,) = tmp_path.glob("queue.db.2*Z")
    assert "later" in queuectl.ok("--db", str(kept), "list")


def test_a_restored_queue_works(queuectl, tmp_path):
    queuectl.ok("enqueue", "--id", "job", "echo hi")
    queuectl.ok("backup", str(tmp_path / "copy.db"))
    queuectl.database.unlink()
    queuectl.ok("restore", str(tmp_path / "copy.db"))
    queuectl.ok("worker", "start")
    assert queuectl.wait_for_state("job", "completed")["stdout"] == "hi\n"


def test_a_broken_database_can_be_replaced(queuectl, tmp_path):
    queuectl.ok("enqueue", "--id", "job", "true")
    queuectl.ok("backup", str(tmp_path / "copy.db"))
    queuectl.database.write_bytes(b"\xff" * 10_000)
    for end in ("-wal", "-shm"):
        (tmp_path / f"queue.db{end}").unlink(missing_ok=True)
    queuectl.ok("restore", str(tmp_path / "copy.db"))
    assert [job["id"] for job in queuectl.json("list")] == ["job"]


def test_restore_refuses_what_is_no_backup(queuectl, tmp_path):
    (tmp_path / "text").write_text("hello " * 1000)
    _refused(queuectl.run("restore", str(tmp_path / "text")), 1, "not a sound QueueCTL database")
    _refused(queuectl.run("restore", str(tmp_path / "none")), 2, "There is no file")
    assert not queuectl.database.exists()


def test_a_backup_into_a_folder_that_is_not_there_is_refused(existing, tmp_path):
    _refused(existing.run("backup", str(tmp_path / "none" / "copy.db")), 1, "No such file or directory")


# --- vacuum and prune


@pytest.mark.parametrize("words", [("vacuum",), ("vacuum", "--full")])
def test_vacuum_says_the_bytes_before_and_after(queuectl, words):
    for n in range(5):
        queuectl.ok("enqueue", "--id", f"job{n}", f"# {'x' * 90_000}")
    queuectl.ok("cancel", "--all", "--yes")
    queuectl.ok("prune", "--state", "cancelled", "--older-than", "0s")
    before, after = (int(word.replace(",", "")) for word in queuectl.ok(*words).split() if word[0].isdigit())
    assert before > 400_000
    assert after < 100_000


def test_prune_deletes_what_is_old_and_first_says_what_it_would(queuectl):
    for name in ("a", "b"):
        queuectl.ok("enqueue", "--id", name, "true")
        queuectl.ok("cancel", name)
    queuectl.ok("enqueue", "--id", "waiting", "true")
    assert "cancelled: 0 jobs deleted." in queuectl.ok("prune")
    assert "cancelled: 2 jobs would be deleted." in queuectl.ok("prune", "--older-than", "0s", "--dry-run")
    assert queuectl.ok("prune", "--state", "cancelled", "--older-than", "0s") == "cancelled: 2 jobs deleted.\n"
    assert [job["id"] for job in queuectl.json("list")] == ["waiting"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--older-than", "soon"), "'soon' is not an age"),
        (("--state", "dead"), "kept for ever"),
        (("--state", "pending", "--older-than", "1d"), "is not one of"),
    ],
)
def test_prune_refuses_with_one_sentence(existing, words, sentence):
    _refused(existing.run("prune", *words), 2, sentence)


# --- export and import


def test_an_export_goes_into_another_database_and_comes_out_the_same(queuectl, tmp_path):
    queuectl.ok("enqueue", "--id", "job", r"printf 'a\377'")
    queuectl.ok("config", "set", "backoff_base", "3")
    queuectl.ok("worker", "start")
    queuectl.wait_for_state("job", "completed")
    file, other = str(tmp_path / "jobs.jsonl"), ("--db", str(tmp_path / "other.db"))
    queuectl.ok("export", file)
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert queuectl.ok(*other, "import", file) == "1 job, 1 run and 1 setting imported.\n"
    with open(file) as lines:
        assert queuectl.ok(*other, "export") == lines.read()


def test_an_export_overwrites_nothing(existing, tmp_path):
    (tmp_path / "file").touch()
    _refused(existing.run("export", str(tmp_path / "file")), 1, "exists already")


def test_an_import_from_a_pipe_names_what_it_skips(queuectl):
    queuectl.ok("enqueue", "--id", "job", "true")
    exported = queuectl.ok("export").encode()
    _refused(queuectl.run("import", "-", stdin=exported), 1, "line 2: There is a job job already. Nothing was imported")
    said = queuectl.ok("import", "-", "--skip-existing", stdin=exported)
    assert said == "There is a job job already. Skipped.\n0 jobs, 0 runs and 0 settings imported; 1 skipped.\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "is not an export"),
        (b'{"command": "echo hi"}\n', "queuectl enqueue --file"),
        (b"\xff\xfe", "line 1: this is not an export"),
        (b'{"type": "queuectl", "format": 1}\n', "line 2: the end of the export is missing"),
        (b'{"type": "queuectl", "format": 1}\n{"type": "job"}\n', "line 2: 'id' is missing"),
    ],
)
def test_an_import_of_something_else_is_refused_with_its_line(queuectl, text, sentence):
    _refused(queuectl.run("import", "-", stdin=text), 2, sentence)
    assert queuectl.json("list") == []


def test_an_import_of_a_file_that_is_not_there_is_refused(queuectl, tmp_path):
    _refused(queuectl.run("import", str(tmp_path / "none")), 2, "No such file or directory")


def test_an_export_whose_reader_leaves_ends_quietly(queuectl):
    with open(queuectl.database.parent / "many", "w") as file:
        file.writelines(json.dumps({"command": "true # " + "x" * 1000}) + "\n" for _ in range(300))
    queuectl.ok("enqueue", "--file", file.name)
    process = subprocess.Popen(
        [sys.executable, ROOT / "queuectl.py", "export"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=queuectl.env,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1
