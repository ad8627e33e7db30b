"""`python -m benchmarks.tabs PORT TABS SECONDS`: open tabs that poll as the pages tell them to. Prints the polls a second.

Each has one of the polled pages open and asks every two seconds for its piece, at the address that the last answer gave.
Threads with a connection each serve the tabs in turn; a tab that is late is late, as in a browser whose connections are
all in use.
"""

from __future__ import annotations

import html
import re
import sys
import time
from threading import Thread

from benchmarks import panel, site

EVERY_S = 2.0
THREADS = 8


class Tab:
    """One open page."""

    def __init__(self, client: site.Client, path: str):
        self.client = client
        self.address = path
        self._look(client.get(path)[1])

    def poll(self) -> None:
        self._look(self.client.get(self.address, piece=True)[1])

    def _look(self, shown: str) -> None:
        """Find where the next poll goes; an answer without a body leaves all as it is."""
        if found := re.search(r'data-poll hx-get="([^"]+)"', shown):
            self.address = html.unescape(found[1])


def main(port: int, tabs: int, seconds: float) -> None:
    polls: list[int] = []
    threads = [Thread(target=_watch, args=(port, tabs // THREADS or 1, seconds, polls)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(polls) / seconds)


def _watch(port: int, count: int, seconds: float, polls: list[int]) -> None:
    client = site.Client(port)
    began = time.monotonic()
    tabs = [Tab(client, panel.POLLED[number % len(panel.POLLED)]) for number in range(count)]
    done = 0
    while (due := began + done * EVERY_S / count) < began + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        if time.monotonic() > began + seconds:
            break
        tabs[done % count].poll()
        done += 1
    polls.append(done)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
