"""Type that can be read, targets that can be hit, and the width of the screen used; on every page the queue is named."""

from __future__ import annotations

import socket

from playwright.sync_api import Browser, expect

from engine import jobs
from tests.browser.tab import Tab

PAGES = (
    "/",
    "/jobs",
    "/jobs/one",
    "/dlq",
    "/dlq/causes",
    "/queues",
    "/workers",
    "/config",
    "/enqueue",
    "/enqueue/many",
)
PAGES += ("/operations", "/trash", "/shortcuts", "/nowhere")
WIDE = ("/", "/jobs", "/dlq", "/queues", "/trash")
# Characters that can be seen, and those of them that are smaller than 12 of the reader's 16 units.
CHARACTERS = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), unit = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  let all = 0, small = 0;
  while (texts.nextNode()) {
    const count = texts.currentNode.textContent.trim().length, around = texts.currentNode.parentElement;
    if (!around.checkVisibility()) continue;
    all += count;
    if (parseFloat(getComputedStyle(around).fontSize) < 12 * unit) small += count;
  }
  return small / all;
}"""
TOO_SMALL = """() => [...document.querySelectorAll("a, button, input, select, summary")]
  .filter((one) => one.checkVisibility() && !one.matches("p a, .skip, [type=hidden], [aria-hidden]"))
  .map((one) => [one.closest("label")?.getBoundingClientRect() ?? one.getBoundingClientRect(), one.outerHTML.slice(0, 90)])
  .filter(([box]) => box.width && (box.width < 24 || box.height < 24)).map(([, html]) => html).slice(0, 5)"""


def test_every_page_has_type_targets_and_width_for_people(site, browser: Browser):
    site.add("echo hi", id="one", queue="mail")
    jobs.enqueue_many({"command": "x" * 300, "queue": "a-queue-with-a-long-name"} for _ in range(30))
    jobs.delete(site.add("true"))
    context = browser.new_context(viewport={"width": 1920, "height": 900})
    tab = Tab(site, context)
    found = []
    for path in PAGES:
        tab.open(path)
        if tab.page.evaluate(CHARACTERS) > 0.1:
            found.append(f"{path} is written too small")
        found += [f"{path}: {small}" for small in tab.page.evaluate(TOO_SMALL)]
        expect(tab.page.locator(".place summary")).to_contain_text(f"queue.db on {socket.gethostname()}")
        width = tab.page.evaluate("document.querySelector('main > :last-child').getBoundingClientRect().width")
        if path in WIDE and not 1500 < width <= 1600:
            found.append(f"{path} is {width} wide")
    tab.page.set_viewport_size({"width": 1024, "height": 768})
    for path in PAGES:
        tab.open(path)
        if tab.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{path} is wider than 1024")
    context.close()
    assert not found, "\n".join(found)
