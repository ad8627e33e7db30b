"""Every page, with what can be on it, by the rules of WCAG: light and dark, on a phone and on a desk."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

import models
from engine import jobs, operations, queues, saved_views
from models import STATES, Attempt, Job, Stat, Worker
from tests.browser.served import Site
from tests.browser.tab import Tab

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "resultTypes": ["violations"],  # describing what is right takes half of the time
}
CONTRAST = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}
# Theme, width, rules: what a theme changes is its colours alone.
SCREENS = (("light", 360, RULES), ("dark", 360, CONTRAST), ("dark", 1280, RULES), ("light", 1280, CONTRAST))
LONG = "printf '%s' " + "x" * 500
PAGES = (
    *(
        "/",
        "/jobs",
        "/jobs?state=dead",
        "/jobs?text=nothing",
        "/?window=24h",
        "/dlq",
        "/queues",
        "/workers",
        "/config",
        "/config/backoff_base",
        "/enqueue",
        "/enqueue?from=dead0",
    ),
    *(f"/jobs/{state}0" for state in STATES),
    *("/dlq/causes", "/trash", "/views", "/operations", "/operations/1", "/jobs?queue=mail&exit_code=1&text=echo"),
    *("/palette", "/palette?q=dead", "/shortcuts", "/dlq/retry-all", "/workers/drain", "/workers/force-stop"),
    *("/workers/stop", "/jobs/dead0/delete", "/nowhere", "/jobs?before=broken", "/jobs?before=9", "/dlq?after=1-1"),
)
# Links in a sentence are as high as its lines, and what a label belongs to is as large as both.
TOO_SMALL = """[...document.querySelectorAll("a, button, input, select, summary")]
  .filter((one) => one.checkVisibility() && !one.matches("p a, .skip, [type=hidden], [aria-hidden]"))
  .map((one) => [one.closest("label")?.getBoundingClientRect() ?? one.getBoundingClientRect(), one.outerHTML.slice(0, 90)])
  .filter(([box]) => box.width && (box.width < 24 || box.height < 24))
  .map(([box, html]) => `${Math.round(box.width)} x ${Math.round(box.height)} ${html}`).slice(0, 5)"""
EMPTY_PAGES = ("/", "/jobs", "/dlq", "/queues", "/workers", "/enqueue", "/trash", "/views", "/operations")


@pytest.fixture(scope="module")
def full_site(tmp_path_factory):
    """A panel that has something of everything to show."""
    site = Site(tmp_path_factory.mktemp("full"))
    now = models.now_ms()
    for number in range(18):
        state = STATES[number % len(STATES)]
        job_id = f"{state}{number // len(STATES)}"
        site.add(
            LONG if number % 7 == 0 else "echo hi",
            id=job_id,
            queue="mail",
            tags=["nightly", "a" * 60],
            priority=number - 9,
        )
        columns = {"state": state, "run": 2, "attempts": 1, "last_error": f"exit code 1: {LONG}", "finished_at": now}
        Job.update(columns | {"locked_by": "w1", "locked_at": now, "duration_ms": 5}).where(Job.id == job_id).execute()
    for job in Job.select():
        output = {"stdout": LONG.encode() * 40, "stdout_bytes": 10**7, "stdout_cut": 100}
        for run, outcome in enumerate(("failed", "running" if job.state == "processing" else "lost"), 1):
            error = {"error": LONG, "return_code": 1}
            Attempt.insert(
                job=job.pk, run=run, worker="w1", host="here", started_at=now, outcome=outcome, **error, **output
            ).execute()
    for status in ("starting", "running", "running", "draining", "stopping"):
        Worker.insert(
            host="a-host-with-a-long-name.example", pid=1, created_at=now, started_at=now, status=status
        ).execute()
    for status in ("stopped", "lost"):
        Worker.insert(host="here", created_at=now, started_at=now, stopped_at=now, status=status, reason=LONG).execute()
    for place, outcome in enumerate(("success", "failed", "timeout")):
        row = {"span": 1, "at": now - now % 60_000 - 60_000 * place, "queue": "mail", "outcome": outcome}
        Stat.insert(row | {"bucket": 20, "n": 1000, "total_ms": 10**6}).execute()
    for job_id in ("completed2", "cancelled2"):
        jobs.delete(job_id)
    operations.run(
        operations.begin("priority", argument=3, actor="panel", filters={"text": LONG, "state": "pending"}).pk
    )
    saved_views.keep("a view", {"state": "dead", "text": LONG}, actor="cli:ann")
    queues.limit("mail", 2, actor="cli:ann")
    queues.pause("mail", actor="cli:ann")
    yield site
    Worker.update(stopped_at=now).execute()  # they were never real
    site.close()


@pytest.fixture
def full_tab(full_site, browser: Browser):
    """A tab on the panel that has something of everything to show."""
    context = browser.new_context(reduced_motion="reduce")
    yield Tab(full_site, context)
    context.close()


def problems(tab: Tab, where: str) -> list[str]:
    """What is wrong with what the tab shows now, on each screen."""
    found = []
    if tab.page.evaluate("typeof axe") == "undefined":
        tab.page.evaluate(Axe().axe_script)
    for theme, width, rules in SCREENS:
        tab.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        tab.page.set_viewport_size({"width": width, "height": 800})
        seen = f"{where} ({theme}, {width})"
        for one in tab.page.evaluate("rules => axe.run(rules)", rules)["violations"]:
            found += [f"{seen}: {one['id']}: {node['html'][:160]}" for node in one["nodes"][:2]]
        if tab.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{seen}: is wider than the screen")
    return found


@pytest.mark.parametrize("part", range(4))
def test_every_page_can_be_used_by_everybody(full_tab, part):
    tab = full_tab
    found: list[str] = []
    for path in PAGES[part::4]:
        tab.open(path)
        found += problems(tab, path)
    for status in (404, 422):
        tab.forgive(status)
    assert not found + tab.troubles, "\n".join(found + tab.troubles)


def test_empty_pages_too(site, live_tab):
    tab = live_tab
    found: list[str] = []
    for path in EMPTY_PAGES:
        tab.open(path)
        found += problems(tab, path)
    site.add("echo hi")
    tab.open("/")
    found += problems(tab, "/ with a job and no worker")
    assert not found + tab.troubles, "\n".join(found + tab.troubles)


def test_mistakes_questions_and_toasts_too(full_tab):
    tab = full_tab
    found: list[str] = []
    tab.open("/enqueue")
    tab.page.get_by_label("Command").fill("echo hi")
    tab.page.get_by_text("More settings").click()
    found += problems(tab, "/enqueue opened")
    tab.page.get_by_label("Priority").fill("high")
    tab.press("Enqueue job")
    tab.see("Must be a whole number")
    found += problems(tab, "/enqueue with a mistake")
    tab.open("/config")
    tab.page.get_by_label("backoff_base", exact=True).fill("1000")
    tab.press("Save backoff_base")
    tab.see("must be a number")
    found += problems(tab, "/config with a mistake")
    tab.open("/jobs/dead0")
    tab.press("Delete job dead0")
    tab.see(tab.page.get_by_role("dialog"))
    found += problems(tab, "a question")
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("Control+k")
    tab.page.keyboard.type("dead")
    tab.see(tab.page.get_by_role("option", name="dead0"))
    found += problems(tab, "the palette")
    tab.page.keyboard.press("Escape")
    tab.open("/")
    tab.page.keyboard.press("?")
    tab.see(tab.page.get_by_role("dialog", name="Keyboard shortcuts"))
    found += problems(tab, "the shortcuts")
    tab.open("/config")
    tab.press("Save backoff_base")
    tab.see(tab.page.locator(".toast").get_by_role("button", name="Undo"))
    found += problems(tab, "a way back")
    tab.page.evaluate("htmx.ajax('POST', '/jobs/none/retry', {swap: 'none'})")
    tab.see(tab.page.locator(".toast[data-kind=bad]"))
    found += problems(tab, "a toast")
    for status in (404, 422):
        tab.forgive(status)
    assert not found + tab.troubles, "\n".join(found + tab.troubles)


def test_nothing_is_wider_than_the_smallest_phone_or_too_small_to_hit(full_site, browser: Browser):
    context = browser.new_context(viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True)
    tab = Tab(full_site, context)
    found = []
    for path in (*PAGES[:9], "/jobs/dead0", "/palette?q=dead", "/shortcuts", "/nowhere"):
        tab.open(path)
        if tab.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{path} is wider than the screen")
        found += [f"{path}: {small}" for small in tab.page.evaluate(TOO_SMALL)]
    context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize("looks", [{"forced_colors": "active"}, {"reduced_motion": "reduce"}], ids=str)
def test_what_the_system_asks_for_is_heeded(full_site, browser: Browser, looks):
    context = browser.new_context(**looks)
    tab = Tab(full_site, context)
    tab.open("/")
    badge = tab.page.locator('.badge[data-state="processing"]').first
    style = badge.evaluate(
        "e => (({backgroundColor, animationName}) => [backgroundColor, animationName])(getComputedStyle(e, '::before'))"
    )
    if "reduced_motion" in looks:
        assert style[1] == "none"
    else:
        assert style[0] != "rgba(0, 0, 0, 0)"
    context.close()
