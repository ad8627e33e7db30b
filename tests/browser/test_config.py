"""What people come to the settings for: change one, see what others change, go back in its history."""

from __future__ import annotations

from playwright.sync_api import expect

from engine import config


def test_what_somebody_else_changes_appears_by_itself(site, live_tab):
    live_tab.open("/config")
    field = live_tab.page.get_by_label("max_crashes", exact=True)
    expect(field).to_have_value("3")
    config.set("max_crashes", 7, actor="cli:ana")
    live_tab.see(live_tab.page.locator("#facts-max_crashes", has_text="by cli:ana"))
    expect(field).to_have_value("7")
    assert not [request for request in live_tab.requests[1:] if request == "GET /config"]


def test_what_is_typed_outlives_the_change_of_another_and_is_not_saved_over_it_unseen(site, tab):
    tab.open("/config")
    field = tab.page.get_by_label("max_crashes", exact=True)
    field.fill("5")
    config.set("max_crashes", 7, actor="cli:ana")
    if tab.script:
        tab.see(tab.page.locator("#facts-max_crashes", has_text="by cli:ana"))
    expect(field).to_have_value("5")
    tab.press("Save max_crashes")
    tab.see("Meanwhile cli:ana set it to 7. Save again to replace that.")
    expect(field).to_have_value("5")
    assert config.get("max_crashes") == 7
    tab.press("Save max_crashes")
    tab.see("max_crashes is 5 now.")
    assert config.get("max_crashes") == 5
    tab.forgive(409)


def test_a_value_of_the_history_is_taken_back(site, tab):
    for value in (4, 5, 6):
        config.set("max_crashes", value, actor="cli:ana")
    tab.open("/config")
    tab.press("History of max_crashes")
    tab.press("Back to 4")
    tab.see("max_crashes is 4 now.")
    expect(tab.page.get_by_label("max_crashes", exact=True)).to_have_value("4")
    expect(tab.page.locator("#history tbody tr")).to_have_count(4)
    tab.press("Revert")
    tab.see("max_crashes is back to 6.")
    assert config.get("max_crashes") == 6
    assert config.history("max_crashes")[0].actor == "panel"


def test_only_what_is_changed_is_shown_when_asked(site, tab):
    config.set("max_crashes", 4)
    tab.open("/config")
    tab.press("Changed")
    expect(tab.page.get_by_label("max_crashes", exact=True)).to_be_visible()
    expect(tab.page.get_by_label("backoff_base", exact=True)).to_be_hidden()
    expect(tab.page.get_by_role("heading", name="Running")).to_be_hidden()
    tab.press("Reset max_crashes to its default")
    tab.see("Every setting has its default.")


def test_all_of_it_can_be_done_by_keys(site, live_tab):
    live_tab.open("/config#max_crashes")
    live_tab.page.get_by_label("max_crashes", exact=True).focus()
    live_tab.page.keyboard.press("ArrowUp")
    live_tab.page.keyboard.press("Enter")
    live_tab.see("max_crashes is 4 now.")
    live_tab.page.keyboard.press("Tab")  # in a field letters are text
    live_tab.page.keyboard.press("u")
    live_tab.see("back to its default, 3.")
