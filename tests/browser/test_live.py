"""What only JavaScript does: pages that keep themselves up to date and never get in the reader's way."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

import workers
from engine import config, jobs, queries
from tests.support import wait_until


@pytest.fixture
def tab(live_tab):
    return live_tab


def polls(tab) -> int:
    return sum("v=" in request for request in tab.requests)


def wait_for_poll(tab) -> None:
    before = polls(tab)
    tab.until(lambda: polls(tab) > before)


def test_a_list_shows_new_jobs_by_itself(site, tab):
    tab.open("/jobs")
    tab.see("No jobs yet")
    site.add("echo hi", id="one")
    tab.see(tab.page.locator("#jobs tbody tr"))


def test_an_unchanged_page_is_left_alone(site, tab):
    site.add("echo hi")
    tab.open("/jobs")
    tab.page.evaluate("document.querySelector('#jobs').marked = true")
    wait_for_poll(tab)
    wait_for_poll(tab)
    assert tab.page.evaluate("document.querySelector('#jobs').marked")


def test_pause_holds_the_polls_and_going_on_catches_up(site, tab):
    tab.open("/jobs")
    wait_for_poll(tab)
    tab.press("Live")
    expect(tab.page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "true")
    site.add("echo hi", id="one")
    seen = polls(tab)
    held_back = tab.count_held_back()
    tab.until(lambda: held_back() >= 2)
    assert polls(tab) == seen
    tab.press("Paused")
    tab.see(tab.page.locator("#jobs tbody tr"))


def test_a_tab_that_is_asked_to_wait_holds_its_clock_back_but_not_the_reader(site, tab):
    """As the panel asks when too many are open."""
    answers = []

    def ask_to_wait(route):
        answers.append(route.request.headers.get("cache-control"))
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "Retry-After": "600"})

    tab.open("/jobs")
    tab.page.route("**/jobs?*v=*", ask_to_wait)
    tab.until(lambda: answers == [None])
    held_back = tab.count_held_back()
    tab.until(lambda: held_back() >= 2)
    assert answers == [None]
    expect(tab.page.locator("#live")).to_have_text("Every 600 s")
    site.add("echo hi", id="one")
    tab.press("Every 600 s")
    tab.press("Paused")
    tab.see(tab.page.locator("#jobs tbody tr"))
    assert answers == [None, "no-cache"]


def test_the_reader_s_own_action_is_asked_for_afresh(site, tab):
    site.add_dead("one")
    tab.open("/dlq")
    with tab.page.expect_request(lambda asked: "v=" in asked.url and asked.headers.get("cache-control") == "no-cache"):
        tab.press("Retry job one")
    tab.see("Good news")


@pytest.mark.parametrize(
    ("path", "poll", "button", "answer"),
    [
        ("/", "/[?]", "Start 2 workers", "2 workers will start"),
        ("/jobs/one", "/jobs/one[?]", "Start a worker", "1 worker will start"),
        ("/queues", "/queues[?]", "Pause the queue default", "The queue default is paused"),
        ("/config", "/config/changes[?]", "Reset backoff_base to its default", "back to its default, 2."),
        ("/config/backoff_base", "/config/backoff_base[?]", "Revert", "Meanwhile somebody else set it to 4."),
    ],
)
def test_what_the_reader_pressed_is_not_torn_away_by_a_poll_on_its_way(site, tab, path, poll, button, answer):
    site.add("echo hi", id="one")
    config.set("backoff_base", 3, actor="me")
    tab.open(path)
    asked = _hold_back(tab, "GET", poll)
    site.add("echo hi")
    config.set("backoff_base", 4, actor="somebody else")
    tab.until(lambda: asked)
    pressed = _hold_back(tab, "POST", "/")
    tab.press(button)
    tab.until(lambda: pressed)
    _let_through(tab, asked[0])
    pressed[0].continue_()
    tab.see(answer)
    tab.forgive(409)


def test_a_filter_is_not_lost_to_a_poll_on_its_way(site, tab):
    site.add("echo needle")
    site.add("echo hay")
    tab.open("/jobs")
    asked = _hold_back(tab, "GET", "/jobs[?].*v=")
    site.add("echo more hay")
    tab.until(lambda: asked)
    filtered = _hold_back(tab, "GET", "/jobs[?]text=")
    tab.page.get_by_label("Id or command contains").fill("needle")
    tab.until(lambda: filtered)
    _let_through(tab, asked[0])
    filtered[0].continue_()
    expect(tab.page.locator("#jobs tbody tr")).to_have_count(1)


def test_a_menu_is_not_closed_by_a_poll_on_its_way(site, tab):
    site.add("echo hi")
    tab.open("/queues")
    asked = _hold_back(tab, "GET", "/queues[?]")
    site.add("echo hi")
    tab.until(lambda: asked)
    tab.page.get_by_label("Limit the queue default").click()
    _let_through(tab, asked[0])
    expect(tab.page.locator("#live")).to_have_text("Paused", timeout=10_000)
    expect(tab.page.get_by_label("Jobs of default at once")).to_be_visible()
    tab.page.get_by_label("Limit the queue default").click()
    tab.see(tab.page.locator("td[data-label=due]", has_text="2"))


def test_a_poll_from_before_a_press_is_asked_for_again(site, tab):
    """A page without a clock would miss for ever what it told."""
    site.add("echo hi", id="one")
    jobs.cancel("one")
    tab.open("/jobs/one")
    jobs.retry("one")
    asked = _hold_back(tab, "GET", "/jobs/one[?]")
    tab.page.evaluate("htmx.trigger('#job', 'poll')")
    tab.until(lambda: asked)
    tab.press("Delete job one")
    expect(tab.page.get_by_role("dialog", name="Delete this job?")).to_be_visible()
    asked[0].continue_()
    tab.see("Waits to be run since")


def _let_through(tab, held: Route) -> None:
    """Let the request go on and wait until it is answered."""
    over = []
    tab.page.on("requestfinished", lambda request: over.append(request))
    tab.page.on("requestfailed", lambda request: over.append(request))
    held.continue_()
    tab.until(lambda: held.request in over)


def _hold_back(tab, method: str, path: str) -> list[Route]:
    """The next request of this method to an address whose path begins so, once it is made: it waits to be let through."""
    held = []

    def hold(route: Route) -> None:
        if route.request.method == method and not held:
            held.append(route)
        else:
            route.fallback()

    tab.page.route(re.compile(re.escape(tab.site.url) + path), hold)
    return held


def test_a_lost_connection_is_said_and_found_again(site, tab):
    tab.open("/jobs")
    tab.page.context.set_offline(True)
    expect(tab.page.locator("#live")).to_have_text("Retrying", timeout=10_000)
    tab.page.context.set_offline(False)
    expect(tab.page.locator("#live")).to_have_text("Live", timeout=10_000)
    tab.troubles.clear()


@pytest.mark.parametrize(("method", "path"), [("POST", "/jobs/one/delete"), ("GET", "/jobs$")])
def test_a_page_that_is_left_asks_for_nothing(site, tab, method, path):
    """What it shows is deleted: it would be told that it is not there."""
    site.add("echo hi", id="one")
    tab.open("/jobs/one")
    tab.press("Delete job one")
    expect(tab.page.get_by_role("dialog", name="Delete this job?")).to_be_visible()
    on_its_way = _hold_back(tab, method, path)
    held_back = tab.count_held_back()
    tab.page.evaluate("document.querySelector('#dialog [type=submit]').click()")  # a click waits for the next page
    tab.until(lambda: held_back() >= 2)
    on_its_way[0].continue_()
    tab.see("Job one is deleted.")


def test_a_job_that_somebody_else_deletes_is_said_to_be_gone(site, tab):
    site.add("echo hi", id="one")
    tab.open("/jobs/one")
    token = jobs.delete("one")
    expect(tab.page.locator("#live")).to_have_text("Gone", timeout=10_000)
    tab.see("echo hi")
    jobs.undelete(token)
    expect(tab.page.locator("#live")).to_have_text("Live", timeout=10_000)
    tab.forgive(404)


def test_times_move_without_asking(site, tab):
    site.add("echo hi", id="one")
    tab.open("/jobs/one")
    enqueued = tab.page.locator("dd time[data-shows=ago]").first
    expect(enqueued).to_have_text("7 s ago", timeout=15_000)


def test_selected_text_is_not_torn_away(site, tab):
    site.add("echo hi", id="one")
    tab.open("/jobs")
    tab.page.locator(".command-line").select_text()
    site.add("echo ho", id="two")
    expect(tab.page.locator("#live")).to_have_text("Text selected", timeout=10_000)
    assert tab.page.evaluate("getSelection().toString()") == "echo hi"
    tab.page.evaluate("getSelection().removeAllRanges()")
    expect(tab.page.locator("#jobs tbody tr")).to_have_count(2, timeout=10_000)


def test_new_rows_do_not_move_a_selection(site, tab):
    site.add_dead("one", "two")
    tab.open("/dlq")
    tab.page.get_by_label("Select job one").check()
    tab.page.get_by_role("button", name="Retry job one").focus()
    tab.page.evaluate("document.querySelector('#dlq').marked = true")
    site.add_dead("three")
    tab.see("1 new, show")
    assert tab.page.evaluate("document.querySelector('#dlq').marked")
    expect(tab.page.get_by_label("Select job one")).to_be_checked()
    expect(tab.page.get_by_role("button", name="Retry job one")).to_be_focused()
    expect(tab.page.get_by_role("button", name="Retry 1 selected")).to_be_visible()
    tab.press("1 new, show")
    tab.see("three")


def test_one_box_selects_all_that_are_shown(site, tab):
    site.add_dead("one", "two")
    tab.open("/dlq")
    tab.page.get_by_label("Select all 2 shown").check()
    tab.press("Retry 2 selected")
    tab.see("Good news")


def test_output_follows_its_end_unless_the_reader_looks_elsewhere(site, tab):
    workers.start(1)
    gate = site.path.parent / "gate"
    site.add(f'seq 200; until [ -e "{gate}" ]; do sleep 0.05; done; seq 201 400; sleep 60', id="long")
    site.wait_for("long", "processing")
    tab.open("/jobs/long")
    tab.see(tab.page.locator("#stdout", has_text="200"))
    from_end = "(() => { const b = document.querySelector('#stdout'); return b.scrollHeight - b.scrollTop - b.clientHeight })()"
    wait_until(lambda: tab.page.evaluate(from_end) < 24)
    tab.page.evaluate("document.querySelector('#stdout').scrollTop = 100")
    gate.touch()
    tab.see(tab.page.locator("#stdout", has_text="400"))
    assert tab.page.evaluate("document.querySelector('#stdout').scrollTop") == 100
    tab.open("/jobs/long")
    wait_until(lambda: tab.page.evaluate(from_end) < 24)


def test_polling_ends_with_the_job(site, tab):
    workers.start(1)
    job_id = site.add("echo hi")
    site.wait_for(job_id, "completed")
    tab.open(f"/jobs/{job_id}")
    tab.see("Completed in")
    expect(tab.page.locator("#live")).to_be_hidden()
    assert tab.page.locator("[hx-trigger*=every]").count() == 0


def test_a_job_that_is_retried_shows_its_new_run_by_itself(site, tab):
    site.add("echo run; exit 1", id="one", max_retries=0)
    workers.start(1)
    site.wait_for("one", "dead")
    tab.open("/jobs/one")
    tab.see("Output of run 1")
    tab.press("Retry job one")
    tab.see("Output of run 2")
    tab.see(tab.page.locator("#stdout", has_text="run"))


def test_a_question_is_a_dialog_that_escape_closes(site, tab):
    site.add("echo hi", id="one")
    tab.open("/jobs/one")
    tab.press("Delete job one")
    dialog = tab.page.get_by_role("dialog", name="Delete this job?")
    expect(dialog).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(tab.page.get_by_role("link", name="Delete job one")).to_be_focused()
    tab.press("Delete job one")
    dialog.get_by_role("link", name="Go back").click()
    expect(dialog).to_be_hidden()
    assert queries.find("one")


def test_a_toast_says_what_was_refused(site, tab):
    site.add("echo hi", id="one")
    tab.open("/jobs/one")
    workers.start(1)
    site.wait_for("one", "completed")
    tab.page.evaluate("htmx.ajax('POST', '/jobs/one/cancel', {swap: 'none'})")
    tab.see(tab.page.get_by_role("status").get_by_text("Job one is completed; only"))
    tab.forgive(409)
    tab.press("Dismiss")
    expect(tab.page.locator(".toast")).to_have_count(0)


def test_a_job_is_enqueued_with_the_keyboard_alone(site, tab):
    workers.start(1)
    tab.open("/")
    keyboard = tab.page.keyboard
    keyboard.press("Tab")
    expect(tab.page.get_by_text("Skip to the content")).to_be_focused()
    for _ in range(10):
        keyboard.press("Tab")
        if tab.page.evaluate("document.activeElement.textContent.trim()") == "Enqueue":
            break
    keyboard.press("Enter")
    expect(tab.page.get_by_label("Command")).to_be_focused()
    keyboard.type("echo typed")
    for _ in range(5):
        keyboard.press("Tab")
        if tab.page.evaluate("document.activeElement.textContent.trim()") == "Enqueue job":
            break
    keyboard.press("Enter")
    tab.see(tab.page.locator("#stdout", has_text="typed"))


def test_the_browser_keeps_nothing_of_a_tour(site, tab):
    site.add("echo hi", id="one")
    for path in ("/", "/jobs", "/jobs/one", "/dlq", "/workers", "/config", "/enqueue"):
        tab.open(path)
    kept = tab.page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]")
    assert kept == ["htmx-current-path-for-history"]  # the address alone, never a page


def test_no_secret_is_in_an_address(site, tab):
    site.add_dead("one")
    for path in ("/", "/dlq", "/workers"):
        tab.open(path)
        wait_for_poll(tab)
    assert not [request for request in tab.requests if "csrf" in request or "id=one" in request]


def test_scripts_in_the_page_do_not_run(site, tab):
    """The policy itself, should an escape ever fail."""
    tab.open("/")
    tab.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    tab.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    # Two refusals, and the picture that is not there; messages arrive while the page is asked something.
    wait_until(lambda: tab.page.evaluate("window.ran") is None and len(tab.troubles) >= 3)
    assert tab.page.evaluate("window.ran") is None
    tab.troubles.clear()
