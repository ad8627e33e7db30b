"""Enqueue, the dead letter queue, workers and config: what the forms do."""

from __future__ import annotations

import json
import re

import pytest

import models
import workers
from engine import config
from engine.errors import InvalidInput, NotFound
from models import Job, Worker
from tests.views.panel import add

# --- enqueue


def test_a_command_is_enqueued_and_its_page_shown(panel):
    answer = panel.post("/enqueue", command="echo hi\r\necho ho")
    assert answer.status_code == 303
    job = Job.get()
    assert job.command == "echo hi\necho ho"
    assert answer.location == f"/jobs/{job.id}"
    assert f"Job {job.id} is enqueued." in panel.get(answer.location).text


def test_every_field_reaches_the_job(panel):
    panel.post(
        "/enqueue",
        command="echo hi",
        id="job1",
        queue="mail",
        priority="-5",
        max_retries="0",
        timeout_sec="1.5",
        run_at="+10m",
        cwd="/srv",
        env="A=1\r\n\r\nB=x=y",
        tags="nightly, report",
    )
    job = Job.get()
    assert (job.id, job.queue, job.priority, job.max_retries, job.timeout_ms, job.cwd) == (
        "job1",
        "mail",
        -5,
        0,
        1500,
        "/srv",
    )
    assert json.loads(job.env) == {"A": "1", "B": "x=y"}
    assert json.loads(job.tags) == ["nightly", "report"]
    assert job.next_run_at == job.created_at + 600_000


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("command", " ", "Is empty; say what to run"),
        ("command", "echo \0", "Contains a NUL byte"),
        ("id", "a b", "Use 1 to 128 letters"),
        ("queue", "a b", "Use 1 to 64 letters"),
        ("priority", "high", "Must be a whole number from -100 to 100"),
        ("priority", "101", "Must be from -100 to 100"),
        ("max_retries", "1.5", "Must be a whole number"),
        ("timeout_sec", "-1", "Must be from 0"),
        ("run_at", "soon", "Use &#34;2025-11-04T10:30:00Z&#34;"),
        ("cwd", "srv", "Must be an absolute path"),
        ("env", "A=1\nB", "Line 2 has no =; write NAME=value."),
        ("env", "1A=x", "is not a name"),
        ("tags", "a" * 65, "Each tag has 1 to 64 characters"),
    ],
)
def test_a_mistake_is_shown_at_its_field_and_all_values_are_kept(panel, field, value, sentence):
    answer = panel.post("/enqueue", **({"command": "echo kept"} | {field: value}))
    assert answer.status_code == 422
    assert re.search(rf'id="{field}-error">.*?{re.escape(sentence)}', answer.text, re.DOTALL)
    assert re.search(rf'id="f-{field}"[^>]*aria-invalid="true"', answer.text)
    if field != "command":
        assert "echo kept" in answer.text
        assert '<details class="more" open>' in answer.text
    assert Job.select().count() == 0


def test_a_taken_id_is_shown_at_its_field(panel):
    add(id="job1", command="other")
    answer = panel.post("/enqueue", id="job1", command="echo hi")
    assert answer.status_code == 422
    assert "There is a job job1 already" in answer.text


@pytest.mark.parametrize("chosen", ["", "job1"])
def test_a_form_sent_twice_stores_one_job(panel, chosen):
    token = re.search(r'name="token" value="([^"]+)"', panel.get("/enqueue").text)[1]
    first, second = (panel.post("/enqueue", command="echo hi", token=token, id=chosen) for _ in range(2))
    assert first.location == second.location == f"/jobs/{Job.get().id}"
    assert Job.select().count() == 1
    assert "not enqueued twice" in panel.get(second.location).text


def test_a_form_sent_again_with_another_command_stores_another_job_and_that_once(panel):
    token = re.search(r'name="token" value="([^"]+)"', panel.get("/enqueue").text)[1]
    for command in ("echo a", "echo b", "echo b"):
        assert panel.post("/enqueue", command=command, token=token).status_code == 303
    assert sorted(job.command for job in Job.select()) == ["echo a", "echo b"]


def test_the_form_can_be_filled_from_a_job(panel):
    add(id="job1", command="echo <hi>", priority=7, tags=["a", "b"], env={"A": "1"}, timeout_sec=0)
    page = panel.get("/enqueue?from=job1").text
    assert "echo &lt;hi&gt;</textarea>" in page
    assert 'name="priority" type="text" inputmode="numeric" value="7"' in page
    assert 'value="a b"' in page
    assert "A=1</textarea>" in page
    assert re.search(r'name="timeout_sec"[^>]*value="0"', page)
    assert panel.get("/enqueue?from=none").status_code == 404


def test_the_form_warns_when_nobody_works(panel):
    assert "No worker is running" in panel.get("/enqueue").text
    Worker.insert(host="here", created_at=1, status="starting").execute()
    assert "No worker is running" not in panel.get("/enqueue").text


# --- dead letter queue


def test_an_empty_dlq_is_good_news(panel):
    assert "Good news" in panel.get("/dlq").text


def test_the_last_to_die_comes_first(panel):
    for number, finished_at in enumerate((5000, 9000, 7000)):
        add("dead", id=f"job{number}", finished_at=finished_at)
    assert re.findall(r'<span class="id">(\w+)</span>', panel.get("/dlq").text) == ["job1", "job2", "job0"]


def test_the_dlq_has_pages_that_lead_back(panel):
    for number in range(120):
        add("dead", id=f"job{number}", finished_at=5000 + number // 7)  # many at the same instant
    seen, url = [], "/dlq"
    while url:
        text = panel.get(url).text
        seen.append(re.findall(r'<span class="id">(\w+)</span>', text))
        found = re.search(r'rel="next" href="([^"]+)"', text)
        url = found and found[1]
    assert [name for page in seen for name in page] == [f"job{number}" for number in reversed(range(120))]
    back = re.search(r'rel="prev" href="([^"]+)"', text)[1]
    assert re.findall(r'<span class="id">(\w+)</span>', panel.get(back).text) == seen[1]


def test_one_dead_job_is_retried(panel):
    add("dead", id="a")
    assert panel.post("/dlq/a/retry").status_code == 303
    assert Job.get().state == "pending"
    assert panel.post("/dlq/a/retry").status_code == 409


def test_all_dead_jobs_are_retried_after_a_question(panel):
    for name in "abc":
        add("dead", id=name)
    assert "All 3 that match" in panel.get("/dlq").text
    assert "Retry 3 jobs?" in panel.get("/dlq/retry-all").text
    answer = panel.post("/operations", htmx=True, verb="retry", all="1", sure="1", state="dead")
    assert "3 jobs are pending again." in answer.headers["HX-Trigger"]
    assert {job.state for job in Job.select()} == {"pending"}


# --- workers


@pytest.fixture
def asked(monkeypatch):
    """What the workers were asked, instead of doing it."""
    asked = []

    def answer(verb):
        def ask(argument=None):
            if argument == "w9":
                raise NotFound("Worker w9 does not live (any more).")
            asked.append((verb, argument))
            return ["w1", "w2"]

        return ask

    for verb in ("start", "drain", "stop"):
        monkeypatch.setattr(workers, verb, answer(verb))
    return asked


@pytest.mark.parametrize(
    ("url", "form", "call", "sentence"),
    [
        ("/workers/start", {"count": "2"}, ("start", 2), "2 workers will start: w1 and w2."),
        ("/workers/drain", {}, ("drain", None), "w1 and w2 will leave after the present job."),
        ("/workers/w1/drain", {}, ("drain", "w1"), "w1 and w2 will leave after the present job."),
        ("/workers/stop", {}, ("stop", None), "w1 and w2 will stop now."),
        ("/workers/w1/stop", {}, ("stop", "w1"), "w1 and w2 will stop now."),
    ],
)
def test_a_wish_is_passed_on_and_said(panel, asked, url, form, call, sentence):
    answer = panel.post(url, **form)
    assert answer.status_code == 303
    assert answer.location == "/workers"
    assert asked == [call]
    assert sentence in panel.get("/workers").text
    assert sentence in panel.post(url, htmx=True, **form).headers["HX-Trigger"]


@pytest.mark.parametrize("count", ["", "x", "-1", "1.5", "1e3", "\N{SUPERSCRIPT TWO}", "9" * 20])
def test_a_number_of_workers_that_is_none_is_refused(panel, asked, count):
    assert panel.post("/workers/start", count=count).status_code == 422
    assert asked == []


def test_too_many_workers_are_refused_in_the_engines_words(panel, monkeypatch):
    def refuse(_):
        raise InvalidInput("At most 256 workers can live on one host; 0 do.", "count")

    monkeypatch.setattr(workers, "start", refuse)
    answer = panel.post("/workers/start", count="999")
    assert answer.status_code == 422
    assert "At most 256" in answer.text


def test_a_worker_that_is_gone_is_said_to_be(panel, asked):
    assert panel.post("/workers/w9/stop").status_code == 404


def test_stopping_says_what_it_means_before_it_is_done(panel, asked):
    Worker.insert(host="here", pid=7, created_at=1, started_at=1, status="running").execute()
    add("processing", id="job1", locked_by="w1")
    question = panel.get("/workers/w1/stop").text
    assert "It runs job job1" in question
    assert "goes back to the queue" in question
    assert "1 running command will be ended" in panel.get("/workers/stop").text
    assert asked == []


def test_a_worker_shows_its_state_and_its_job(panel):
    now = models.now_ms()
    Worker.insert(host="here", pid=4711, created_at=now, started_at=now, status="running").execute()
    Worker.insert(
        host="here", created_at=now, started_at=now, stopped_at=now, status="lost", reason="killed by SIGKILL"
    ).execute()
    add("processing", id="job1", locked_by="w1")
    page = panel.get("/workers").text
    assert 'data-state="busy"' in page
    assert "4711" in page
    assert 'href="/jobs/job1"' in page
    assert "killed by SIGKILL" in page
    assert "no supervisor" in page


# --- config


def test_every_setting_is_explained(panel):
    page = panel.get("/config").text
    for key in config.KEYS.values():
        assert f'id="{key.name}"' in page
        assert f"applies to {key.applies}" in page
        assert page.count(f'action="/config/{key.name}"') == 1


def test_a_setting_is_changed_and_reset(panel):
    answer = panel.post("/config/backoff_base", value="3")
    assert answer.location == "/config#backoff_base"
    assert config.get("backoff_base") == 3
    assert "backoff_base is 3 now." in panel.get("/config").text
    panel.post("/config/backoff_base/reset")
    assert config.get("backoff_base") == 2


def test_htmx_gets_the_setting_alone(panel):
    answer = panel.post("/config/durability", htmx=True, value="full")
    assert answer.status_code == 200
    assert answer.text.count('class="setting"') == 1
    assert "durability is full now." in answer.headers["HX-Trigger"]


@pytest.mark.parametrize("htmx", [False, True])
def test_a_wrong_value_is_kept_and_explained(panel, htmx):
    answer = panel.post("/config/max_retries_default", htmx=htmx, value="many")
    assert answer.status_code == 422
    assert 'value="many"' in answer.text
    assert "max_retries_default must be a whole number from 0 to 1000." in answer.text
    assert config.get("max_retries_default") == 3


def test_an_unknown_setting_is_not_found(panel):
    assert panel.post("/config/nope", value="1").status_code == 404
    assert panel.post("/config/nope/reset").status_code == 404
