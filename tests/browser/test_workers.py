"""What people come to the workers for: scale, see when those who leave are gone, end what heeds nothing, learn who died."""

from __future__ import annotations

import os
import signal

from playwright.sync_api import expect

import workers
from engine import config, queries
from models import Worker
from tests.support import wait_until


def test_workers_are_scaled_up_and_back(site, tab):
    tab.open("/workers")
    tab.page.get_by_label("Scale to").fill("3")
    tab.press("Scale workers")
    tab.see("Scaled from 0 to 3 workers: w1, w2 and w3 will start.")
    tab.see(tab.page.locator("#worker-w3", has_text="idle"))
    tab.page.get_by_label("Scale to").fill("1")
    tab.press("Scale workers")
    tab.see("Scaled from 3 to 1 worker")
    tab.press("Scale back to 3")
    tab.see(tab.page.locator(".tally", has_text="3 wanted"))
    tab.see(tab.page.locator(".tally", has_text="3 take jobs"))


def test_those_who_drain_say_when_they_will_be_gone(site, tab):
    workers.start(2)
    site.add("sleep 1.2", id="once")
    site.wait_for("once", "completed")
    gate = site.path.parent / "gate"
    site.add("sleep 1.2", id="again")
    site.add(f'until [ -e "{gate}" ]; do sleep 0.05; done', id="new")
    site.wait_for("new", "processing")
    tab.open("/workers")
    tab.press("Drain all")
    tab.see("will leave after the present job.")
    tab.see("No history for")
    gate.touch()
    tab.see("No workers are running")
    assert queries.find("new").state == "completed"


def test_what_heeds_no_stop_is_killed_once_its_name_is_typed(site, tab):
    config.set("kill_grace_sec", 3600)
    workers.start(1)
    began = site.path.parent / "began"
    site.add(f"trap '' TERM; touch {began}; while :; do sleep 1; done", id="deaf")
    wait_until(began.exists)
    tab.open("/workers")
    tab.press("Stop now worker w1")
    tab.press("Stop worker now")
    tab.see(tab.page.locator("#worker-w1", has_text="stopping"))
    tab.press("Force-stop worker w1")
    tab.page.get_by_label("Type w1 to confirm").fill("w2")
    tab.press("Force-stop worker")
    tab.see("Type w1 to say that you mean this worker.")
    tab.page.get_by_label("Type w1 to confirm").fill("w1")
    tab.press("Force-stop worker")
    tab.see(tab.page.locator("#ended-w1", has_text="force-stopped"))
    job = queries.find("deaf")
    assert (job.state, job.attempts, job.crashes) == ("pending", 0, 0)
    tab.forgive(422)


def test_one_that_died_is_listed_with_its_reason_and_who_took_its_place(site, tab):
    workers.start(1)
    wait_until(lambda: Worker.get().status == "running")
    tab.open("/workers")
    os.kill(Worker.get().pid, signal.SIGKILL)
    tab.see(tab.page.locator("#ended-w1", has_text="killed by SIGKILL"))
    tab.see(tab.page.locator("#worker-w2", has_text="in place of w1"))
    tab.follow(tab.page.locator("#ended-w1").get_by_role("link", name="w2"))
    expect(tab.page).to_have_url(f"{site.url}/workers#worker-w2")
    tab.page.get_by_label("How they ended").select_option("stopped")
    tab.press("Filter")
    tab.see("No worker that has ended matches.")


def test_what_is_typed_into_the_filter_outlives_what_changes_around_it(site, live_tab):
    workers.start(1)
    wait_until(lambda: Worker.get().status == "running")
    os.kill(Worker.get().pid, signal.SIGKILL)
    live_tab.open("/workers")
    live_tab.see(live_tab.page.locator("#worker-w2", has_text="idle"))
    field = live_tab.page.get_by_label("Reason or host contains")
    field.press_sequentially("SIG")
    os.kill(Worker.get_by_id(2).pid, signal.SIGKILL)
    live_tab.see(live_tab.page.locator("#ended-w2"))
    expect(field).to_have_value("SIG")
    expect(field).to_be_focused()
