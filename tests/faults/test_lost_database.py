"""The database is deleted, replaced, locked, read-only or damaged: told in a sentence, survived, nothing run unseen."""

from __future__ import annotations

import fcntl
import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import app
import models
import workers
from engine import jobs, opening, presence, queries
from engine.errors import Unavailable
from tests.faults.conftest import as_other_user
from tests.support import wait_until


def delete_database(path: Path) -> None:
    for name in (path, f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)


def replace_database(path: Path) -> None:
    """Put an empty one in its place: at no instant is there none. The old one is called old-… then."""
    new = path.with_name("new.db")
    models.connect(str(new))
    models.disconnect()
    os.link(path, path.with_name(f"old-{path.name}"))
    for name in (f"{path.name}-wal", f"{path.name}-shm"):
        os.rename(path.with_name(name), path.with_name(f"old-{name}"))
    os.replace(new, path)


# --- deleted, moved away or replaced


def test_of_a_database_that_is_moved_away_nobody_makes_an_empty_one_and_all_goes_on_when_it_is_back(
    queue, tmp_path, monkeypatch
):
    monkeypatch.setattr(app, "makes_database", True)
    flag, elsewhere = tmp_path / "flag", tmp_path / "elsewhere.db"
    supervisor = queue.run_idle_workers(1)
    held = queue.add(f"[ -e {flag} ] || {{ touch {flag}; exec sleep 60; }}")
    wait_until(flag.exists)
    panel = queue.panel()
    models.disconnect()
    queue.path.rename(elsewhere)
    wait_until(lambda: f"waiting until {queue.path} is put back" in queue.logged())
    runpy.run_path(f"{models.ROOT}/gunicorn.conf.py")["post_fork"](None, None)
    reborn = queue.panel()  # in the place of a process of the panel that ended
    for one in (panel, reborn):
        for is_poll in (False, True):
            answer = one.get("/jobs", htmx=is_poll)
            assert (answer.status_code, f"{queue.path} was deleted or moved away" in answer.text) == (503, True)
    assert not queue.path.exists()
    elsewhere.rename(queue.path)
    queue.wait_for(held, "completed")
    assert [one.get("/jobs").status_code for one in (panel, reborn)] == [200, 200]
    assert supervisor.poll() is None


def test_a_supervisor_that_waits_for_its_database_is_ended_by_a_signal(queue):
    supervisor = queue.run_idle_workers(1)
    models.disconnect()
    delete_database(queue.path)
    wait_until(lambda: "is put back" in queue.logged())
    supervisor.terminate()
    assert supervisor.wait(20) == 0
    assert not queue.path.exists()
    models.connect(str(queue.path))


def test_when_the_database_is_replaced_its_jobs_are_given_back_and_the_workers_begin_again_with_the_new_one(queue):
    supervisor = queue.run_idle_workers(2)
    held = queue.add("sleep 60")
    queue.wait_for(held, "processing")
    replace_database(queue.path)
    models.connect(str(queue.path))
    fresh = queue.add("echo seen")
    queue.wait_for(fresh, "completed")
    assert supervisor.poll() is None
    assert f"The database {queue.path} was replaced. Stopping its 2 workers." in queue.logged()
    assert len(queue.workers()) == 2
    assert queue.marked_processes() == []
    with sqlite3.connect(queue.path.parent / "old-queue.db") as old:
        rows = old.execute("SELECT id, state, crashes FROM job").fetchall()
    old.close()
    assert rows == [(held, "pending", 0)]


def test_when_the_database_is_deleted_a_detached_supervisor_ends_its_workers_and_leaves(queue, tmp_path):
    queue.start(1)
    ran = tmp_path / "ran"
    queue.wait_for(queue.add(f"touch {ran}; exec sleep 60"), "processing")
    wait_until(ran.exists)
    pids = [queue.supervisor_pid(), *(worker["pid"] for worker in queue.workers())]
    stray = queue.marked_processes()
    assert stray
    models.disconnect()
    delete_database(queue.path)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in (*pids, *stray)))
    assert not queue.path.exists()
    models.connect(str(queue.path))
    assert "was deleted or moved away. Stopping its 1 workers." in Path(workers.log_path()).read_text()


def test_a_supervisor_whose_whole_folder_is_deleted_says_so_and_ends(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    line = [sys.executable, "-m", "workers", "--count", "1", "--db", str(folder / "queue.db")]
    with subprocess.Popen(line, cwd=models.ROOT, stderr=subprocess.PIPE, text=True) as supervisor:
        models.connect(
            str(wait_until(lambda: (folder / "queue.db.run" / "supervisor.sock").exists() and folder / "queue.db"))
        )
        wait_until(lambda: [worker for worker in queries.workers() if worker["status"] == "idle"])
        models.disconnect()
        shutil.rmtree(folder)
        _, said = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 1
    assert f"The database {folder}/queue.db was deleted or moved away." in said
    assert f"The folder of the database {folder}/queue.db was deleted; choose another place." in said
    assert "Traceback" not in said


def test_when_the_run_folder_is_deleted_the_supervisor_takes_a_new_lock(queue):
    """Its lock is on a file that nobody finds any more: a second supervisor could work beside it."""
    supervisor = queue.run_idle_workers()
    job_id = queue.add("sleep 0.2")
    queue.wait_for(job_id, "processing")
    shutil.rmtree(f"{queue.path}.run")
    wait_until(lambda: "The folder" in queue.logged() and workers.supervisor_lives())
    queue.wait_for(job_id, "completed")
    queue.wait_for(queue.add("true"), "completed")
    assert supervisor.poll() is None


def _upgrade(path: Path) -> None:
    """As a newer version would that does not see the locks of this one."""
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {models.SCHEMA_VERSION + 1}")


def _downgrade(path: Path) -> None:
    with closing(sqlite3.connect(path)) as older:
        older.execute(f"PRAGMA user_version = {models.SCHEMA_VERSION}")


def test_a_supervisor_and_its_workers_leave_when_a_newer_version_changed_the_schema(queue):
    supervisor = queue.run_idle_workers(2)
    _upgrade(queue.path)
    assert supervisor.wait(20) == 1
    sentence = f"has schema {models.SCHEMA_VERSION + 1}, newer than this program knows"
    assert f"{sentence} ({models.SCHEMA_VERSION}); upgrade QueueCTL, or start it again" in queue.logged()
    assert "Traceback" not in queue.logged()
    _downgrade(queue.path)


def test_the_panel_says_that_a_newer_version_changed_the_schema(queue):
    panel = queue.panel()
    _upgrade(queue.path)
    answer = panel.get("/jobs")
    assert (answer.status_code, "newer than this program knows" in answer.text) == (503, True)
    _downgrade(queue.path)
    assert panel.get("/jobs").status_code == 200


def test_the_panel_keeps_the_schema_as_it_is_while_it_lives(queue):
    queue.panel()
    with open(f"{models.run_folder()}/open.lock") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_worker_keeps_the_schema_as_it_is_after_its_supervisor_died(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(presence, "PATIENCE_S", 0.05)
    gate = tmp_path / "gate"
    supervisor = queue.run_idle_workers(1)
    held = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done")
    queue.wait_for(held, "processing")
    models.disconnect()
    opening.leave(models.db.obj)
    supervisor.kill()
    supervisor.wait(20)
    with pytest.raises(Unavailable), presence.alone(models.run_folder(), "It is older"):
        pass
    gate.touch()
    queue.wait_for(held, "completed")


def test_the_panel_says_that_the_database_was_deleted(queue):
    panel = queue.panel()
    models.disconnect()
    delete_database(queue.path)
    answer = panel.get("/")
    assert (answer.status_code, "was deleted or moved away" in answer.text) == (503, True)
    assert panel.get("/healthz").status_code == 503
    models.disconnect()
    models.connect(str(queue.path))


# --- locked


def test_a_database_that_stays_locked_is_told_after_the_patience_of_a_person(queue, monkeypatch):
    panel = queue.panel()
    token = panel.token()
    impatient = f"""
from engine.database import Sqlite
Sqlite.patience_s = 0.2
import queuectl
queuectl.main(["--db", {str(queue.path)!r}, "enqueue", "true"])
"""
    sentence = f"The database {queue.path} is locked by another process; try again, or find who holds it open."
    with Locked(queue.path):
        said = subprocess.run([sys.executable, "-c", impatient], cwd=models.ROOT, capture_output=True, text=True)
        models.db.obj.patience_s = 0.2
        answer = panel.client.post("/enqueue", data={"csrf_token": token, "command": "true"})
        assert panel.get("/").status_code == 200  # reading goes on
    assert (said.returncode, said.stdout, said.stderr) == (1, "", f"{sentence}\n")
    assert (answer.status_code, sentence in answer.text) == (503, True)
    assert models.Job.select().count() == 0


def test_workers_wait_for_a_locked_database_and_finish(queue, tmp_path):
    """A running job ends, another waits to be claimed, and the supervisor may not even beat."""
    gate = tmp_path / "gate"
    supervisor = queue.run_idle_workers(2)
    running = queue.add(f"until [ -e {gate} ]; do sleep 0.05; done; echo done")
    queue.wait_for(running, "processing")
    waiting = queue.add("echo claimed", run_at="+1s")
    pids = [worker["pid"] for worker in queue.workers()]
    with Locked(queue.path):
        gate.touch()
        wait_until(lambda: all(f"{who}: The database" in queue.logged() for who in ("w1", "w2")))
    queue.wait_for(running, "completed")
    queue.wait_for(waiting, "completed")
    assert (queue.outcomes(running), queue.outcomes(waiting)) == (["success"], ["success"])
    assert [worker["pid"] for worker in queue.workers()] == pids
    assert supervisor.poll() is None


class Locked:
    """Another process holds the write lock of the database."""

    def __init__(self, path: Path):
        program = f"""
import sqlite3
connection = sqlite3.connect({str(path)!r}, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
input()
"""
        pipe = subprocess.PIPE
        self.holder = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe)

    def __enter__(self) -> None:
        assert self.holder.stdout
        assert self.holder.stdout.readline() == b"locked\n"

    def __exit__(self, *_: object) -> None:
        self.holder.communicate(b"\n")


# --- read-only


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_database_that_may_not_be_written_is_told_by_command_line_and_supervisor(tmp_path, what):
    path = tmp_path / "place" / "queue.db"
    path.parent.mkdir()
    models.connect(str(path))
    jobs.enqueue({"command": "true"})
    models.disconnect()
    (path if what == "file" else path.parent).chmod(0o400 if what == "file" else 0o500)
    sentence = f"The database {path} is read-only for this user; correct the permissions of the file and its folder.\n"
    for line in (["queuectl.py", "--db", path, "enqueue", "true"], ["-m", "workers", "--count", "1", "--db", path]):
        said = subprocess.run(
            [sys.executable, *line], cwd=models.ROOT, capture_output=True, text=True, **as_other_user()
        )
        assert (said.returncode, said.stdout, said.stderr) == (1, "", sentence)
    path.parent.chmod(0o700)


# --- damaged


def damage(path: Path, at: int, length: int) -> bytes:
    """Overwrite a part of the file with noise; what was there."""
    with open(path, "r+b") as file:
        file.seek(at)
        before = file.read(length)
        file.seek(at)
        file.write(bytes(range(1, 251)) * (length // 250 + 1))
    return before


def test_a_damaged_header_is_told_and_nothing_is_made_in_its_place(tmp_path):
    path = tmp_path / "queue.db"
    models.connect(str(path))
    jobs.enqueue({"command": "true"})
    models.disconnect()
    damage(path, 0, 100)
    content = path.read_bytes()
    sentence = f"{path} is not a QueueCTL database; name another file with --db or QUEUECTL_DB.\n"
    for line in (["queuectl.py", "--db", path, "list"], ["-m", "workers", "--db", path]):
        said = subprocess.run([sys.executable, *line], cwd=models.ROOT, capture_output=True, text=True)
        assert (said.returncode, said.stderr) == (1, sentence)
    assert path.read_bytes() == content


def test_a_panel_that_cannot_open_its_database_says_so_and_ends(tmp_path):
    path = tmp_path / "queue.db"
    path.write_text("something else" * 100)
    env = {**os.environ, "QUEUECTL_DB": str(path), "PORT": "0"}
    line = [sys.executable, "-m", "gunicorn", "app:create_app()"]
    said = subprocess.run(line, cwd=models.ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert said.returncode == 1
    assert f"The panel cannot start. {path} is not a QueueCTL database;" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


def test_a_damaged_page_is_told_by_command_line_and_panel_and_work_goes_on_once_it_is_whole(queue):
    jobs.enqueue_many({"id": f"j{number}", "command": "true", "run_at": "+1h"} for number in range(500))
    panel = queue.panel()
    models.db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    models.disconnect()
    whole = queue.path.read_bytes()
    middle = len(whole) // 4096 * 2048
    damage(queue.path, middle, len(whole) - middle)
    sentence = f"The database {queue.path} is damaged; stop the workers and restore a backup."
    said = queue.command("list")
    answer = panel.get("/jobs")
    assert (said.returncode, said.stderr) == (1, f"{sentence}\n")
    assert (answer.status_code, sentence in answer.text) == (503, True)
    models.disconnect()
    queue.path.write_bytes(whole)
    models.connect(str(queue.path))
    queue.run_idle_workers()
    queue.wait_for(queue.add("true"), "completed")
    assert queue.is_sound()


def test_a_supervisor_lives_through_any_error_of_the_database(queue):
    """Whatever SQLite says, the supervisor says it and tries again: the jobs of all workers depend on it."""
    program = f"""
import models, pathlib, workers.supervisor as s
from workers import locks
models.connect({str(queue.path)!r}, durable=False)
models.Worker.insert(host="", created_at=0).execute()
real = s.db.obj.execute_sql
def broken(sql, params=None):
    if pathlib.Path({str(queue.path)!r} + ".broken").exists() and "job" in sql:
        raise s.Unavailable("The database is damaged.")
    return real(sql, params)
s.db.obj.execute_sql = broken
s.Supervision(locks.take(locks.of_supervisor(models.run_folder())), managed=True).run()
"""
    queue.run_workers(program=program)
    wait_until(lambda: queue.workers("idle"))
    broken = Path(f"{queue.path}.broken")
    broken.touch()
    job_id = queue.add("true")
    wait_until(lambda: "supervisor: The database is damaged." in queue.logged())
    broken.unlink()
    queue.wait_for(job_id, "completed")
    wait_until(lambda: "supervisor: the database can be used again" in queue.logged())
    assert queue.logged().count("supervisor: The database is damaged.") == 1
