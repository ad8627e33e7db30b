"""What a job starts with: the user's environment, the folder by its name, the user's umask."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import models
from engine import roster
from engine.errors import Unavailable
from workers import command, environment

ROOT = models.ROOT
_PROGRAMS = os.fsencode(os.path.dirname(sys.executable))


def _run(said: str, **order) -> command.Outcome:
    order = command.Order(said, {b"PATH": b"/usr/bin:/bin"}, **order)
    return command.run(order, [], lambda: None, lambda *_: None)


@pytest.mark.parametrize(
    "added",
    [
        {b"MAKELEVEL": b"1", b"MAKEFLAGS": b"-- PORT=1", b"MFLAGS": b"", b"MAKE_TERMOUT": b"/dev/pts/1"},
        {b"HONCHO_PROCESS_NAME": b"worker.1", b"PORT": b"8100", b"WORKERS": b"2", b"PYTHONUNBUFFERED": b"1"},
        {b"SERVER_SOFTWARE": b"gunicorn/23", b"SECRET_KEY": b"s", b"FLASK_SECRET_KEY": b"s", b"PORT": b"8000"},
        {b"GUNICORN_CMD_ARGS": b"--bind=[::1]:1", b"QUEUECTL_PREFIX": b"/q", b"QUEUECTL_RUN": b"x-1-1"},
        {b"NOTIFY_SOCKET": b"/run/n", b"LISTEN_FDS": b"1", b"LISTEN_PID": b"2", b"LISTEN_FDNAMES": b"a"},
        {b"WATCHDOG_USEC": b"1", b"WATCHDOG_PID": b"1", b"INVOCATION_ID": b"a", b"JOURNAL_STREAM": b"8:1"},
        {b"CREDENTIALS_DIRECTORY": b"/run/c", b"SYSTEMD_EXEC_PID": b"1", b"MAINPID": b"1", b"MANAGERPID": b"1"},
        {b"": b"x=1"},
    ],
)
def test_what_others_added_on_the_way_is_left_out(added):
    assert environment.inherited(added | {b"HOME": b"/h"}) == {b"HOME": b"/h"}


def test_what_the_user_set_stays():
    users = {b"PORT": b"5432", b"MAKEFLAGS": b"-j8", b"SECRET_KEY": b"mine", b"FLASK_APP": b"a", b"NAME": b"caf\xe9"}
    assert environment.inherited(users) == users


def test_our_programs_are_found_last(monkeypatch):
    monkeypatch.setattr(sys, "base_prefix", "/another")
    found = environment.inherited({b"PATH": _PROGRAMS + b":/usr/bin:/bin", b"VIRTUAL_ENV": os.fsencode(sys.prefix)})
    assert found == {b"PATH": b"/usr/bin:/bin:" + _PROGRAMS}
    others = {b"PATH": b"/x", b"VIRTUAL_ENV": b"/x"}
    assert environment.inherited(others)[b"VIRTUAL_ENV"] == b"/x"


def test_the_locale_is_the_one_before_python_changed_it():
    look = "import os; from workers import environment as e; print(b'LC_CTYPE' in os.environb, b'LC_CTYPE' in e.inherited())"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    for given, seen in ({}, ["True", "False"]), ({"LC_CTYPE": "C.UTF-8"}, ["True", "True"]):
        done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, env=plain | given, capture_output=True, text=True)
        assert done.stdout.split() == seen, done.stderr


def test_the_folder_is_entered_by_its_name_at_each_run(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    before = _run("pwd", folder=str(folder))
    folder.rmdir()
    gone = _run("pwd", folder=str(folder))
    folder.mkdir()
    again = _run("echo new > file", folder=str(folder))
    assert [before.word, gone.word, again.word] == ["success", "failed", "success"]
    assert f"cannot enter the folder {folder}, where the workers were started" in gone.ending.error
    assert (folder / "file").read_text() == "new\n"


@pytest.fixture
def entered(tmp_path, monkeypatch):
    """A folder that may be entered and not read, and this process in it."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o711)
    monkeypatch.chdir(folder)
    return folder


def test_a_run_opens_no_folder(entered, tmp_path, monkeypatch):
    """One that may be entered and not read is enough. Root may read all, so the opening itself is looked for."""
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.append(path) or real(path, *rest, **more))
    assert _run("pwd", folder=str(entered)).word == "success"
    assert _run("pwd", folder=str(entered), cwd=str(tmp_path)).word == "success"
    assert opened == []


def test_a_folder_is_named_as_the_user_entered_it(tmp_path, monkeypatch):
    (tmp_path / "release").mkdir()
    (tmp_path / "current").symlink_to("release")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert environment.here() == str(tmp_path / "current")
    monkeypatch.setenv("PWD", "/")
    assert environment.here() == str(tmp_path / "release")


def test_a_folder_that_was_deleted_is_said_in_a_sentence(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(Unavailable, match="no longer exists"):
        environment.here()


def test_a_command_that_the_locale_cannot_hold_runs_as_utf8():
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    bare |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = (
        "from workers import command as c\n"
        "done = c.run(c.Order('printf \\u2192', {}), [], lambda: None, lambda *_: None)\n"
        "assert done.ending.stdout.data == '\\u2192'.encode(), done"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_job_gets_environment_umask_and_folder_of_who_started_the_workers(queue, tmp_path, monkeypatch):
    (tmp_path / "started").mkdir()
    monkeypatch.chdir(tmp_path / "started")
    monkeypatch.delenv("PWD", raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setitem(os.environb, b"NAME", b"caf\xe9")
    monkeypatch.setattr(environment, "_given_umask", None)  # as in a process that has not made its own private yet
    before = os.umask(0o027)
    try:
        queue.start()
    finally:
        os.umask(before)
    look = queue.add('umask; pwd; env | grep -c ^NOTIFY_; test "$NAME" = "$(printf "caf\\351")" && echo kept')
    queue.wait_for(look, "completed", "failed")
    assert queue.printed(look).split() == ["0027", str(tmp_path / "started"), "0", "kept"]
    assert roster.folder() == str(tmp_path / "started")
    with open(f"/proc/{queue.supervisor_pid()}/status") as status:
        assert [line.split()[1] for line in status if line.startswith("Umask")] == ["0077"]
    with open(f"/proc/{queue.supervisor_pid()}/environ", "rb") as environ:
        assert b"NOTIFY_SOCKET" not in environ.read()
