"""Which Chromium the browser tests drive. Run as a module: start it once and print its path, or say what to do."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from playwright.sync_api import BrowserType, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Keep the browser from calling home: tests talk to their own server and to nobody else.
FLAGS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

HOW_TO_GET_ONE = (
    "No browser for the tests. Run one of these, then try again:\n"
    "    .venv/bin/python -m playwright install --with-deps chromium\n"
    "    sudo apt-get install chromium\n"
    "or name one that is there: QUEUECTL_CHROMIUM=/path/to/chromium make test"
)


class NoBrowser(Exception):
    """There is no Chromium; the message says how to get one."""


def find_chromium(playwrights_own: str) -> str:
    """The one named in QUEUECTL_CHROMIUM, else Playwright's own, else the system's. Raises NoBrowser."""
    named = os.environ.get("QUEUECTL_CHROMIUM")
    for candidate in [named] if named else [playwrights_own, *NAMES]:
        if path := shutil.which(candidate):
            return path
    raise NoBrowser(HOW_TO_GET_ONE)


def launch_args(browser_type: BrowserType) -> dict[str, Any]:
    """What Playwright needs to be told to start it. Raises NoBrowser."""
    own = browser_type.executable_path
    path = find_chromium(own)
    # Playwright starts its own build by itself: when headless, that is another file than the one it names.
    return {"args": list(FLAGS)} if path == own else {"args": list(FLAGS), "executable_path": path}


def main() -> None:
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium
            chromium.launch(**launch_args(chromium)).close()
            print(find_chromium(chromium.executable_path))
        except NoBrowser as error:
            sys.exit(str(error))
        except Error as error:  # it is there and does not start
            sys.exit(f"{error}\n{HOW_TO_GET_ONE}")


if __name__ == "__main__":
    main()
