"""Figures, alarms and queues as people use them, with JavaScript and without."""

from __future__ import annotations

import re

from playwright.sync_api import expect

import models
import workers
from engine import buckets, jobs, queues
from models import Stat


def ended(n: int, ago_min: int = 0, outcome: str = "success") -> None:
    at = models.now_ms() // 60_000 * 60_000 - ago_min * 60_000
    counted = {"outcome": outcome, "bucket": buckets.of(100), "n": n, "total_ms": n * 100}
    Stat.insert(span=1, at=at, queue="default", **counted).execute()


def test_a_new_queue_leads_to_its_first_job_and_its_workers(site, tab):
    tab.open("/")
    tab.see("Two steps to the first job")
    tab.press("Start 2 workers")
    tab.see("Workers are ready")
    tab.follow(tab.page.get_by_role("main").get_by_role("link", name="Enqueue a job"))
    tab.page.get_by_label("Command").fill("echo hi")
    tab.press("Enqueue job")
    tab.open("/")
    tab.see(tab.page.get_by_role("img", name=re.compile("1 completed, 0 failed")))


def test_a_window_is_chosen_and_its_numbers_are_read(site, tab):
    ended(40, ago_min=3 * 60)
    ended(2)
    tab.open("/")
    tab.see("2 completed, 0 failed; at most 2 in one minute.")
    tab.press("24 hours")
    tab.see("42 completed, 0 failed; at most 40 in one hour.")
    tab.page.get_by_text("The same as a table").click()
    expect(tab.page.get_by_role("row", name=re.compile("40 0 111 ms 111 ms"))).to_be_visible()


def test_a_table_that_is_read_is_not_taken_away(site, live_tab):
    ended(2)
    live_tab.open("/")
    live_tab.page.get_by_text("The same as a table").click()
    ended(5, ago_min=1)
    held_back = live_tab.count_held_back()
    live_tab.until(lambda: held_back() >= 2)
    expect(live_tab.page.get_by_role("table")).to_be_visible()
    live_tab.page.get_by_text("The same as a table").click()
    live_tab.see("7 completed, 0 failed; at most 5 in one minute.")


def test_jobs_that_wait_for_nobody_are_told_with_the_button_that_helps(site, tab):
    site.add("echo hi", id="one")
    tab.open("/")
    tab.see("No workers are running: 1 job waits.")
    tab.press("Start 2 workers")
    site.wait_for("one", "completed")
    tab.see("1 completed, 0 failed; at most 1 in one minute.")
    expect(tab.page.get_by_text("No workers are running:")).to_have_count(0)


def test_a_queue_is_paused_and_resumed_where_its_backlog_is_told(site, tab):
    workers.start(1)
    site.add("sleep 0", queue="mail", id="first")
    site.wait_for("first", "completed")
    tab.open("/queues")
    tab.press("Pause the queue mail")
    tab.see("The queue mail is paused: none of its jobs begins")
    assert queues.standing("mail").paused
    site.add("echo hi", queue="mail", id="held")
    tab.open("/")
    tab.see("The queue mail is paused: 1 job waits in it.")
    tab.press("Resume the queue mail")
    site.wait_for("held", "completed")


def test_a_queue_is_limited_without_losing_what_is_typed(site, tab):
    site.add("echo hi", queue="mail")
    tab.open("/queues")
    tab.page.get_by_label("Limit the queue mail").click()
    tab.page.get_by_label("Jobs of mail at once").fill("3")
    jobs.enqueue({"command": ":", "queue": "print"})
    if tab.script:
        held_back = tab.count_held_back()
        tab.until(lambda: held_back() >= 2)
    expect(tab.page.get_by_label("Jobs of mail at once")).to_have_value("3")
    tab.press("Set")
    tab.see("The queue mail runs at most 3 jobs at once.")
    assert queues.standing("mail").limit == 3
    tab.press("Undo")
    tab.see("The queue mail runs any number at once.")
    assert queues.standing("mail").limit is None


def test_the_keys_lead_to_the_queues(site, live_tab):
    live_tab.open("/")
    live_tab.page.keyboard.press("g")
    live_tab.page.keyboard.press("q")
    live_tab.see(live_tab.page.get_by_role("heading", name="Queues"))
