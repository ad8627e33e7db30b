"""Getting around by keys, by the palette, and back again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from engine import config, queries
from models import Job
from tests.support import wait_until


@pytest.fixture
def press(live_tab):
    """Press keys one after the other."""

    def pressed(*keys: str) -> None:
        for key in keys:
            live_tab.page.keyboard.press(key)

    return pressed


def focused(tab) -> str:
    return tab.page.evaluate("document.activeElement.id")


@pytest.mark.parametrize(
    ("keys", "path"),
    [("gj", "/jobs"), ("gd", "/dlq"), ("gw", "/workers"), ("gc", "/config"), ("ge", "/enqueue"), ("n", "/enqueue")],
)
def test_keys_lead_to_pages(site, live_tab, press, keys, path):
    live_tab.open("/")
    press(*keys)
    live_tab.page.wait_for_url(site.url + path)


def test_rows_are_walked_through_opened_and_selected_by_keys(site, live_tab, press):
    for name in ("one", "two", "three"):
        site.add("echo hi", id=name)
    Job.update(state="dead", finished_at=Job.pk).execute()
    live_tab.open("/dlq")
    press("ArrowDown")
    assert focused(live_tab) == ""  # the arrows scroll until a row is chosen
    press("j", "j", "k", "ArrowDown", "x")
    expect(live_tab.page.get_by_label("Select job two")).to_be_checked()
    expect(live_tab.page.get_by_role("button", name="Retry 1 selected")).to_be_enabled()
    press("Enter")
    live_tab.page.wait_for_url(f"{site.url}/jobs/two")


def test_the_chosen_row_survives_a_refresh(site, live_tab, press):
    site.add("echo hi", id="one")
    live_tab.open("/jobs")
    press("j")
    chosen = focused(live_tab)
    site.add("echo hi", id="two")
    live_tab.see("1 new, show")
    assert focused(live_tab) == chosen != ""


def test_a_slash_goes_to_the_search_and_keys_are_letters_there(site, live_tab, press):
    live_tab.open("/jobs")
    press("/")
    search = live_tab.page.get_by_label("Id or command contains")
    expect(search).to_be_focused()
    press("n", "g", "j", "?", "x")
    expect(search).to_have_value("ngj?x")
    assert live_tab.page.url.startswith(f"{site.url}/jobs")
    expect(live_tab.page.locator("#dialog")).to_be_hidden()


def test_keys_with_ctrl_stay_the_browsers(site, live_tab, press):
    live_tab.open("/")
    press("Control+j", "Alt+n", "Control+/", "?")
    expect(live_tab.page.get_by_role("dialog")).to_have_accessible_name("Keyboard shortcuts")
    assert live_tab.requests.count("GET /shortcuts") == 1  # by the last key alone
    assert live_tab.page.url == f"{site.url}/"


def test_the_help_opens_closes_and_switches_the_keys_off(site, live_tab, press):
    live_tab.open("/")
    press("?")
    dialog = live_tab.page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    press("n")  # nothing acts behind a dialog
    dialog.get_by_role("button", name="Off").click()
    expect(dialog.get_by_role("button", name="Off")).to_have_attribute("aria-pressed", "true")
    press("Escape")
    expect(dialog).to_be_hidden()
    press("n", "?")
    live_tab.page.reload()
    press("n", "?", "j")
    press("Control+k")
    expect(live_tab.page.get_by_role("combobox")).to_be_focused()
    assert live_tab.page.url == f"{site.url}/"


def test_shortcuts_are_read_and_switched_off_on_a_page_too(site, tab):
    tab.open("/shortcuts")
    tab.see("Dead letter queue")
    tab.follow(tab.page.get_by_role("main").get_by_role("button", name="Off"))
    expect(tab.page.locator("html")).to_have_attribute("data-keys", "off")


def test_the_palette_opens_a_job_by_the_beginning_of_its_id(site, live_tab, press):
    site.add("echo hi", id="nightly-report")
    live_tab.open("/config")
    press("Control+k")
    live_tab.page.keyboard.type("night")
    press("Enter")  # at once: the answer to what was typed is waited for
    live_tab.page.wait_for_url(f"{site.url}/jobs/nightly-report")


def test_the_palette_is_a_combobox(site, live_tab, press):
    live_tab.open("/")
    live_tab.press("Find or do")
    field = live_tab.page.get_by_role("combobox")
    expect(field).to_be_focused()
    live_tab.see(live_tab.page.get_by_role("option", name="Overview"))
    active = field.get_attribute("aria-activedescendant")
    press("ArrowDown")
    expect(live_tab.page.locator('[role=option][aria-selected="true"]')).to_have_count(1)
    assert field.get_attribute("aria-activedescendant") != active
    press("ArrowUp", "ArrowUp")  # from the first to the last
    expect(live_tab.page.get_by_role("option").last).to_have_attribute("aria-selected", "true")
    live_tab.page.keyboard.type("zzz")
    live_tab.see(
        live_tab.page.get_by_role(
            "option", name="Search all jobs for \N{LEFT DOUBLE QUOTATION MARK}zzz\N{RIGHT DOUBLE QUOTATION MARK}"
        )
    )
    expect(live_tab.page.locator("#palette-count")).to_have_text("1 result")
    press("Escape")
    expect(live_tab.page.locator("#palette")).to_be_hidden()
    expect(live_tab.page.locator("#find")).to_be_focused()


def test_the_palette_obeys_an_arrow_the_moment_its_results_stand_there(live_tab):
    live_tab.open("/")
    live_tab.page.evaluate(
        """() => new MutationObserver((changes, observer) => {
            if (!document.querySelector("#palette [role=option]")) return;
            observer.disconnect();
            document.querySelector("#palette-field").dispatchEvent(
                new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true, cancelable: true }));
        }).observe(document.querySelector("#palette"), { childList: true, subtree: true })"""
    )
    live_tab.press("Find or do")
    expect(live_tab.page.get_by_role("option").nth(1)).to_have_attribute("aria-selected", "true")


def test_an_action_of_the_palette_asks_first(site, live_tab, press):
    site.add("echo hi", id="one")
    Job.update(state="dead", finished_at=1).execute()
    live_tab.open("/")
    press("Control+k")
    live_tab.page.keyboard.type("retry all")
    press("Enter")
    live_tab.see(live_tab.page.get_by_role("dialog", name="Retry 1 job?"))
    live_tab.press("Retry 1 job")
    wait_until(lambda: queries.find("one").state == "pending")


def test_the_palette_leads_to_a_setting_of_the_same_page(site, live_tab, press):
    live_tab.open("/config")
    press("Control+k")
    live_tab.page.keyboard.type("max_crashes")
    press("Enter")
    expect(live_tab.page).to_have_url(f"{site.url}/config#max_crashes")
    expect(live_tab.page.locator("#palette")).to_be_hidden()


def test_the_palette_is_a_page_too(site, tab):
    site.add("echo hi", id="nightly-report")
    tab.open("/palette")
    tab.page.get_by_role("main").get_by_label("Job id, queue, page or action").fill("night")
    tab.press("Find")
    tab.follow(tab.page.get_by_role("main").get_by_role("link", name="nightly-report"))
    tab.see(tab.page.get_by_role("heading", name="nightly-report"))


def test_a_setting_is_taken_back(site, tab):
    tab.open("/config")
    tab.page.get_by_label("backoff_base", exact=True).fill("7")
    tab.press("Save backoff_base")
    tab.see("backoff_base is 7 now.")
    tab.press("Undo")
    tab.see("back to its default, 2.")
    expect(tab.page.get_by_label("backoff_base", exact=True)).to_have_value("2")
    assert config.last_changes()["backoff_base"].after is None


def test_the_way_back_is_a_key_away_and_waits_for_who_looks_at_it(site, live_tab, press):
    live_tab.page.clock.install()
    live_tab.open("/config")
    live_tab.page.get_by_label("backoff_base", exact=True).fill("7")
    live_tab.press("Save backoff_base")
    toast = live_tab.page.locator(".toast")
    expect(toast).to_be_visible()
    live_tab.page.clock.run_for(15_000)
    expect(toast).to_be_visible()
    toast.get_by_role("button", name="Undo").focus()
    live_tab.page.clock.run_for(30_000)
    expect(toast).to_be_visible()
    press("u")
    live_tab.see("back to its default, 2.")


def test_title_and_icon_follow_the_queue(site, live_tab):
    live_tab.open("/jobs")
    expect(live_tab.page).to_have_title("Jobs \N{EN DASH} QueueCTL")
    site.add("echo hi", id="one")
    expect(live_tab.page).to_have_title("(no workers) Jobs \N{EN DASH} QueueCTL", timeout=10_000)
    expect(live_tab.page.locator("#icon")).to_have_attribute("href", re.compile("favicon-alarm"))


def test_times_are_the_readers_own_or_utc(site, browser):
    site.add("echo hi", id="one")
    instant = 1_700_000_000_000  # 22:13:20 UTC
    Job.update(state="completed", finished_at=instant, updated_at=instant, duration_ms=1, run=1).execute()
    context = browser.new_context(timezone_id="Asia/Tokyo")
    page = context.new_page()
    page.goto(f"{site.url}/jobs/one")
    shown = page.locator("time[data-shows=clock]").first
    expect(shown).to_have_text("15 Nov 2023, 07:13:20")
    assert "2023-11-14 22:13:20 UTC" in shown.get_attribute("title")
    assert shown.get_attribute("datetime") == "2023-11-14T22:13:20Z"
    page.get_by_role("button", name="UTC").click()
    expect(shown).to_have_text("14 Nov 2023, 22:13:20 UTC")
    page.reload()
    expect(shown).to_have_text("14 Nov 2023, 22:13:20 UTC")
    context.close()


def test_without_javascript_times_are_utc_and_say_so(site, browser):
    site.add("echo hi", id="one")
    Job.update(state="completed", finished_at=1_700_000_000_000, duration_ms=1, run=1).execute()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/jobs/one")
    expect(page.locator("time[data-shows=clock]").first).to_have_text("14 Nov 2023, 22:13:20 UTC")
    context.close()


def test_the_chosen_theme_is_there_before_anything_is_drawn(site, browser):
    context = browser.new_context(java_script_enabled=False, color_scheme="light")
    page = context.new_page()
    page.goto(f"{site.url}/")
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    assert page.locator('meta[name="color-scheme"]').get_attribute("content") == "dark"
    context.close()
