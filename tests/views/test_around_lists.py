"""What belongs to the lists: export, saved views, the trash, the causes of death."""

from __future__ import annotations

import csv
import io
import json
import re
from urllib.parse import quote

import pytest

from models import Job
from tests.views.panel import add

HOSTILE = "<script>alert(1)</script>"


def test_what_the_list_shows_is_exported_whole(panel):
    for number in range(120):
        add(id=f"j{number}", queue="mail" if number % 2 else "default")
    answer = panel.get("/export?as=jsonl&queue=mail")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["id"] for row in rows] == [f"j{number}" for number in range(119, 0, -2)]
    assert answer.headers["Content-Disposition"] == "attachment; filename=jobs.jsonl"
    answer = panel.get("/export?as=csv&queue=mail&state=pending")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 60


@pytest.mark.parametrize("query", ["as=xml", "as=csv&exit_code=many", "state=odd"])
def test_an_export_that_cannot_be_is_refused(panel, query):
    assert panel.get(f"/export?{query}").status_code == 422


def test_the_list_leads_to_its_export(panel):
    add("dead", id="a")
    assert 'href="/export?state=dead&amp;as=csv"' in panel.get("/dlq").text


def test_a_view_is_saved_used_and_deleted(panel):
    add("dead", id="a", queue="mail")
    answer = panel.post("/views", name="mail that died", state="dead", queue="mail")
    assert answer.location == "/jobs?state=dead&queue=mail"
    assert '<a class="chip" href="/jobs?state=dead&amp;queue=mail">mail that died</a>' in panel.get("/jobs").text
    assert "state: dead, queue: mail" in panel.get("/views").text
    assert panel.post("/views/delete", name="mail that died").status_code == 303
    assert "No views yet" in panel.get("/views").text


def test_a_view_needs_a_name_and_a_filter(panel):
    assert panel.post("/views", name="", state="dead").status_code == 422
    assert panel.post("/views", name="all").status_code == 422


def test_the_trash_shows_until_when_and_gives_back(panel):
    add("completed", HOSTILE, id="a")
    panel.post("/jobs/a/delete")
    page = panel.get("/trash").text
    assert HOSTILE not in page
    assert "removed <time" in page
    token = re.search(r'name="token" value="([^"]+)"', page)[1]
    assert panel.post("/jobs/undelete", token=token).status_code == 303
    assert Job.get().state == "completed"
    assert "The trash is empty" in panel.get("/trash").text


def test_one_job_is_removed_for_good_after_a_question(panel):
    add(id="a")
    panel.post("/jobs/a/delete")
    url = re.search(r'href="(/trash/[^"]+/remove)"', panel.get("/trash").text)[1]
    assert "cannot be undone" in panel.get(url).text
    assert panel.post(url).location == "/trash"
    assert Job.select().count() == 0
    assert panel.post(url).status_code == 404


def test_one_cause_is_retried_at_once(panel):
    for number in range(3):
        add("dead", id=f"db{number}", last_error=f"exit code 1: host db-{number} is down {HOSTILE}")
    add("dead", id="slow", last_error="timed out after 5 s")
    page = panel.get("/dlq/causes").text
    assert HOSTILE not in page
    assert "3 jobs" in page
    pattern = re.search(r'name="cause" value="([^"]+)"', page)[1].replace("&lt;", "<").replace("&gt;", ">")
    question = panel.post("/operations", verb="retry", all="1", state="dead", cause=pattern)
    assert "Retry 3 jobs?" in question.text
    assert 'data-count="3"' in panel.get(f"/dlq?cause={quote(pattern)}").text
    panel.post("/operations", verb="retry", all="1", sure="1", state="dead", cause=pattern)
    assert [job.state for job in Job.select().order_by(Job.pk)] == ["pending"] * 3 + ["dead"]


def test_a_cause_keeps_the_name_of_its_row_in_whatever_place(panel):
    """By it a list that the reader is busy with finds the row again."""
    row = re.compile(r'<li id="(cause-\w+)">.*?<code>(.*?)</code>', re.DOTALL)
    pages = []
    for error in ("refused", "timed out", "timed out"):
        add("dead", last_error=error)
        pages.append(panel.get("/dlq/causes").text)
    found = [row.findall(page.split("data-rows")[1]) for page in pages[1:]]
    assert found[0] == found[1][::-1]
    assert len(found[0]) == 2


def test_no_deaths_are_good_news(panel):
    assert "Good news" in panel.get("/dlq/causes").text
