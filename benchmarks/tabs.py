"""`python -m benchmarks.tabs PORT TABS SECONDS`: open tabs that poll as the pages tell them to. Says "open" when all are
open, polls so many seconds and prints the polls a second.

Each has one of the polled pages open, in a session of its own, and asks every two seconds for its piece, at the address
that the last answer gave; when an answer asks it to wait longer it does, as static/app.js does. Threads with a connection
each serve the tabs in turn; a tab that is late is late, as in a browser whose connections are all in use.
"""

from __future__ import annotations

import html
import re
import sys
import time
from threading import Barrier, Thread

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


def main(port: int, tabs: int, seconds: float) -> None:
    polls: list[int] = []
    all_open = Barrier(THREADS, action=lambda: print("open", flush=True))
    threads = [
        Thread(target=_watch, args=(port, tabs // THREADS or 1, seconds, all_open, polls)) for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(polls) / seconds)


def _watch(port: int, count: int, seconds: float, all_open: Barrier, polls: list[int]) -> None:
    client = site.Client(port)
    tabs = [Tab(client, panel.POLLED[number % len(panel.POLLED)]) for number in range(count)]
    all_open.wait()
    began = time.monotonic()
    turn = asked = 0
    while (due := began + turn * EVERY_S / count) < began + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        if time.monotonic() > began + seconds:
            break
        asked += tabs[turn % count].poll()
        turn += 1
    polls.append(asked)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
