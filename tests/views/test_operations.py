"""What is done to many jobs at once from a list: the question, the way it goes, and the way back."""

from __future__ import annotations

import re

import pytest

import models
from engine import operations
from models import Job
from tests.views.panel import add

LIST = {"Referer": "http://localhost/jobs?state=dead"}


def states() -> list[str]:
    return [job.state for job in Job.select().order_by(Job.pk)]


@pytest.fixture
def three(panel):
    for name in "abc":
        add("dead", id=name, queue="mail" if name == "c" else "default")
    return panel


def test_the_selected_jobs_are_retried_and_the_list_comes_back_with_an_undo(three):
    answer = three.post("/operations", verb="retry", id=["a", "c"], headers=LIST)
    assert answer.location == "/jobs?state=dead"
    assert states() == ["pending", "dead", "pending"]
    page = three.get("/jobs").text
    assert "2 jobs are pending again." in page
    way_back = re.search(r'<form class="undo" method="post" action="(/operations/\d+/undo)"', page)[1]
    assert three.post(way_back).status_code == 303
    assert states() == ["dead"] * 3


def test_htmx_gets_a_toast_with_an_undo(three):
    answer = three.post("/operations", htmx=True, verb="delete", id=["a"])
    assert answer.status_code == 204
    assert "1 job is deleted." in answer.headers["HX-Trigger"]
    assert "/operations/1/undo" in answer.headers["HX-Trigger"]


@pytest.mark.parametrize("verb", ["retry", "cancel", "delete", "priority", "burn"])
def test_nothing_selected_is_said(three, verb):
    assert three.post("/operations", verb=verb).status_code == 422
    assert "Select the jobs" in three.post("/operations", htmx=True, verb=verb).headers["HX-Trigger"]


def test_what_matches_is_named_by_its_number_before_it_is_done(three):
    question = three.post("/operations", verb="retry", all="1", queue="mail", id=["a"], headers=LIST).text
    assert "Retry 1 job?" in question
    assert states() == ["dead"] * 3
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', question))
    assert form["back"] == "/jobs?state=dead"
    del form["csrf_token"]
    assert three.post("/operations", **form).location == "/jobs?state=dead"
    assert states() == ["dead", "dead", "pending"]


@pytest.mark.parametrize("back", ["//evil.example", "http://evil.example", "/\\evil.example", ""])
def test_the_way_back_never_leads_to_another_site(three, back):
    answer = three.post("/operations", verb="retry", all="1", sure="1", back=back)
    assert "evil" not in answer.location


def test_selected_jobs_that_run_are_named_before_they_are_cancelled(panel):
    add("processing", "sleep 300", id="runs")
    add(id="waits")
    for htmx in (False, True):
        question = panel.post("/operations", htmx=htmx, verb="cancel", id=["runs", "waits"], headers=LIST).text
        assert "Cancel 2 jobs?" in question
        assert "Among them is one that runs: runs (sleep 300)." in question
    assert (states(), Job.select().where(Job.cancel_requested).count()) == (["processing", "pending"], 0)
    assert panel.post("/operations", **answering(question)).location == "/jobs?state=dead"
    assert (states(), Job.select().where(Job.cancel_requested).count()) == (["processing", "cancelled"], 1)


def answering(question: str) -> dict[str, list[str]]:
    """The form that says yes to it."""
    form: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', question):
        form.setdefault(name, []).append(value)
    del form["csrf_token"]
    return form


def begins_to_run(job_id: str) -> None:
    Job.update(state="processing", run=1, locked_by="w1", locked_at=models.now_ms()).where(Job.id == job_id).execute()


def test_a_job_that_began_to_run_after_the_question_or_the_list_is_not_ended(panel):
    add("processing", id="runs")
    for name in ("a", "b", "c"):
        add(id=name)
    question = panel.post("/operations", verb="cancel", id=["runs", "a", "b"]).text
    begins_to_run("a")
    panel.post("/operations", **answering(question))
    assert [job.id for job in Job.select().where(Job.cancel_requested)] == ["runs"]
    assert Job.get(Job.id == "b").state == "cancelled"
    operation = operations.begin("cancel", actor="panel", ids=["c"], running=[])  # nothing ran: not asked
    begins_to_run("c")
    assert (operations.run(operation.pk).skipped, Job.get(Job.id == "c").cancel_requested) == (1, False)


def test_jobs_that_came_after_the_question_are_not_meant(panel):
    add("processing", "sleep 300", id="runs")
    add(id="waits")
    question = panel.post("/operations", verb="cancel", all="1").text
    assert "Cancel 2 jobs?" in question
    assert "Among them is one that runs: runs (sleep 300)." in question
    add(id="late")
    panel.post("/operations", **answering(question))
    assert states() == ["processing", "cancelled", "pending"]


def test_selected_jobs_that_wait_are_cancelled_at_once(panel):
    add(id="waits")
    assert panel.post("/operations", verb="cancel", id=["waits"]).status_code == 303
    assert states() == ["cancelled"]


def test_no_match_is_refused(three):
    answer = three.post("/operations", verb="retry", all="1", text="nothing")
    assert answer.status_code == 409
    assert "No job that matches can be retried." in answer.text


def test_many_are_deleted_only_when_their_number_is_typed(panel):
    for number in range(101):
        add("dead", id=f"j{number}")
    question = panel.post("/operations", htmx=True, verb="delete", all="1").text
    assert "Delete 101 jobs?" in question
    assert "type <b>101</b>" in question
    for typed in ({}, {"shown": "101", "typed": "100"}, {"typed": ""}):
        assert panel.post("/operations", verb="delete", all="1", sure="1", **typed).status_code == 422
    assert panel.post("/operations", verb="delete", all="1", sure="1", shown="101", typed="101").status_code == 303
    assert set(states()) == {"deleted"}


def test_a_priority_is_given_to_the_selected(panel):
    add(id="a")
    panel.post("/operations", verb="priority", priority="7", id=["a"])
    assert Job.get().priority == 7
    assert panel.post("/operations", verb="priority", priority="700", id=["a"]).status_code == 422


def test_what_takes_longer_goes_on_on_its_own_page(three, monkeypatch):
    monkeypatch.setattr("views.operations._STEP_S", 0)
    monkeypatch.setattr(operations, "BATCH", 1)
    answer = three.post("/operations", verb="retry", id=["a", "b", "c"])
    assert answer.location == "/operations/1"
    page = three.get("/operations/1").text
    assert 'hx-trigger="load, every 2s"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert 'action="/operations/1/go-on"' in page
    assert "Running, 33 %" in three.get("/operations").text
    assert three.post("/operations/1/go-on").location == "/operations/1"
    last = three.post("/operations/1/go-on", htmx=True).text
    assert "3 jobs are pending again." in last
    assert "hx-trigger" not in last
    htmx = three.post("/operations", htmx=True, verb="delete", id=["a", "b", "c"])
    assert htmx.headers["HX-Redirect"] == "/operations/2"


def test_the_operations_are_remembered_with_who_and_what(three):
    three.post("/operations", verb="delete", all="1", sure="1", state="dead", queue="mail")
    page = three.get("/operations").text
    assert "delete all with state: dead, queue: mail" in page
    assert "1 job is deleted." in page
    assert "panel" in page
    assert "Nothing yet" not in page


def test_looking_changes_nothing(three):
    three.post("/operations", verb="delete", id=["a"])
    before = three.dump()
    for url in ("/operations", "/operations/1", "/jobs?text=a", "/dlq?error=x*", "/jobs?news=0&mark=0"):
        three.get(url)
        three.piece(url)
    assert three.dump() == before


def test_an_unknown_verb_is_refused(three):
    for scope in ({"all": "1"}, {"id": ["a"]}):
        assert three.post("/operations", verb="burn", **scope).status_code == 422
