"""The log stays small, keeps what was said last, follows its name, and counts lines that repeat."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import models
import workers
from engine.errors import Unavailable
from tests.support import wait_until
from workers import log


@pytest.fixture
def repeats() -> log._Repeats:
    return log._Repeats()


def said(repeats: log._Repeats, *lines: tuple[float, str]) -> list[str]:
    return [written for now, line in lines for written in repeats.lines(line, now)]


def test_a_line_that_repeats_is_counted(repeats):
    every = [(now / 10, "w1: it fails") for now in range(601)]
    assert said(repeats, *every) == ["w1: it fails", "w1: it fails … repeated 599 times", "w1: it fails"]


def test_lines_that_come_by_turns_are_counted_each(repeats):
    turns = [(now, f"w1: {'ab'[now % 2]}") for now in range(40)]
    assert said(repeats, *turns) == ["w1: a", "w1: b"]
    assert list(repeats.rest()) == ["w1: a … repeated 19 times", "w1: b … repeated 19 times"]


def test_what_was_said_once_is_said_again_without_a_count(repeats):
    assert said(repeats, (0, "w1: a"), (100, "w1: b"), (200, "w1: a")) == ["w1: a", "w1: b", "w1: a"]
    assert list(repeats.rest()) == []


def test_of_many_different_lines_each_is_written(repeats):
    many = [(0.0, f"w1: {number}") for number in range(1000)]
    assert said(repeats, *many) == [line for _, line in many]
    assert len(repeats.said) <= 16


def test_a_traceback_is_counted_by_its_last_line(repeats):
    assert said(repeats, *[(0.0, "supervisor: Traceback\n  line\nKeyError: 1\n")] * 3) == [
        "supervisor: Traceback\n  line\nKeyError: 1\n"
    ]
    assert list(repeats.rest()) == ["KeyError: 1 … repeated 2 times"]


WRITE = """
import os, sys
from workers import log
log.LIMIT = 10_000
log.keep_in(sys.argv[1])
"""


def write(path: Path, lines: str) -> None:
    """A process whose standard error is the log at `path`."""
    with path.open("ab") as file:
        program = [sys.executable, "-c", WRITE + lines, str(path)]
        subprocess.run(program, cwd=models.ROOT, stdout=file, stderr=file, check=True)


def test_the_log_is_bounded_while_it_is_written_and_its_last_part_is_kept(tmp_path):
    path = tmp_path / "supervisor.log"
    write(path, "for number in range(1000): log.say('w1', f'line {number} ' + 'x' * 50)")
    kept = Path(f"{path}.1").read_text() + path.read_text()
    numbers = [int(line.split()[3]) for line in kept.splitlines()]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["supervisor.log", "supervisor.log.1"]
    assert numbers == list(range(numbers[0], 1000))
    assert 10_000 < len(kept) < 21_000


def test_processes_that_share_the_log_follow_each_other_into_the_new_file(tmp_path):
    path = tmp_path / "supervisor.log"
    write(
        path,
        """
pids = [os.fork() for _ in range(2)]
for number in range(300): log.say(f"w{os.getpid()}", f"{number} " + "x" * 20)
if all(pids):
    for pid in pids: os.waitpid(pid, 0)
log.say("last", "one")
""",
    )
    kept = Path(f"{path}.1").read_text() + path.read_text()
    assert "last: one" in path.read_text().splitlines()[-1]
    assert all(line.count(": ") == 1 for line in kept.splitlines())


def test_a_log_that_was_moved_away_is_made_again_with_the_next_line(tmp_path):
    path = tmp_path / "supervisor.log"
    write(path, f"log.say('a', '1'); os.rename({str(path)!r}, {str(path)!r} + '.old'); log.say('b', '2')")
    assert "a: 1" in Path(f"{path}.old").read_text()
    assert path.read_text().endswith("b: 2\n")


def test_a_symlink_in_the_place_of_the_log_is_not_followed(tmp_path):
    path, victim = tmp_path / "supervisor.log", tmp_path / "victim"
    victim.write_text("")
    write(path, f"os.unlink({str(path)!r}); os.symlink({str(victim)!r}, {str(path)!r}); log.say('b', '2')")
    assert victim.read_text() == ""


def test_standard_error_that_is_no_log_is_left_alone(tmp_path):
    other = tmp_path / "other"
    write(
        other,
        "log.keep_in(sys.argv[1] + '.log'); os.rename(sys.argv[1], sys.argv[1] + '.old'); log._path = None\n"
        "log.reopen(); log.say('a', '1')",
    )
    assert not other.exists()


def test_a_hangup_lets_the_supervisor_reopen_its_log(queue):
    queue.start(1)
    path = Path(workers.log_path())
    path.rename(f"{path}.old")
    os.kill(queue.supervisor_pid(), signal.SIGHUP)
    wait_until(path.exists)
    queue.start(1)
    wait_until(lambda: "started w2" in path.read_text())
    assert "started w1" in Path(f"{path}.old").read_text()


def test_a_new_supervisor_keeps_the_last_part_of_a_full_log(queue):
    path = Path(workers.log_path())
    path.write_text("x" * log.LIMIT + "\nthe last words before the crash\n")
    queue.start(1)
    assert Path(f"{path}.1").read_text().endswith("the last words before the crash\n")
    assert "started w1" in path.read_text()


def test_trouble_is_over_only_when_something_can_be_written(capfd, monkeypatch):
    monkeypatch.setattr(log, "_repeats", log._Repeats())  # what other tests said is not counted here

    def refuse() -> None:
        raise Unavailable("locked")

    trouble = log.Trouble("supervisor")
    trouble.say("It is locked.")
    with pytest.raises(Unavailable):
        trouble.over(refuse)
    trouble.say("It is locked.")
    assert capfd.readouterr().err.count("\n") == 1
    trouble.over()
    assert "can be used again" in capfd.readouterr().err
