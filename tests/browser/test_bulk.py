"""Many jobs at once: chosen in a list, done before one's eyes, and taken back; with JavaScript and without."""

from __future__ import annotations

from playwright.sync_api import expect

from engine import jobs, queries
from tests.support import wait_until


def test_two_thousand_jobs_are_deleted_and_come_back(site, tab):
    jobs.enqueue_many({"command": "true"} for _ in range(2000))
    tab.open("/jobs?state=pending")
    tab.page.get_by_label("All 2,000 that match").check()
    tab.press("Delete all 2,000" if tab.script else "Delete selected")
    tab.see("Delete 2,000 jobs?")
    tab.page.get_by_label("To be sure, type 2000").fill("2000")
    tab.press("Delete 2,000 jobs")
    if not tab.script:
        finish(tab)
    tab.see("2,000 jobs are deleted.")
    wait_until(lambda: queries.counts()["pending"] == 0)
    tab.press("Undo")
    if not tab.script:
        finish(tab)
    wait_until(lambda: queries.counts()["pending"] == 2000)


def finish(tab) -> None:
    """Without JavaScript what takes longer waits for a button, or for a supervisor."""
    while tab.page.get_by_role("button", name="Go on").is_visible():
        tab.press("Go on")


def test_the_selected_jobs_get_a_priority(site, tab):
    for name in ("one", "two", "three"):
        site.add("true", id=name)
    tab.open("/jobs")
    tab.page.get_by_label("Select job one").check()
    tab.page.get_by_label("Select job three").check()
    tab.page.get_by_label("Priority, from -100 to 100").fill("9")
    tab.press("Set priority of 2 selected" if tab.script else "Set priority of selected")
    tab.see("2 jobs are given the priority 9.")
    assert [queries.find(name).priority for name in ("one", "two", "three")] == [9, 0, 9]
    expect(tab.page.locator(".bulk-acts")).to_be_hidden()


def test_the_enter_key_in_the_bar_does_nothing(site, tab):
    site.add("true", id="one")
    tab.open("/jobs")
    tab.page.get_by_label("Select job one").check()
    tab.page.get_by_label("Priority, from -100 to 100").press("Enter")
    tab.page.wait_for_timeout(300)
    assert queries.find("one").state == "pending"
    assert tab.page.url == site.url + "/jobs"


def test_a_filter_is_taken_away_by_its_chip(site, tab):
    site.add("echo needle", id="one", queue="mail")
    site.add("echo hay", id="two", queue="mail")
    tab.open("/jobs?queue=mail&text=needle")
    expect(tab.page.locator("#jobs tbody tr")).to_have_count(1)
    tab.press("Remove the filter contains: needle")
    expect(tab.page.locator("#jobs tbody tr")).to_have_count(2)
    assert tab.page.url == site.url + "/jobs?queue=mail"
