"""What holds for every page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

import models
from engine.errors import Unavailable
from models import STATES, Attempt, Job, Worker
from tests.views.panel import add

LIVE = ("/", "/jobs", "/jobs?state=dead", "/jobs/job1", "/dlq", "/queues", "/workers")
PAGES = (*LIVE, "/enqueue", "/config", "/workers/stop", "/jobs/job1/delete")
HOSTILE = "<img src=x onerror=alert(1)>\"'&</pre></code><script>alert(2)</script>{{7*7}}"


class Outline(HTMLParser):
    """What a browser would make of a page: its elements with their attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag} {names}>"
        self.elements.append((tag, dict(attributes)))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def full(panel):
    """A panel with a job in each state, one of them named job1, and a worker."""
    add("dead", id="job1")
    for state in STATES:
        add(state)
    Worker.insert(host="here", pid=1, created_at=1, started_at=1, status="running").execute()
    return panel


@pytest.mark.parametrize("url", PAGES)
def test_a_page_is_whole(full, url):
    answer = full.get(url)
    assert answer.status_code == 200
    outline = Outline(answer.text)
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(outline.all("h1")) == 1
    assert len(outline.all("main")) == 1
    assert outline.all("html")[0]["lang"] == "en"


@pytest.mark.parametrize("url", LIVE)
def test_htmx_gets_the_piece_that_the_page_shows(full, url, monkeypatch):
    now = models.now_ms()
    monkeypatch.setattr(models, "now_ms", lambda: now)  # the version says when it was made
    page, piece = full.get(url).text, full.piece(url).text
    assert "<html" not in piece
    root = Outline(piece).elements[0][1]
    assert "data-poll" in root
    assert f'id="{root["id"]}"' in page
    assert root["hx-get"] in (element.get("hx-get") for _, element in Outline(page).elements)


@pytest.mark.parametrize("url", LIVE)
def test_an_unchanged_piece_is_not_sent_again(full, url):
    poll = Outline(full.piece(url).text).elements[0][1]["hx-get"]
    assert full.piece(poll).status_code == 204
    assert full.get(poll).status_code == 200  # a person who opens that address gets the page
    add("dead")
    Worker.insert(host="here", pid=2, created_at=1, started_at=1, status="running").execute()
    changed = full.piece(poll)
    assert changed.status_code == 200
    assert Outline(changed.text).elements[0][1]["hx-get"] != poll


def test_the_history_of_the_browser_gets_whole_pages(full):
    answer = full.get("/jobs", **{"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in answer.text


@pytest.mark.parametrize("url", PAGES)
def test_every_form_works_without_javascript(full, url):
    outline = Outline(full.get(url).text)
    for form in outline.all("form"):
        assert form["action"].startswith("/")
        assert form["method"] in ("get", "post")
    for button in outline.all("button"):
        if "hx-post" in button:
            assert button.get("formaction", button["hx-post"]) == button["hx-post"]
    for link in outline.all("a"):
        assert link["href"].startswith(("/", "#"))


def test_what_people_type_is_never_markup(panel):
    job = add("dead", HOSTILE, id="job1", tags=["<b>tag"], cwd="/<i>", env={"NAME": HOSTILE}, last_error=HOSTILE)
    add("failed", HOSTILE, last_error=HOSTILE)
    add("processing", HOSTILE, locked_by="w1")
    output = {
        "stdout": HOSTILE.encode(),
        "stdout_bytes": len(HOSTILE),
        "stderr": HOSTILE.encode(),
        "stderr_bytes": len(HOSTILE),
    }
    Attempt.insert(
        job=job.pk, run=1, worker="<w>", host="<h>", started_at=1, outcome="failed", error=HOSTILE, **output
    ).execute()
    Worker.insert(host="<host>", created_at=1, started_at=1, status="running").execute()
    Worker.insert(host="x", created_at=1, started_at=1, stopped_at=1, status="lost", reason=HOSTILE).execute()
    urls = (
        *PAGES,
        "/jobs?text=" + HOSTILE.replace("&", "%26"),
        "/jobs?tag=<b>&queue=<b>",
        "/enqueue?from=job1",
        "/jobs/<b>",
        "/jobs?state=<b>",
    )
    for url in urls:
        for answer in (panel.get(url), panel.piece(url)):
            assert "<img src=x" not in answer.text, url
            assert "alert(2)</script>" not in answer.text, url
            assert not re.search(r"<[ihw]>|<b>tag|<host>|/<b>", answer.text), url


def test_what_is_typed_wrong_comes_back_escaped(panel):
    answer = panel.post("/enqueue", command=HOSTILE, priority=HOSTILE, env=HOSTILE, tags=HOSTILE)
    assert answer.status_code == 422
    assert "<img src=x" not in answer.text
    assert "<img src=x" not in panel.post("/config/backoff_base", value=HOSTILE).text


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/nowhere", 404),
        ("/jobs/none", 404),
        ("/jobs?state=odd", 422),
        ("/jobs?before=x", 422),
        ("/jobs/job1?run=99", 404),
        ("/dlq?after=1", 422),
    ],
)
def test_an_error_is_a_page_with_a_sentence_and_a_way_on(full, url, status):
    answer = full.get(url)
    assert answer.status_code == status
    assert len(Outline(answer.text).all("h1")) == 1
    assert 'href="/jobs"' in answer.text


def test_a_wrong_method_names_the_right_ones(panel):
    answer = panel.get("/enqueue/x")
    assert answer.status_code == 404
    answer = panel.get("/operations/1/undo")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("url", ["/", "/jobs", "/config"])
def test_a_database_that_cannot_be_used_is_said_so(panel, monkeypatch, url):
    def refuse(*_):
        raise Unavailable("The disk that holds queue.db is full; free some space and try again.")

    monkeypatch.setattr("models.db.obj.execute_sql", refuse)
    answer = panel.get(url)
    assert answer.status_code == 503
    assert "free some space" in answer.text


def test_health_says_only_yes_or_no(panel, monkeypatch):
    assert panel.get("/healthz").json == {"ok": True}

    def refuse(*_):
        raise Unavailable("secret path")

    monkeypatch.setattr("models.db.obj.execute_sql", refuse)
    answer = panel.get("/healthz")
    assert answer.status_code == 503
    assert answer.json == {"ok": False}


def test_no_connection_outlives_its_request(app, panel):
    import models

    panel.get("/")
    assert models.db.is_closed()


def test_the_theme_is_rendered_by_the_server(panel):
    assert 'data-theme="system"' in panel.get("/").text
    answer = panel.post("/preferences/theme", choice="dark", headers={"Referer": "http://localhost/jobs?state=dead"})
    assert answer.status_code == 303
    assert answer.location == "/jobs?state=dead"
    assert 'data-theme="dark"' in panel.get("/").text
    assert panel.post("/preferences/theme", choice="pink").status_code == 422


@pytest.mark.parametrize(
    "referer",
    [
        "http://evil.example/x",
        "http://localhost//evil.example",
        "https://evil.example",
        "garbage",
        "http://localhost/preferences/theme",
    ],
)
def test_nobody_is_sent_to_another_site(panel, referer):
    assert panel.post("/preferences/theme", choice="dark", headers={"Referer": referer}).location == "/"


def test_the_overview_warns_only_when_jobs_wait_for_nobody(panel):
    assert "No workers are running:" not in panel.get("/").text
    add("pending")
    page = panel.get("/").text
    assert "No workers are running:" in page
    assert "1 job waits" in page
    Worker.insert(host="here", pid=1, created_at=1, started_at=1, status="running").execute()
    assert "No workers are running:" not in panel.get("/").text


def test_the_overview_counts_and_shows_what_runs_and_what_failed(full):
    page = full.get("/").text
    assert re.findall(r'tile-count" data-n="(\d+)">', page) == [
        "1",
        "1",
        "0",
        "0",
        "2",
        "1",
    ]  # pending, running, completed, failed, dead, due
    assert page.count("exit code 1: no") == Job.select().where(Job.state.in_(("dead", "failed"))).count()


def test_the_navigation_counts_the_dead(panel):
    assert 'data-n="0"' in panel.get("/config").text
    add("dead")
    assert 'id="dead-count" class="count" data-n="1"' in panel.get("/config").text
    assert 'hx-swap-oob="true"' in panel.piece("/workers").text
