"""The page of the queues: what is in each, and what an operator decides."""

from __future__ import annotations

import re

import pytest

from engine import jobs, queues
from models import Queue
from tests.views.panel import add
from tests.views.test_overview import ended, text


def row(panel, name: str) -> str:
    page = panel.get("/queues").text
    return re.search(rf'<tr role="row" id="queue-{name}".*?</tr>', page, re.S)[0]


def test_without_jobs_it_says_how_a_queue_begins(panel):
    assert "No queue holds jobs" in panel.get("/queues").text


def test_a_queue_says_what_is_due_later_running_dead_and_what_ended(panel):
    for state in ("pending", "pending", "processing", "dead"):
        add(state, queue="mail")
    jobs.enqueue({"command": ":", "queue": "mail", "run_at": "+1h"})
    ended(1200, queue="mail")
    shown = row(panel, "mail")
    cells = [text(cell) for cell in re.findall(r"<td.*?</td>", shown, re.S)]
    assert [cells[place] for place in (0, 1, 3, 4, 5, 6)] == ["mail", "2", "1", "1", "1", "1,200"]
    assert 'href="/jobs?queue=mail&amp;state=dead"' in shown
    assert shown.count("<rect") == 1


def test_what_nobody_counted_to_its_end_says_so(panel, monkeypatch):
    monkeypatch.setattr(queues, "_COUNTED", 2)
    for when in ("+0s", "+1d"):
        jobs.enqueue_many({"command": ":", "queue": "mail", "run_at": when} for _ in range(3))
    assert "2 + or more" in text(row(panel, "mail"))


def test_a_queue_is_paused_and_resumed(panel):
    add("pending", queue="mail")
    assert panel.post("/queues/mail/pause").status_code == 303
    assert queues.standing("mail").paused
    assert queues.standing("mail").actor == "panel"
    assert "/queues/mail/resume" in row(panel, "mail")
    answer = panel.post("/queues/mail/resume", htmx=True)
    assert answer.status_code == 204
    assert "The queue mail is resumed." in answer.headers["HX-Trigger"]
    assert Queue.select().count() == 0


def test_a_limit_is_set_taken_back_and_shown(panel):
    add("processing", queue="mail")
    answer = panel.post("/queues/mail/limit", htmx=True, most="2")
    assert "runs at most 2 jobs at once" in answer.headers["HX-Trigger"]
    assert '"most": ""' in answer.headers["HX-Trigger"]  # the way back
    assert "of 2" in text(row(panel, "mail"))
    assert 'value="2"' in row(panel, "mail")
    panel.post("/queues/mail/limit", most="")
    assert queues.standing("mail").limit is None


@pytest.mark.parametrize("most", ["0", "-1", "many", "1.5", "99999999", "٣"])
def test_what_is_no_limit_is_refused_in_a_sentence(panel, most):
    answer = panel.post("/queues/mail/limit", most=most)
    assert answer.status_code == 422
    assert "A limit is a whole number from 1 to 1000" in answer.text
    assert Queue.select().count() == 0


def test_what_is_no_name_is_refused(panel):
    assert panel.post("/queues/a b/pause").status_code == 422
