"""What people come to the enqueue pages for, with JavaScript and without."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from engine import config, queries
from models import Job
from tests.browser.tab import Tab
from tests.browser.test_accessibility import TOO_SMALL, problems
from tests.support import wait_until


def fill(tab: Tab, command: str, **fields: str) -> None:
    tab.page.get_by_label("Command").fill(command)
    if fields and not tab.page.get_by_label("Priority").is_visible():
        tab.page.get_by_text("More settings").click()
    for label, text in fields.items():
        tab.page.get_by_label(label.replace("_", " "), exact=True).fill(text)


def check(tab: Tab) -> None:
    """By itself after a pause in typing; without JavaScript by the button."""
    if not tab.script:
        tab.press("Check")


def test_a_check_warns_before_anything_is_stored(site, tab):
    tab.open("/enqueue")
    fill(tab, "no_such_program --now", Folder="/no/such/folder", Timeout="0.5")
    check(tab)
    tab.see("there is no program no_such_program here")
    tab.see("there is no such folder here")
    tab.see("only 500 ms")
    expect(tab.page.get_by_label("Command")).to_have_value("no_such_program --now")
    assert Job.select().count() == 0
    tab.press("Enqueue job")
    tab.see("is enqueued.")


def test_what_the_shell_cannot_read_is_enqueued_only_on_purpose(site, tab):
    tab.open("/enqueue")
    fill(tab, "echo 'open")
    tab.press("Enqueue job")
    tab.see("Nothing was enqueued.")
    expect(tab.page.get_by_label("Command")).to_be_focused()
    tab.press("Enqueue anyway")
    tab.see("is enqueued.")
    tab.forgive(422)


def test_the_attempts_are_shown_as_the_settings_make_them(site, tab):
    config.set("backoff_base", 3)
    tab.open("/enqueue")
    tab.see(tab.page.locator(".schedule", has_text="+27 s"))
    fill(tab, "true", Retries="1")
    check(tab)
    tab.see("dead after 2 attempts")
    expect(tab.page.locator(".schedule")).not_to_contain_text("+27 s")
    expect(tab.page.locator(".schedule")).to_contain_text("+3 s")


def test_what_is_typed_is_checked_a_moment_later_and_no_key_is_lost(site, live_tab):
    live_tab.open("/enqueue")
    live_tab.page.keyboard.type("echo 'a")
    live_tab.see("the shell cannot read it")
    live_tab.page.keyboard.type(" b'")
    live_tab.see("nothing else is amiss")
    expect(live_tab.page.get_by_label("Command")).to_have_value("echo 'a b'")
    assert sum("/enqueue/check" in request for request in live_tab.requests) <= 3


@pytest.mark.parametrize("script", [True, False])
def test_a_date_is_one_of_the_readers_own_zone_or_of_the_one_that_is_named(site, browser: Browser, script):
    context = browser.new_context(timezone_id="America/New_York", java_script_enabled=script)
    tab = Tab(site, context, script)
    tab.open("/enqueue")
    fill(tab, "true", Not_before="2030-07-01T08:00")
    tab.press("Enqueue job")
    tab.see("is enqueued.")
    context.close()
    assert queries.iso(Job.get().next_run_at) == ("2030-07-01T12:00:00Z" if script else "2030-07-01T08:00:00Z")


def test_going_back_and_sending_again_leads_to_the_job_of_the_first(site, live_tab):
    live_tab.open("/enqueue")
    fill(live_tab, "echo once")
    live_tab.press("Enqueue job")
    live_tab.see("is enqueued.")
    first = live_tab.page.url
    live_tab.page.go_back()
    live_tab.page.get_by_label("Command").fill("echo once")
    live_tab.press("Enqueue job")
    live_tab.see("not enqueued twice")
    assert live_tab.page.url == first
    assert Job.select().count() == 1


def test_reloading_the_answer_sends_nothing_again(site, tab):
    tab.open("/enqueue")
    fill(tab, "echo once")
    tab.press("Enqueue job")
    tab.see("is enqueued.")
    tab.page.reload()
    assert Job.select().count() == 1


def test_a_double_click_stores_one_job(site, tab):
    tab.open("/enqueue")
    fill(tab, "echo once")
    tab.page.get_by_role("button", name="Enqueue job").dblclick(no_wait_after=True)
    tab.page.wait_for_url(re.compile("/jobs/"))
    assert Job.select().count() == 1


def test_another_like_it_is_enqueued_and_names_its_origin(site, tab):
    tab.open("/enqueue")
    fill(tab, "echo hi", Id="one", Queue="mail")
    tab.press("Enqueue job")
    tab.press("Enqueue another like it")
    expect(tab.page.get_by_label("Command")).to_have_value("echo hi")
    expect(tab.page.get_by_label("Queue", exact=True)).to_have_value("mail")
    tab.press("Enqueue job")
    tab.see("is enqueued.")
    assert [job.origin for job in Job.select().order_by(Job.pk)] == [None, "one"]


def test_many_are_pasted_mended_and_seen_in_a_list_of_their_own(site, tab):
    site.add("echo other", id="other")
    tab.open("/enqueue")
    tab.press("Many jobs")
    tab.page.get_by_label("JSON").check()
    field = tab.page.get_by_label("Jobs", exact=True)
    field.fill('{"command": "echo a"}\n{"command": "echo b", "priority": 500}')
    tab.press("Enqueue jobs")
    tab.see("priority: must be from -100 to 100.")
    expect(tab.page.locator(".report")).to_be_focused()
    assert Job.select().count() == 1
    field.fill('{"command": "echo a"}\n{"command": "echo b", "priority": 5}')
    tab.press("Enqueue jobs")
    tab.see("2 jobs are enqueued. Here are just these.")
    expect(tab.page.locator("#jobs tbody tr")).to_have_count(2)
    tab.forgive(422)


def test_a_file_is_checked_and_then_enqueued(site, tab, tmp_path):
    file = tmp_path / "jobs.txt"
    file.write_text("echo a\necho b\n")
    tab.open("/enqueue/many")
    tab.page.get_by_label("Plain lines").check()
    tab.page.get_by_label("Or a file").set_input_files(file)
    tab.press("Check")
    tab.see("2 jobs, and nothing is amiss.")
    assert Job.select().count() == 0
    tab.press("Enqueue jobs")  # with a script the file is still chosen, without it the lines are in the field
    tab.see("2 jobs are enqueued.")


def test_a_file_that_is_too_large_is_answered_in_a_sentence(site, tab, tmp_path):
    file = tmp_path / "jobs.txt"
    file.write_bytes(b"echo a\n" * 4_000_000)
    tab.open("/enqueue/many")
    tab.page.get_by_label("Plain lines").check()
    tab.page.get_by_label("Or a file").set_input_files(file)
    tab.press("Enqueue jobs")
    tab.see("at most 8 MB")
    tab.forgive(413)


def test_all_of_it_is_done_by_keys(site, live_tab):
    live_tab.open("/enqueue")
    live_tab.page.keyboard.type("echo keys")
    live_tab.page.keyboard.press("Tab")
    live_tab.page.keyboard.press("Enter")  # opens the settings
    live_tab.page.keyboard.press("Tab")
    live_tab.page.keyboard.type("by-keys")
    live_tab.page.keyboard.press("Enter")
    live_tab.see("Job by-keys is enqueued.")
    wait_until(lambda: queries.find("by-keys").command == "echo keys")


def test_checks_and_reports_can_be_used_by_everybody(site, live_tab):
    tab = live_tab
    tab.open("/enqueue")
    fill(tab, "no_such_program " + "x" * 300, Retries="30", Folder="/nope", Not_before="2030-07-01T08:00")
    tab.see("there is no such folder here")
    found = problems(tab, "a check")
    tab.open("/enqueue/many")
    found += problems(tab, "many")
    tab.page.get_by_text("For all that").click()
    tab.page.get_by_label("Plain lines").check()
    tab.page.get_by_label("Jobs", exact=True).fill("\n".join("echo '" + "x" * 300 for _ in range(30)))
    tab.press("Check")
    tab.see("And 10 more mistakes.")
    found += problems(tab, "a check of many")
    found += tab.page.evaluate(TOO_SMALL)
    tab.press("Enqueue jobs")
    tab.see("Enqueue anyway")
    found += problems(tab, "a report")
    tab.forgive(422)
    assert not found, "\n".join(found)
