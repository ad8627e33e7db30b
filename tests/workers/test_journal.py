"""What a worker says of the runs it holds is known after its death, whatever instant that came at."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys

import pytest

import models
from engine.jobs import Claim, Ended, Ending
from engine.output import Output
from tests.support import wait_until
from tests.workers.test_hand import full_disk
from workers import journal
from workers.journal import Journal, Writer

LIFE = "instance life"
EVERY_BYTE = bytes(range(256))
ENDING = Ending(-9, "killed by SIGKILL", 3, 1, 2, 4096, Output(EVERY_BYTE, 300, 64), Output(b"\n\0", 2, None))


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "w1.hand")


QUIET = Ending(0, None, 3, 1, 2, 4096)


def _claim(pk: int, run: int = 1) -> Claim:
    return Claim(pk, f"j{pk}", run, 0, 0, 3, None, None, None, "true", "w1", "here", 1000 + pk)


def _ended(held: Claim) -> Ended:
    return Ended(held, "failed", ENDING, 2000 + held.pk)


def _succeeded(held: Claim, ending: Ending = QUIET) -> Ended:
    return Ended(held, "success", ending, 2000 + held.pk)


def test_it_says_who_has_begun_and_how_it_ended(path):
    first, second, third = map(_claim, range(3))
    writer = Writer(path, LIFE)
    assert writer.begin(first)
    assert writer.end(_ended(first))
    assert writer.begin(second)
    found = Journal(path, LIFE)
    assert [found.has_begun(held, among=3) for held in (first, second, third)] == [True, True, False]
    assert [found.end_of(held) for held in (first, second, third)] == [_ended(first), None, None]


@pytest.mark.parametrize("end", [_ended, _succeeded])
def test_an_end_and_the_next_beginning_are_said_at_once(path, end):
    first, second = map(_claim, range(2))
    writer = Writer(path, LIFE)
    writer.begin(first)
    begun = writer.used
    assert writer.begin(second, end(first))
    whole = writer.used
    assert (Journal(path, LIFE).begun, Journal(path, LIFE).end_of(first)) == ({(0, 1), (1, 1)}, end(first))
    for length in range(begun, whole):
        _cut_off(path, length)
        assert (Journal(path, LIFE).begun, Journal(path, LIFE).end_of(first)) == ({(0, 1)}, None)


def test_who_succeeded_without_a_word_takes_a_third_of_the_room(path):
    writer = Writer(path, LIFE)
    writer.begin(_claim(0))
    used = []
    for pk, end in enumerate((_ended, _succeeded, _succeeded), 1):
        before = writer.used
        writer.begin(_claim(pk), end(_claim(pk - 1)))
        used.append(writer.used - before)
    assert used[1] == used[2] < used[0] / 3


@pytest.mark.parametrize(
    "ending",
    [
        QUIET._replace(max_rss_kb=2**40, duration_ms=2**40),
        QUIET._replace(return_code=None),
        QUIET._replace(user_ms=None),
        QUIET._replace(error="a word"),
        QUIET._replace(stdout=Output(b"x", 1)),
        QUIET._replace(stderr=Output(b"", 4, 0)),
    ],
)
def test_whatever_is_known_of_a_success_is_said(path, ending):
    first, second = map(_claim, range(2))
    Writer(path, LIFE).begin(second, run := _succeeded(first, ending))
    assert Journal(path, LIFE).end_of(first) == run
    Writer(path, LIFE).begin(second, run := run._replace(started_at=None))
    assert Journal(path, LIFE).end_of(first) == run


def test_what_a_worker_of_the_version_before_said_is_understood(path):
    first, second, third = map(_claim, range(3))
    writer = Writer(path, "")
    writer._head, writer.used = b"", 0
    for held in (first, second):
        writer._add(marshal.dumps((held.pk, held.run), 2))
        if held == first:
            writer._add(marshal.dumps(journal._values(_ended(first)), 2))
    found = Journal(path, "")
    assert [found.has_begun(held, among=3) for held in (first, second, third)] == [True, True, False]
    assert [found.end_of(held) for held in (first, second)] == [_ended(first), None]


def test_it_has_room_for_what_it_says_it_has(path):
    """Whatever its length: the longest end of a run is a line of 200 of the largest characters."""
    ending = ENDING._replace(
        error="\N{GRINNING FACE}" * 250, stdout=Output(b"x" * 900, 900), stderr=Output(b"y" * 100, 100)
    )
    writer = Writer(path, LIFE)
    pk = 0
    while writer.used + 1000 <= journal.ROOM:
        pk += 1
        assert writer.begin(_claim(pk), Ended(_claim(pk), "failed", ending))
    assert pk > journal.SIZE // 4096


def test_an_end_is_that_of_its_run_alone(path):
    writer = Writer(path, LIFE)
    writer.begin(_claim(1, run=4))
    writer.end(_ended(_claim(1, run=4)))
    assert Journal(path, LIFE).end_of(_claim(1, run=5)) is None
    assert not Journal(path, LIFE).has_begun(_claim(1, run=5), among=1)


def test_of_several_of_which_nothing_is_said_none_has_begun(path):
    assert not Journal(path, LIFE).has_begun(_claim(1), among=2)


def test_of_whom_nothing_is_known_the_one_job_has_begun(path):
    assert Journal(path, LIFE).has_begun(_claim(1), among=1)


def test_who_said_nothing_has_begun_nothing(path):
    Writer(path, LIFE)
    assert not Journal(path, LIFE).has_begun(_claim(1), among=1)


def test_who_cannot_say_it_has_begun_what_it_holds(path):
    Writer(path, LIFE).disown()
    assert Journal(path, LIFE).has_begun(_claim(1), among=1)


@pytest.mark.parametrize("other", ["", "instance other", "other life"])
def test_what_another_worker_of_the_same_number_said_is_ignored(path, other):
    writer = Writer(path, other)
    writer.begin(_claim(2), _ended(_claim(1)))
    found = Journal(path, LIFE)
    assert (found.begun, found.end_of(_claim(1))) == (set(), None)
    assert found.has_begun(_claim(3), among=1)


def test_what_is_forgotten_is_gone_and_the_next_begins_anew(path):
    writer = Writer(path, LIFE)
    for held in (first := _claim(1), second := _claim(2)):
        writer.begin(held)
        writer.end(_ended(held))
    writer.forget()
    assert not Journal(path, LIFE).begun
    writer.begin(third := _claim(3))
    found = Journal(path, LIFE)
    assert [found.has_begun(held, among=3) for held in (first, second, third)] == [False, False, True]


def test_a_worker_that_takes_the_number_of_another_finds_nothing_of_it(path):
    Writer(path, LIFE).begin(_claim(1))
    Writer(path, LIFE)
    assert not Journal(path, LIFE).begun


def test_what_has_no_room_is_refused_and_spoils_nothing(path):
    writer = Writer(path, LIFE)
    runs = [_ended(_claim(pk)) for pk in range(journal.SIZE // 256)]
    said = [writer.end(run) for run in runs]
    fitted = said.index(False)
    assert not any(said[fitted:])
    found = Journal(path, LIFE)
    assert [found.end_of(run.held) for run in runs] == [*runs[:fitted], *[None] * (len(runs) - fitted)]
    writer.forget()
    assert writer.end(runs[-1])


def test_on_a_full_disk_nothing_can_be_said_until_there_is_room(path, monkeypatch):
    writer = Writer(path, LIFE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_disk)
        assert not writer.begin(_claim(1))
    assert writer.begin(_claim(1))


def test_a_file_that_is_too_short_for_it_is_not_used(path, monkeypatch):
    """To store beyond the end of a file would kill the process."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:100]))
    assert not Writer(path, LIFE).begin(_claim(1))


def _said(path: str) -> tuple[int, list[tuple[int, int]]]:
    """Three records, and how many bytes they are."""
    writer = Writer(path, LIFE)
    for pk in (1, 2, 3):
        writer.begin(_claim(pk, run=pk))
    return writer.used, [(1, 1), (2, 2), (3, 3)]


def _cut_off(path: str, length: int) -> None:
    with open(path, "rb") as file:
        data = file.read(length)
    with open(path, "wb") as file:
        file.write(data.ljust(journal.SIZE, b"\xff"))


def test_a_record_that_was_cut_off_says_nothing_and_spoils_none_before_it(path):
    used, said = _said(path)
    for length in range(used):
        _cut_off(path, length)
        begun = Journal(path, LIFE).begun
        assert begun == set(said[: len(begun)])
        assert len(begun) < len(said)
        _said(path)


def test_what_a_power_failure_left_is_not_believed(path):
    """Any byte may be another one then."""
    used, said = _said(path)
    with open(path, "rb") as file:
        whole = file.read()
    for place in range(used):
        spoiled = bytearray(whole)
        spoiled[place] ^= 0xFF
        with open(path, "wb") as file:
            file.write(spoiled)
        begun = Journal(path, LIFE).begun
        assert begun == set(said[: len(begun)])
        assert len(begun) < len(said)


_WRITE_FOR_EVER = """
import sys
from tests.workers.test_journal import LIFE, _claim, _ended
from workers.journal import Writer

writer, pk = Writer(sys.argv[1], LIFE), 0
print("begun", flush=True)
while True:
    writer.forget()
    writer.begin(_claim(pk := pk + 1))
    for _ in range(20):
        pk += 1
        writer.begin(_claim(pk), _ended(_claim(pk - 1)))
    writer.end(_ended(_claim(pk)))
"""


@pytest.mark.parametrize("number", range(8))
def test_killed_at_any_instant_it_says_nothing_that_is_not_so(path, number):
    words = [sys.executable, "-c", _WRITE_FOR_EVER, path]
    with subprocess.Popen(words, cwd=models.ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        wait_until(lambda: len(Journal(path, LIFE).begun) > number)
        process.kill()
    found = Journal(path, LIFE)
    begun = sorted(pk for pk, _ in found.begun)
    assert begun == list(range(min(begun, default=0), max(begun, default=-1) + 1))
    ended = [pk for pk in begun if found.end_of(_claim(pk))]
    assert ended in (begun, begun[:-1])
    assert all(found.end_of(_claim(pk)) == _ended(_claim(pk)) for pk in ended)
