"""Whose the files of a database are: what another user owns, may write or prepared is refused, with the command to type."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import models
from engine import health, locks, ownership
from engine.errors import Unavailable
from views import guards
from workers import control, doctor

NOBODY = 65534


@pytest.fixture
def path(tmp_path) -> str:
    """A database that was made and is not open."""
    found = str(tmp_path / "q.db")
    models.connect(found)
    models.disconnect()
    return found


def _loosen(path: str, name: str, mode: int) -> str:
    os.chmod(f"{path}{name}", mode)
    return f"{path}{name}"


def _link(path: str, name: str) -> str:
    Path(f"{path}.victim").write_text("precious")
    Path(f"{path}{name}").unlink(missing_ok=True)
    os.symlink(f"{path}.victim", f"{path}{name}")
    return f"{path}{name}"


@pytest.mark.parametrize(
    ("spoil", "command"),
    [
        (lambda path: _loosen(path, "", 0o666), "chmod go-w"),
        (lambda path: _loosen(path, ".run", 0o777), "chmod go-w"),
        (lambda path: _loosen(path, ".run/open.lock", 0o622), "chmod go-w"),
        (lambda path: _link(path, ".run/open.lock"), "rm"),
        (lambda path: _link(path, "-wal"), "rm"),
    ],
)
def test_what_others_may_write_or_made_a_link_is_refused_with_the_command(path, spoil, command):
    spoilt = spoil(path)
    with pytest.raises(Unavailable) as refused:
        models.connect(path)
    assert str(refused.value).startswith(f"{spoilt} ")
    assert str(refused.value).endswith(f"; type: {command} {spoilt}")


def test_a_database_of_another_user_is_refused(path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(path).st_uid + 1)
    with pytest.raises(Unavailable, match=r"belongs to the user .*; type: sudo chown "):
        models.connect(path)


@pytest.mark.parametrize("name", ["supervisor.lock", "panel.key", "supervisor.log"])
def test_no_link_in_the_run_folder_is_followed(path, name):
    models.connect(path)
    spoilt = _link(path, f".run/{name}")
    use = {
        "supervisor.lock": control.supervisor_lives,
        "panel.key": lambda: guards.secret_key(f"{path}.run"),
        "supervisor.log": lambda: ownership.make(spoilt, os.O_WRONLY | os.O_APPEND),
    }
    with pytest.raises(Unavailable, match="is a link"):
        use[name]()
    assert Path(f"{path}.victim").read_text() == "precious"


def test_a_file_with_two_names_is_refused(path, tmp_path):
    os.link(path, tmp_path / "other.db")
    for name in (path, str(tmp_path / "other.db")):
        with pytest.raises(Unavailable, match="has 2 names"):
            models.connect(name)


def test_doctor_names_all_faults_and_mends_what_is_this_users(path):
    loose = [_loosen(path, name, 0o666) for name in ("", ".run/open.lock")]
    _loosen(path, ".run", 0o777)
    said = health.permissions(path)
    assert said.verdict == health.PROBLEM
    assert all(name in said.says for name in loose)
    done = doctor.mend(path)
    assert len(done) == 3
    assert health.permissions(path).verdict == health.OK
    assert [stat.S_IMODE(os.stat(name).st_mode) for name in (*loose, f"{path}.run")] == [0o600, 0o600, 0o700]


def test_what_root_makes_belongs_to_the_owner_of_the_database(tmp_path, monkeypatch):
    """With real files when root runs the tests; otherwise the calls of chown are recorded."""
    if os.geteuid() != 0:
        given = []
        monkeypatch.setattr(ownership, "_is_root", lambda: True)
        monkeypatch.setattr(ownership, "_owner", lambda path: (NOBODY, NOBODY))
        monkeypatch.setattr(os, "fchown", lambda fd, *owner: given.append(owner))
        os.close(ownership.make(str(tmp_path / "lock")))
        ownership.make_folder(str(tmp_path / "folder"), str(tmp_path))
        assert given == [(NOBODY, NOBODY)] * 2
        return
    path = tmp_path / "q.db"
    path.touch(mode=0o600)
    os.chown(path, NOBODY, NOBODY)
    look = (
        "import models; from workers import control, locks; from engine import wakeup\n"
        f"models.connect({str(path)!r}); models.Config.select().exists(); folder = models.run_folder()\n"
        "lock = locks.take(locks.of_supervisor(folder)); ear = wakeup.listen(folder); models.now_ms()\n"
        "import os; made = [folder, *(os.path.join(folder, name) for name in os.listdir(folder))]\n"
        "print({os.lstat(one).st_uid for one in made}, len(made) > 3)\n"
    )
    done = subprocess.run([sys.executable, "-c", look], cwd=models.ROOT, capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == f"{{{NOBODY}}} True", done.stderr


def test_a_lock_that_another_user_left_is_named(path, monkeypatch):
    """As root left it: who owns the files is what the system says of them, so that is changed here."""
    models.connect(path)
    name = locks.of_supervisor(f"{path}.run")
    os.close(ownership.make(name))
    found = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((*found(fd)[:4], found(fd).st_uid + 1, *found(fd)[5:])))
    with pytest.raises(Unavailable, match=r"supervisor\.lock belongs to .*; type: sudo chown "):
        control.supervisor_lives()
