"""What the panel says about an action: never what is no longer so, and at once that it was not sent."""

from __future__ import annotations

from playwright.sync_api import expect

from engine import jobs, queries


def test_a_note_goes_when_something_else_is_done_to_the_same_queue(site, live_tab):
    site.add("true", queue="mail")
    live_tab.open("/queues")
    live_tab.press("Pause the queue mail")
    live_tab.see(live_tab.page.locator(".toast", has_text="is paused"))
    live_tab.press("Resume the queue mail")
    live_tab.see(live_tab.page.locator(".toast", has_text="is resumed"))
    expect(live_tab.page.locator(".toast")).to_have_count(1)


def test_a_press_without_a_connection_says_so_at_once_and_works_when_it_is_back(site, live_tab):
    site.add("true", id="one")
    live_tab.open("/jobs")
    live_tab.page.context.set_offline(True)
    cancel = live_tab.page.get_by_role("button", name="Cancel job one")
    cancel.click()
    live_tab.see("Not sent: no connection.")
    assert queries.find("one").state == "pending"
    live_tab.see("No connection; what is shown may be out of date.")
    live_tab.page.context.set_offline(False)
    expect(live_tab.page.locator("#trouble")).to_be_hidden()
    cancel.click()
    live_tab.see("Job one is cancelled.")
    live_tab.troubles.clear()  # the browser writes an error for each request that did not go out


def test_an_open_page_says_that_the_database_was_moved_away_until_it_is_back(site, live_tab):
    jobs.enqueue({"command": "true", "id": "one"})
    live_tab.open("/jobs")
    away = site.path.with_name("away.db")
    site.path.rename(away)
    live_tab.see(f"The database {site.path} was deleted or moved away")
    expect(live_tab.page.locator("tr", has_text="one")).to_be_visible()
    away.rename(site.path)
    expect(live_tab.page.locator("#trouble")).to_be_hidden()
    live_tab.forgive(503)
