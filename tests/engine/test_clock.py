"""A system clock that is set: back, forward, forward for long, and as seen by a process that starts meanwhile."""

from __future__ import annotations

import pytest

from engine import clock

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Machine:
    """A machine's two clocks, in milliseconds, and one process that reads them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: str):
        self.wall, self.since_boot = 1_760_000_000_000, 5_000
        self.boot = "boot-1"
        monkeypatch.setattr(clock, "_read_clocks", lambda: (self.wall, self.since_boot))
        monkeypatch.setattr(clock, "_boot", lambda: self.boot)
        monkeypatch.setattr(clock, "_file", None)
        monkeypatch.setattr(clock, "_known", None)
        self.monkeypatch = monkeypatch
        clock.keep_in(folder)

    def step(self, ms: int) -> None:
        """Somebody sets the clock."""
        self.wall += ms

    def pass_by(self, ms: int) -> None:
        """Time passes."""
        self.wall += ms
        self.since_boot += ms

    def start_process(self) -> None:
        """Another process reads the clocks from now on; it remembers nothing."""
        self.monkeypatch.setattr(clock, "_known", None)


@pytest.fixture
def machine(monkeypatch, tmp_path) -> Machine:
    found = Machine(monkeypatch, str(tmp_path))
    assert clock.now_ms() == found.wall
    return found


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "new process"])
def test_a_step_forward_is_followed_when_it_has_stood_for_an_hour(machine, restarted):
    true = machine.wall
    machine.step(40 * DAY)
    assert clock.now_ms() == true
    machine.pass_by(HOUR - 1)
    if restarted:
        machine.start_process()
    assert clock.now_ms() == true + HOUR - 1
    assert clock.doubt() == clock.Doubt(40 * DAY, true + HOUR)
    machine.pass_by(1)
    assert clock.now_ms() == machine.wall
    assert clock.doubt() is None


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "new process"])
def test_a_step_forward_that_is_taken_back_leaves_no_trace(machine, restarted):
    true = machine.wall
    machine.step(40 * DAY)
    clock.now_ms()
    machine.pass_by(MINUTE)
    machine.step(-40 * DAY)
    if restarted:
        machine.start_process()
    assert clock.now_ms() == true + MINUTE
    assert clock.doubt() is None


def test_the_hour_begins_again_with_each_step(machine):
    true = machine.wall
    machine.step(DAY)
    clock.now_ms()
    machine.pass_by(HOUR - MINUTE)
    machine.step(DAY)
    clock.now_ms()
    machine.pass_by(HOUR - MINUTE)
    assert clock.now_ms() == true + 2 * (HOUR - MINUTE)
    machine.pass_by(MINUTE)
    assert clock.now_ms() == machine.wall


def test_a_step_back_and_a_short_step_forward_are_followed_at_once(machine):
    machine.step(-DAY)
    assert clock.now_ms() == machine.wall
    for _ in range(5):
        machine.step(MINUTE)
        assert clock.now_ms() == machine.wall


def test_a_process_that_starts_after_short_steps_believes_the_clock(machine):
    for _ in range(5):
        machine.step(MINUTE - 1)
        clock.now_ms()
    machine.start_process()
    assert clock.now_ms() == machine.wall


def test_a_person_may_say_that_the_clock_is_right_and_all_processes_follow(machine):
    machine.step(DAY)
    clock.now_ms()
    remembered = clock._known
    clock.follow_now()
    machine.monkeypatch.setattr(clock, "_known", remembered)  # a process that still doubts
    machine.pass_by(1000)
    assert clock.now_ms() == machine.wall


def test_after_a_boot_the_clock_is_believed(machine):
    machine.boot, machine.since_boot = "boot-2", 1_000
    machine.step(3 * DAY)
    machine.start_process()
    assert clock.now_ms() == machine.wall


@pytest.mark.parametrize("text", ["", "boot-1", "boot-1 x y z", "\0\0\0"])
def test_a_file_that_cannot_be_read_says_nothing(machine, tmp_path, text):
    (tmp_path / "clock").write_text(text)
    machine.step(DAY)
    machine.start_process()
    assert clock.now_ms() == machine.wall


def test_without_a_folder_a_process_remembers_by_itself(monkeypatch, tmp_path):
    machine = Machine(monkeypatch, str(tmp_path / "none"))
    true = machine.wall
    clock.now_ms()
    machine.step(DAY)
    assert clock.now_ms() == true
    machine.pass_by(HOUR)
    assert clock.now_ms() == machine.wall
    assert not (tmp_path / "none").exists()
