"""The browser that pytest-playwright starts."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import BrowserType

from tests.browser.chromium import NoBrowser, launch_args


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], browser_type: BrowserType) -> dict[str, Any]:
    """pytest-playwright's own, with a Chromium that is there. A browser named on its command line wins."""
    if browser_type.name != "chromium" or "channel" in browser_type_launch_args:
        return browser_type_launch_args
    try:
        return {**launch_args(browser_type), **browser_type_launch_args}
    except NoBrowser as error:
        pytest.fail(str(error))
