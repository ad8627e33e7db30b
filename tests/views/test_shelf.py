"""Kept pieces: how old they may be, what rendering may cost, and that nobody renders what another is rendering."""

from __future__ import annotations

from threading import Event, Thread

import pytest

from tests.support import wait_until
from views import shelf
from views.shelf import Piece, Shelf


class Watch:
    """Time that passes when a test says so; `busy` is what the thread has spent."""

    def __init__(self):
        self.now = 100.0
        self.busy = 0.0


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def kept(watch):
    return Shelf(lambda: watch.now, lambda: watch.busy, cores=4)


def piece(text: str) -> Piece:
    return Piece(text, "digest", 0, "title", 0, False)


def making(watch: Watch, text: str, busy: float = 0.0):
    """What renders this text in so many seconds of processor time."""

    def make(old):
        watch.busy += busy
        return piece(text)

    return make


def test_a_young_piece_is_given_again_and_an_older_one_is_made_anew(kept, watch):
    assert kept.take("a", making(watch, "first")).text == "first"
    watch.now += 0.9
    assert kept.take("a", making(watch, "second")).text == "first"
    watch.now += 0.2
    assert kept.take("a", making(watch, "second")).text == "second"


def test_each_address_has_its_own(kept, watch):
    assert kept.take("a", making(watch, "of a")).text == "of a"
    assert kept.take("b", making(watch, "of b")).text == "of b"


def test_who_wants_it_fresh_gets_it_fresh_and_so_do_all_after_it(kept, watch):
    kept.take("a", making(watch, "first"))
    assert kept.renew("a", making(watch, "second")).text == "second"
    assert kept.take("a", making(watch, "third")).text == "second"


def test_an_older_piece_does_only_while_the_allowance_is_spent(kept, watch):
    kept.take("a", making(watch, "first", busy=0.55))  # half a second was saved up
    watch.now += 1.5
    assert kept.take("a", making(watch, "second")).text == "first"
    watch.now += 1.1  # a fiftieth of a second each: the debt is paid after two and a half
    assert kept.take("a", making(watch, "second")).text == "second"


def test_no_piece_is_older_than_the_limit_whatever_rendering_costs(kept, watch):
    kept.take("a", making(watch, "first", busy=60.0))
    watch.now += 9.9
    assert kept.take("a", making(watch, "second", busy=60.0)).text == "first"
    watch.now += 0.2
    assert kept.take("a", making(watch, "second", busy=60.0)).text == "second"


def test_the_age_counts_from_the_begin_of_the_rendering(kept, watch):
    def slow(old):
        watch.now += 5.0
        return piece("slow")

    kept.take("a", slow)
    assert kept.take("a", making(watch, "next")).text == "next"


def test_a_rendering_that_fails_leaves_nothing_and_stands_in_nobodys_way(kept, watch):
    with pytest.raises(ZeroDivisionError):
        kept.take("a", lambda old: 1 / 0)
    assert kept.take("a", making(watch, "first")).text == "first"


def test_what_is_made_anew_may_be_made_out_of_the_old(kept, watch):
    kept.take("a", making(watch, "first"))
    watch.now += 2.0
    assert kept.take("a", lambda old: old._replace(made_at=7)) == piece("first")._replace(made_at=7)


def test_the_longest_unchanged_leave_when_there_are_too_many_or_too_much(kept, watch, monkeypatch):
    monkeypatch.setattr(shelf, "MOST_PIECES", 3)
    monkeypatch.setattr(shelf, "MOST_CHARACTERS", 100)
    for name in "abcd":
        kept.take(name, making(watch, name))
    assert kept.take("b", making(watch, "new")).text == "b"
    assert kept.take("a", making(watch, "new")).text == "new"
    kept.take("e", making(watch, "x" * 98))
    assert kept.take("d", making(watch, "new")).text == "new"
    assert kept.take("f", making(watch, "x" * 101)).text  # too long to keep, not to show
    assert kept.take("f", making(watch, "again")).text == "again"


class Slow:
    """A rendering that goes on until it is let go, in a thread of its own."""

    def __init__(self, kept: Shelf, text: str):
        self.begun, self.go_on = Event(), Event()
        self.text = text
        self.thread = Thread(target=kept.take, args=("a", self.make))
        self.thread.start()
        assert self.begun.wait(10)

    def make(self, old):
        self.begun.set()
        assert self.go_on.wait(10)
        return piece(self.text)

    def end(self) -> None:
        self.go_on.set()
        self.thread.join()


def test_while_one_renders_the_others_take_the_old_piece(kept, watch):
    kept.take("a", making(watch, "first"))
    watch.now += 5.0
    slow = Slow(kept, "second")
    assert kept.take("a", making(watch, "third")).text == "first"
    slow.end()
    assert kept.take("a", making(watch, "third")).text == "second"


def test_without_an_old_piece_the_others_wait_for_the_one_that_renders(kept, watch):
    slow, found = Slow(kept, "first"), []
    other = Thread(target=lambda: found.append(kept.take("a", making(watch, "second")).text))
    other.start()
    wait_until(lambda: kept._changed._waiters)
    slow.end()
    other.join()
    assert found == ["first"]
