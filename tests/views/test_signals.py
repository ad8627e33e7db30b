"""What a tab in the background tells: title and icon."""

from __future__ import annotations

import json
import re

import pytest

from engine import jobs
from models import Job, Worker
from tests.views.panel import add


def title(page) -> str:
    return re.search(r"<title>(.*?)</title>", page.text)[1]


def icon(page) -> str:
    return re.search(r'<link id="icon"[^>]*href="[^"]*/([^"/]+)"', page.text)[1]


@pytest.fixture
def staffed(panel):
    """A panel with a worker."""
    Worker.insert(host="here", pid=1, created_at=1, started_at=1, status="running").execute()
    return panel


def test_a_quiet_queue_has_a_plain_title_and_icon(staffed):
    add("pending")
    assert title(staffed.get("/jobs")) == "Jobs \N{EN DASH} QueueCTL"
    assert icon(staffed.get("/jobs")) == "favicon.svg"


def test_the_dead_are_counted_in_the_title_of_every_page(staffed):
    for number in range(3):
        add("dead", id=f"one{number}")
    for url in ("/", "/jobs", "/jobs/one0", "/dlq", "/workers", "/config", "/enqueue", "/palette", "/shortcuts"):
        assert title(staffed.get(url)).startswith("(3 dead) "), url
    assert title(staffed.get("/jobs")) == "(3 dead) Jobs \N{EN DASH} QueueCTL"


def test_work_without_workers_is_in_the_title_and_alarms(panel):
    add("pending")
    assert title(panel.get("/")) == "(no workers) Overview \N{EN DASH} QueueCTL"
    assert icon(panel.get("/")) == "favicon-alarm.svg"


def test_the_icon_alarms_until_the_dead_were_looked_at_and_again_when_they_grow(staffed):
    add("dead")
    assert icon(staffed.get("/jobs")) == "favicon-alarm.svg"
    assert icon(staffed.get("/dlq")) == "favicon.svg"
    assert icon(staffed.get("/jobs")) == "favicon.svg"
    add("dead")
    assert icon(staffed.get("/jobs")) == "favicon-alarm.svg"
    staffed.get("/dlq")
    Job.update(state="pending").execute()
    staffed.get("/jobs")  # the reader knows that none is left
    add("dead")
    assert icon(staffed.get("/jobs")) == "favicon-alarm.svg"


def test_a_poll_brings_title_and_icon_along(staffed):
    add("dead", id="one")
    told = json.loads(staffed.piece("/jobs/one").headers["HX-Trigger"])["signals"]
    assert told["title"] == "(1 dead) one \N{EN DASH} QueueCTL"
    assert told["icon"].endswith("/favicon-alarm.svg")
    assert staffed.get(told["icon"]).status_code == 200


def test_an_unchanged_page_is_asked_again_when_only_the_trouble_changed(staffed):
    poll = re.search(r'hx-get="(/workers[^"]*v=[^"]*)"', staffed.get("/workers").text)[1]
    assert staffed.piece(poll).status_code == 204
    add("dead")
    assert "1 dead" in staffed.piece(poll).headers["HX-Trigger"]


def test_a_page_of_an_error_on_our_side_alarms(staffed, monkeypatch):
    monkeypatch.setattr("engine.queries.counts", lambda *_: 1 / 0)
    assert icon(staffed.get("/")) == "favicon-alarm.svg"
    assert icon(staffed.get("/nowhere")) == "favicon.svg"


def test_jobs_that_wait_for_their_time_are_no_trouble(panel):
    jobs.enqueue({"command": ":", "run_at": "+1d"})
    assert "no workers" not in panel.get("/jobs").text
    jobs.enqueue({"command": ":"})
    assert "(no workers)" in panel.get("/jobs").text
