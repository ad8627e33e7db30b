"""What cannot be seen has a mark on every page, and forms send back what they were given."""

from __future__ import annotations

import html
import re
from urllib.parse import quote

import pytest

from engine import saved_views
from models import Attempt, Job, Worker
from tests.views.panel import add

RLO = "\u202e"
COMMAND = f"echo a{RLO}b\u200b; echo ä"
MARKED = "echo a<U+202E>b<U+200B>; echo ä"


@pytest.fixture
def job(panel) -> Job:
    job = add("dead", COMMAND, tags=[f"t{RLO}g"], env={"A": RLO}, last_error=f"exit code 1: {RLO}no")
    Attempt.insert(
        job=job.pk, run=1, worker="w1", host=f"h{RLO}", started_at=1, finished_at=2, outcome="failed",
        error=f"exit code 1: {RLO}", stdout=f"out{RLO}\n".encode(), stdout_bytes=7,
    ).execute()  # fmt: skip
    Worker.insert(host=f"h{RLO}", created_at=1, stopped_at=2, status="lost", reason=f"r{RLO}").execute()
    saved_views.keep("seen", {"text": RLO}, actor=f"a{RLO}")
    return job


@pytest.mark.parametrize(
    "url", ["/", "/jobs", "/jobs/{id}", "/jobs/{id}/diff", "/dlq", "/dlq/causes", "/workers", "/views", "/operations"]
)
def test_no_page_shows_what_cannot_be_seen(panel, job, url):
    page = panel.get(url.format(id=job.id))
    assert page.status_code == 200
    exact = re.compile(r' (?:value|data-exact)="[^"]*"')
    assert RLO not in exact.sub("", page.text)


def test_a_command_is_shown_with_marks_and_copied_as_it_is(panel, job):
    page = panel.get(f"/jobs/{job.id}").text
    shown = re.search(r'<code id="command" data-exact="(.*?)">(.*?)</code>', page)
    assert (html.unescape(shown[1]), html.unescape(shown[2])) == (COMMAND, MARKED)
    assert "out&lt;U+202E&gt;" in page


def test_forms_send_back_what_they_were_given(panel, job):
    form = panel.get(f"/enqueue?from={job.id}").text
    assert html.unescape(re.search(r"<textarea id=\"f-command\".*?>\n(.*?)</textarea>", form)[1]) == COMMAND
    assert f"A={RLO}</textarea>" in form
    assert f'value="t{RLO}g"' in form
    assert f'name="text" value="{RLO}"' in panel.get(f"/jobs?text={quote(RLO)}").text
    assert 'name="jobs"' in panel.post("/enqueue/many", form="json", jobs=f"[{RLO}").text
    assert f"[{RLO}</textarea>" in panel.post("/enqueue/many", form="json", jobs=f"[{RLO}").text


def test_the_check_warns_of_what_cannot_be_seen(panel):
    said = panel.post("/enqueue/check", command=COMMAND).text
    assert "this contains invisible characters" in said
    assert "invisible" not in panel.post("/enqueue/check", command="echo äöü").text
