"""`python -m benchmarks.tabs PORT TABS`: open tabs that poll as the pages tell them to. Says "open" when all are open.

Each has one of the polled pages open, in a session of its own, and asks every two seconds for its piece, at the address
that the last answer gave; when an answer asks it to wait longer it does, as static/app.js does. Threads with a connection
each serve the tabs in turn; a tab that is late is late, as in a browser whose connections are all in use.

They poll after a line "poll" on standard input and rest after "rest", as tabs out of sight do. To each line they answer with
the polls a second since the line before. They leave at its end.
"""

from __future__ import annotations

import html
import os
import re
import sys
import threading
import time
import traceback
from threading import Barrier, Event, Thread

from benchmarks import panel, site

EVERY_S = 2.0
EARLY_S = 0.5  # so much earlier than it was asked to a tab may ask again
THREADS = 8


class Tab:
    """One open page, in a session of its own."""

    def __init__(self, client: site.Client, path: str):
        self.client = client
        self.cookies: dict[str, str] = {}
        self.address = path
        self.not_before = 0.0
        self._ask(piece=False)

    def poll(self) -> bool:
        """Ask for the piece, unless it is too early; whether it asked."""
        if time.monotonic() < self.not_before:
            return False
        self._ask(piece=True)
        return True

    def _ask(self, piece: bool) -> None:
        """Find where the next poll goes; an answer without a body leaves all as it is."""
        self.client.cookies = self.cookies
        shown = self.client.get(self.address, piece)[1]
        self.not_before = time.monotonic() + self.client.wait_s - EARLY_S
        if found := re.search(r'data-poll hx-get="([^"]+)"', shown):
            self.address = html.unescape(found[1])


class Room:
    """What the threads share: whether tabs poll, whether all is over, and a mark for each poll."""

    def __init__(self) -> None:
        self.polling, self.over = Event(), Event()
        self.polls: list[None] = []
        self.all_open = Barrier(THREADS, action=lambda: print("open", flush=True))


def main(port: int, tabs: int) -> None:
    threading.excepthook = _give_up
    room = Room()
    for _ in range(THREADS):
        Thread(target=_watch, args=(port, tabs // THREADS or 1, room)).start()
    told, told_at = 0, time.monotonic()
    for line in sys.stdin:
        (room.polling.clear if line == "rest\n" else room.polling.set)()
        polls, now = len(room.polls), time.monotonic()
        print((polls - told) / (now - told_at), flush=True)
        told, told_at = polls, now
    room.over.set()
    room.polling.set()


def _give_up(failure: threading.ExceptHookArgs) -> None:
    """A thread failed: say why and leave, for the others would wait for it."""
    traceback.print_exception(failure.exc_value)
    os._exit(1)


def _watch(port: int, count: int, room: Room) -> None:
    client = site.Client(port)
    tabs = [Tab(client, panel.POLLED[number % len(panel.POLLED)]) for number in range(count)]
    room.all_open.wait()
    due, turn = time.monotonic(), 0
    while not room.over.is_set():
        if not room.polling.is_set():
            room.polling.wait()
            due = time.monotonic()  # what fell due meanwhile is not made up for
            continue
        time.sleep(max(0.0, due - time.monotonic()))
        if tabs[turn % count].poll():
            room.polls.append(None)
        due += EVERY_S / count
        turn += 1


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
