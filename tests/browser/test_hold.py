"""Lists that change while the reader reaches for a row: a click presses the row that was aimed at, and no other."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from engine import jobs, queries
from models import Job, Worker, now_ms
from tests.browser.tab import Tab


@pytest.fixture
def tab(live_tab):
    return live_tab


def top(tab, row) -> float:
    return row.bounding_box()["y"]


def rest_on(tab, what) -> None:
    """Lay the pointer on it and leave it there."""
    box = what.bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def rest_nowhere(tab) -> None:
    tab.page.mouse.move(2, 300)


def test_a_resting_pointer_presses_what_it_rests_on_whatever_comes(site, tab):
    for name in ("long0", "long1", "long2"):
        site.add("sleep 300", id=name)
    tab.open("/jobs")
    button = tab.page.get_by_role("button", name="Cancel job long0")
    rest_on(tab, button)
    for number in range(3):
        site.add("sleep 1", id=f"new{number}")
    tab.see("3 new, show")
    tab.page.mouse.down()
    tab.page.mouse.up()
    tab.see("Job long0 is cancelled.")
    assert [queries.find(f"long{number}").state for number in range(3)] == ["cancelled", "pending", "pending"]


def test_a_pointer_on_its_way_holds_the_list_and_one_at_rest_elsewhere_does_not(site, tab):
    site.add("true", id="one")
    tab.open("/jobs")
    row = tab.page.locator("tr", has_text="one")
    before = top(tab, row)
    tab.page.evaluate("setInterval(() => dispatchEvent(new PointerEvent('pointermove', {pointerType: 'mouse'})), 100)")
    site.add("true", id="two")
    tab.see("1 new, show")
    assert top(tab, row) == before
    tab.open("/jobs")
    rest_nowhere(tab)
    site.add("true", id="three")
    tab.see(tab.page.locator("tr", has_text="three"))
    expect(tab.page.locator("#held button")).to_be_hidden()


def test_a_row_with_the_focus_stays_where_it_is_and_the_page_does_not_jump(site, tab):
    jobs.enqueue_many({"id": f"job{number}", "command": "true"} for number in range(50))  # a full list
    tab.open("/jobs")
    for _ in range(15):
        tab.page.keyboard.press("j")
    focused = tab.page.locator(":focus")
    scrolled, before = tab.page.evaluate("scrollY"), top(tab, focused)
    assert scrolled > 0
    site.add("true", id="new")
    tab.see("1 new, show")
    assert (tab.page.evaluate("scrollY"), top(tab, focused)) == (scrolled, before)
    tab.page.get_by_role("button", name="1 new, show").focus()
    tab.page.keyboard.press("Enter")
    tab.see(tab.page.locator("tr", has_text="new"))
    assert tab.page.evaluate("scrollY") == scrolled


def test_rows_do_not_slide_on_a_page_that_is_scrolled(site, tab):
    jobs.enqueue_many({"id": f"job{number}", "command": "true"} for number in range(40))
    tab.open("/jobs")
    tab.page.evaluate("scrollTo(0, 600)")
    row = tab.page.locator("tr", has_text="job20")
    before = top(tab, row)
    jobs.enqueue_many({"id": f"new{number}", "command": "true"} for number in range(10))
    tab.see("10 new, show")
    assert (tab.page.evaluate("scrollY"), top(tab, row)) == (600, before)
    tab.page.evaluate("scrollTo(0, 0)")
    tab.see(tab.page.locator("tr", has_text="new9"))
    expect(tab.page.locator("#held button")).to_be_hidden()


def test_a_list_that_is_held_goes_on_telling_states_in_their_places(site, tab):
    site.add("true", id="one")
    site.add("true", id="two")
    tab.open("/jobs")
    rows = {name: tab.page.locator("tr", has_text=name) for name in ("one", "two")}
    rest_on(tab, rows["two"])
    before = top(tab, rows["one"])
    Job.update(state="processing", run=1, locked_by="w1", locked_at=now_ms()).where(Job.id == "one").execute()
    tab.see(rows["one"].get_by_text("processing"))
    jobs.delete("two")
    expect(rows["two"]).to_have_attribute("data-gone", "")
    tab.see("1 gone, show")
    assert top(tab, rows["one"]) == before
    expect(tab.page.locator("#states [data-state=pending]")).to_have_text("pending0")
    rest_nowhere(tab)
    expect(rows["two"]).to_have_count(0)


def test_a_second_click_at_the_same_place_finds_the_same_job(site, tab):
    for name in ("one", "two", "three"):
        site.add("true", id=name)
    Job.update(state="dead", finished_at=Job.pk).execute()
    tab.open("/dlq")
    rest_on(tab, tab.page.get_by_role("button", name="Retry job three"))
    tab.page.mouse.down()
    tab.page.mouse.up()
    expect(tab.page.locator("tr", has_text="three")).to_have_attribute("data-gone", "")
    tab.page.mouse.down()
    tab.page.mouse.up()
    tab.see("Job three is pending; only")
    assert [queries.find(name).state for name in ("one", "two")] == ["dead", "dead"]
    tab.forgive(409)


def test_a_finger_finds_the_list_as_it_was(site, browser: Browser):
    """It gives no sign before it presses."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, has_touch=True, is_mobile=True)
    tab = Tab(site, context)
    site.add("true", id="one")
    tab.open("/jobs")
    before = top(tab, tab.page.locator("tr", has_text="one"))
    site.add("true", id="two")
    tab.see("1 new, show")
    assert top(tab, tab.page.locator("tr", has_text="one")) == before
    tab.page.get_by_role("button", name="1 new, show").tap()
    tab.see(tab.page.locator("tr", has_text="two"))
    context.close()
    assert tab.troubles == []


def a_worker() -> None:
    Worker.insert(host="here", pid=1, created_at=now_ms(), started_at=now_ms(), status="running").execute()


def a_running_job(**fields) -> None:
    jobs.enqueue({"command": "sleep 9", **fields})
    Job.update(state="processing", run=1, locked_by="w1", locked_at=now_ms()).where(Job.state == "pending").execute()


def a_dead_job() -> None:
    job_id = jobs.enqueue({"command": "false"})
    died = {"state": "dead", "run": 1, "finished_at": now_ms(), "last_error": f"no {job_id}"}
    Job.update(died).where(Job.id == job_id).execute()


CHANGES = {
    "/": a_running_job,
    "/jobs": lambda: jobs.enqueue({"command": "true"}),
    "/dlq": a_dead_job,
    "/queues": lambda: jobs.enqueue({"command": "true", "queue": f"a{Job.select().count()}"}),
    "/workers": a_worker,
    "/trash": lambda: jobs.delete(jobs.enqueue({"command": "true"})),
}


def test_every_list_waits_for_the_pointer(site, tab):
    for path, change in CHANGES.items():
        for _ in range(2):
            change()
        tab.open(path)
        last = tab.page.locator("[data-rows] > [id]").last
        last.scroll_into_view_if_needed()
        rest_on(tab, last)
        before = top(tab, last)
        change()
        tab.see(tab.page.locator("#held button", has_text="new, show"))
        assert top(tab, last) == before, path
    Worker.update(status="stopped", stopped_at=now_ms()).execute()  # they were never real


def test_a_button_that_comes_under_a_resting_pointer_is_not_pressed_at_once(site, tab):
    job_id = site.add("sleep 300", run_at="+1h")
    Job.update(state="failed", run=1, attempts=1).execute()
    tab.open(f"/jobs/{job_id}")
    retry = tab.page.get_by_role("button", name=f"Run now job {job_id}")
    rest_on(tab, retry)
    Job.update(state="processing", run=2, locked_by="w1", locked_at=now_ms()).execute()
    tab.see(tab.page.locator("#job").get_by_text("Running on w1"))
    assert tab.page.locator(".deeds button:hover").get_attribute("aria-label") == f"Cancel job {job_id}"
    for pressed, says in ((False, "The page changed under the pointer"), (True, "Job {}: its command")):
        tab.page.mouse.down()
        tab.page.mouse.up()
        tab.see(says.format(job_id))
        assert queries.find(job_id).cancel_requested is pressed
