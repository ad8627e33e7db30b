"""The browser that pytest-playwright starts, and the panel it looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserType

from tests.browser.chromium import NoBrowser, launch_args
from tests.browser.served import Site
from tests.browser.tab import Tab


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], browser_type: BrowserType) -> dict[str, Any]:
    """pytest-playwright's own, with a Chromium that is there. A browser named on its command line wins."""
    if browser_type.name != "chromium" or "channel" in browser_type_launch_args:
        return browser_type_launch_args
    try:
        return {**launch_args(browser_type), **browser_type_launch_args}
    except NoBrowser as error:
        pytest.fail(str(error))


@pytest.fixture
def site(tmp_path: Path):
    """A panel with an empty database and no workers."""
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def tab(request: pytest.FixtureRequest, site: Site, browser: Browser):
    """A tab with JavaScript, then one without: both must do."""
    yield from _tab(site, browser, script=request.param)


@pytest.fixture
def live_tab(site: Site, browser: Browser):
    """A tab with JavaScript."""
    yield from _tab(site, browser, script=True)


def _tab(site: Site, browser: Browser, script: bool):
    context = browser.new_context(java_script_enabled=script, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(20_000)
    tab = Tab(site, context, script)
    yield tab
    context.close()
    assert tab.troubles == []
