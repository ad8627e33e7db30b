"""A browser tab that tells on the page: errors on its console, requests to anybody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Request, expect

from tests.browser.served import Site
from tests.support import wait_until

PATIENCE_MS = 20_000
# htmx writes these when a check is given up because the reader types on. Beside a real error the second says nothing new.
_GIVEN_UP = ("htmx:sendAbort", "htmx:afterRequest")


class Tab:
    """A page of `site` with (or without) JavaScript."""

    def __init__(self, site: Site, context: BrowserContext, script: bool = True):
        self.site = site
        self.script = script
        self.page = context.new_page()
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self._note_request)

    def open(self, path: str) -> None:
        self.page.goto(self.site.url + path)

    def see(self, what: str | Locator) -> Locator:
        """Wait until this can be seen; without JavaScript, reload as a person would."""
        locator = self.page.get_by_text(what).first if isinstance(what, str) else what
        if self.script:
            expect(locator).to_be_visible(timeout=PATIENCE_MS)
        elif not locator.is_visible():
            wait_until(lambda: self.page.reload() and locator.is_visible(), step_s=0.2)
        return locator

    def press(self, name: str) -> None:
        """Press the button or follow the link of this name."""
        button = self.page.get_by_role("button", name=name, exact=True)
        link = self.page.get_by_role("link", name=name, exact=True)
        self.follow(button.or_(link).first)

    def follow(self, what: Locator) -> None:
        """Click what leads to a page. Without JavaScript, wait until all of it is there.

        A click returns when the new page begins; whoever reloads then loses the message the page is told once.
        """
        if self.script:
            what.click()
            return
        with self.page.expect_navigation():
            what.click()

    def until(self, predicate: Callable[[], Any]) -> None:
        """Wait until this is so; what the browser tells comes in meanwhile."""
        wait_until(lambda: self.page.wait_for_timeout(20) or predicate())

    def count_held_back(self) -> Callable[[], int]:
        """What tells how many times from now on the page wanted to poll and was held back."""
        messages: list[str] = []
        self.page.on("console", lambda message: messages.append(message.text))
        self.page.evaluate(
            "document.addEventListener('htmx:beforeRequest', (event) => event.defaultPrevented && console.log('held back'))"
        )
        return lambda: messages.count("held back")

    def forgive(self, status: int) -> None:
        """The browser and htmx write an error for each answer of this status; here it is meant."""
        meant = (f"status of {status}", f"Status Error Code {status}")
        self.troubles = [trouble for trouble in self.troubles if not any(words in trouble for words in meant)]

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_GIVEN_UP):
            self.troubles.append(message.text)

    def _note_request(self, request: Request) -> None:
        self.requests.append(f"{request.method} {request.url.removeprefix(self.site.url)}")
        if not re.match(re.escape(self.site.url) + "/|data:", request.url):
            self.troubles.append(f"a request leaves the origin: {request.url}")
