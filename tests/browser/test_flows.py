"""What people come to do, with JavaScript and without."""

from __future__ import annotations

from playwright.sync_api import expect

import workers
from engine import config, queries
from tests.support import wait_until


def test_a_job_is_enqueued_by_form_and_seen_to_complete_with_its_output(site, tab):
    workers.start(1)
    gate = site.path.parent / "gate"
    tab.open("/")
    tab.press("Enqueue")
    command = f'echo first; echo oops >&2; until [ -e "{gate}" ]; do sleep 0.05; done; echo last'
    tab.page.get_by_label("Command").fill(command)
    tab.press("Enqueue job")
    tab.see("is enqueued.")
    tab.see(tab.page.get_by_text("Running on w1"))
    tab.see(tab.page.locator("#stdout", has_text="first"))
    tab.see(tab.page.locator("#stderr", has_text="oops"))
    gate.touch()
    tab.see(tab.page.locator("#stdout", has_text="last"))
    tab.see(tab.page.get_by_text("Completed in"))
    assert tab.page.locator("#stdout").inner_text().split() == ["first", "last"]


def test_a_mistake_is_shown_at_its_field(site, tab):
    tab.open("/enqueue")
    tab.page.get_by_label("Command").fill("echo kept")
    tab.page.get_by_text("More settings").click()
    tab.page.get_by_label("Priority").fill("high")
    tab.press("Enqueue job")
    tab.see("Must be a whole number from -100 to 100")
    expect(tab.page.get_by_label("Command")).to_have_value("echo kept")
    expect(tab.page.get_by_label("Priority")).to_be_focused()
    tab.page.get_by_label("Priority").fill("7")
    tab.press("Enqueue job")
    tab.see("is enqueued.")
    tab.forgive(422)


def test_a_dead_job_is_retried(site, tab):
    site.add_dead("one")
    tab.open("/dlq")
    tab.see("exit code 3: trouble")
    tab.press("Retry job one")
    tab.see("Job one is pending again.")
    tab.see("Good news")
    assert queries.find("one").state == "pending"


def test_the_selected_dead_jobs_are_retried(site, tab):
    site.add_dead("one", "two", "three")
    tab.open("/dlq")
    tab.page.get_by_label("Select job one").check()
    tab.page.get_by_label("Select job three").check()
    tab.press("Retry 2 selected" if tab.script else "Retry selected")
    tab.see("2 jobs are pending again.")
    tab.see("All 1 that match")
    assert queries.find("two").state == "dead"


def test_all_dead_jobs_are_retried(site, tab):
    site.add_dead("one", "two")
    tab.open("/dlq")
    tab.page.get_by_label("All 2 that match").check()
    tab.press("Retry all 2" if tab.script else "Retry selected")
    tab.see("Retry 2 jobs?")
    tab.press("Retry 2 jobs")
    tab.see("2 jobs are pending again.")
    tab.see("Good news")


def test_workers_are_started_drained_and_stopped(site, tab):
    tab.open("/workers")
    tab.see("No workers are running")
    tab.page.get_by_label("Start", exact=True).fill("3")
    tab.press("Start workers")
    tab.see("3 workers will start: w1, w2 and w3.")
    tab.see(tab.page.locator("#worker-w3", has_text="idle"))
    tab.press("Drain worker w1")
    tab.see("w1 will leave after the present job.")
    tab.see(tab.page.get_by_role("heading", name="2 workers on"))
    job_id = site.add("sleep 60")
    site.wait_for(job_id, "processing")
    holder = queries.find(job_id).locked_by
    tab.see(tab.page.locator(f"#worker-{holder}", has_text="busy"))
    tab.press(f"Stop now worker {holder}")
    tab.see(f"It runs job {job_id}")
    tab.press("Stop worker now")
    tab.see(f"{holder} will stop now.")
    tab.see(tab.page.get_by_role("heading", name="1 worker on"))
    tab.press("Stop all now")
    tab.press("Stop 1 worker now")
    tab.see("No workers are running")
    assert queries.find(job_id).state == "pending"
    assert queries.find(job_id).attempts == 0


def test_the_overview_starts_workers_when_jobs_wait(site, tab):
    job_id = site.add("echo done")
    tab.open("/")
    tab.see("1 job waits")
    tab.press("Start 2 workers")
    tab.see("2 workers will start")
    site.wait_for(job_id, "completed")
    tab.see(tab.page.locator('.tile[data-state="completed"]', has_text="1"))


def test_a_setting_is_changed_and_reset(site, tab):
    tab.open("/config")
    tab.page.get_by_label("backoff_base", exact=True).fill("0.5")
    tab.press("Save backoff_base")
    tab.see("backoff_base must be a number from 1 to 100.")
    expect(tab.page.get_by_label("backoff_base", exact=True)).to_have_value("0.5")
    tab.forgive(422)
    tab.page.get_by_label("backoff_base", exact=True).fill("3")
    tab.press("Save backoff_base")
    tab.see("backoff_base is 3 now.")
    assert config.get("backoff_base") == 3
    tab.press("Reset backoff_base to its default")
    tab.see("back to its default, 2.")
    assert config.get("backoff_base") == 2


def test_a_running_job_is_cancelled(site, tab):
    workers.start(1)
    site.add("sleep 60", id="long")
    site.wait_for("long", "processing")
    tab.open("/jobs/long")
    tab.press("Cancel job long")
    tab.see("its command is told to end")
    tab.see(tab.page.get_by_text("Cancelled at"))


def test_a_job_is_deleted_after_a_question(site, tab):
    site.add("echo hi", id="one")
    tab.open("/jobs/one")
    tab.press("Delete job one")
    tab.see("it can be brought back")
    tab.press("Delete job")
    tab.see("Job one is deleted.")
    tab.see("No jobs yet")
    assert tab.page.url == site.url + "/jobs"


def test_jobs_are_filtered_and_the_address_can_be_shared(site, tab):
    site.add("echo needle", id="one", queue="mail")
    site.add("echo hay", id="two")
    tab.open("/jobs")
    tab.page.get_by_label("Id or command contains").fill("needle")
    if not tab.script:
        tab.press("Filter")
    expect(tab.page.locator("#jobs tbody tr")).to_have_count(1)
    wait_until(lambda: "text=needle" in tab.page.url)
    tab.open(tab.page.url.removeprefix(site.url))
    expect(tab.page.locator("#jobs tbody tr")).to_have_count(1)


def test_the_theme_is_chosen_and_kept(site, tab):
    tab.open("/enqueue")
    tab.press("Dark")
    html = tab.page.locator("html")
    expect(html).to_have_attribute("data-theme", "dark")
    tab.open("/")
    expect(html).to_have_attribute("data-theme", "dark")
    dark = tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    tab.press("Light")
    expect(html).to_have_attribute("data-theme", "light")
    assert tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != dark
