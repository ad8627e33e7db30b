"""Readers who poll the same address: one rendering for all, and to each what is his own."""

from __future__ import annotations

import json
import re

import pytest

import models
from engine import jobs, queries
from models import Worker, db
from tests.views.panel import Panel, add
from views.shelf import Shelf
from views.tempo import Tempo

LIVE = ("/", "/jobs", "/jobs?state=dead", "/jobs/one", "/dlq", "/queues", "/workers", "/operations", "/trash")
OLD = "0.1"  # a version that no tab has


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(app):
    """The clock of kept pieces and of the pace, which stands."""
    app.extensions["shelf"] = Shelf(clock := Clock(), lambda: 0.0)
    app.extensions["tempo"] = Tempo(clock, cores=2)
    return clock


@pytest.fixture
def panels(app, tmp_path, clock):
    """The panel as two people have it, and a job on it."""
    Worker.insert(host="here", pid=1, created_at=1, started_at=1, status="running").execute()
    add("dead", id="one")
    yield [Panel(app.test_client(), tmp_path / "queue.db") for _ in range(2)]
    models.disconnect()


@pytest.fixture
def statements(monkeypatch):
    """The SQL that the panel sends."""
    sent: list[str] = []
    really = type(db.obj).execute_sql
    monkeypatch.setattr(
        type(db.obj), "execute_sql", lambda self, sql, *rest: sent.append(sql) or really(self, sql, *rest)
    )
    return sent


def polling(url: str, version: str = OLD) -> str:
    return f"{url}{'&' if '?' in url else '?'}v={version}"


def version(piece) -> str:
    return re.search(r"[?&;]v=([^&\"]+)", piece.text)[1]


def tokens(piece) -> set[str]:
    return set(re.findall(r'name="csrf_token" value="([^"]*)"', piece.text))


@pytest.mark.parametrize("url", LIVE)
def test_the_second_reader_of_an_address_costs_no_query(panels, statements, url):
    one, two = panels
    shown = one.poll(polling(url))
    assert shown.status_code == 200
    assert statements
    statements.clear()
    again = two.poll(polling(url))
    assert again.status_code == 200
    assert statements == []
    blind = [re.sub(r'name="csrf_token" value="[^"]*"', "", answer.text) for answer in (shown, again)]
    assert blind[0] == blind[1]
    assert shown.headers["HX-Trigger"] == again.headers["HX-Trigger"]
    assert two.poll(polling(url, version(again))).status_code == 204
    assert statements == []


@pytest.mark.parametrize("url", ["/", "/jobs", "/dlq", "/queues", "/workers"])
def test_each_reader_gets_the_token_of_his_own_session_and_a_form_with_it_is_taken(panels, url):
    add("pending")
    one, two = panels
    first, second = (tokens(panel.poll(polling(url))) for panel in panels)
    assert first != second
    for panel, found in ((one, first), (two, second)):
        for token in found:
            sent = panel.client.post("/queues/mail/pause", data={"csrf_token": token})
            assert sent.status_code == 303
    for token in second:
        assert one.client.post("/queues/mail/pause", data={"csrf_token": token}).status_code == 400


def test_a_piece_keeps_its_placeholders_to_itself(panels):
    for url in LIVE:
        for panel in panels:
            shown = panel.poll(polling(url))
            assert not re.search(r'(?:value="|v=)[0-9a-f]{32}["&]', shown.text)


def test_the_cookie_of_one_reader_is_not_given_to_another(panels):
    one, two = panels
    one.get("/dlq")
    assert "-seen=" not in str(two.poll(polling("/queues")).headers)
    assert "-seen=1" in str(two.poll(polling("/dlq")).headers)


def test_who_has_seen_the_dead_is_not_alarmed_and_who_has_not_is(panels):
    one, two = panels
    one.get("/dlq")
    icons = [json.loads(panel.poll(polling("/queues")).headers["HX-Trigger"])["signals"]["icon"] for panel in panels]
    assert [icon.rpartition("/")[2] for icon in icons] == ["favicon.svg", "favicon-alarm.svg"]
    seen = version(one.poll(polling("/queues")))
    assert one.poll(polling("/queues", seen)).status_code == 204
    assert two.poll(polling("/queues", seen)).status_code == 200  # the tab of the other shows another icon


def test_the_reader_s_own_action_shows_at_once_and_to_the_others_too(panels):
    one, two = panels
    shown = two.poll(polling("/dlq"))
    one.post("/dlq/one/retry", htmx=True)
    assert "Good news" in one.piece(polling("/dlq")).text
    assert "Good news" in two.poll(polling("/dlq", version(shown))).text


def test_what_another_process_showed_is_never_followed_by_what_was_before(panels, clock, monkeypatch):
    """The next poll may meet another process, with an older piece."""
    one, _ = panels
    one.poll(polling("/dlq"))
    add("dead", id="two")
    later = models.now_ms() + 1000
    monkeypatch.setattr(models, "now_ms", lambda: later)
    newer = f"0.{later}"
    assert one.poll(polling("/dlq", newer)).status_code == 204
    clock.now += 2
    assert "two" in one.poll(polling("/dlq", newer)).text


def test_a_version_from_the_future_holds_nothing_back(panels):
    assert panels[0].poll(polling("/dlq", f"0.{models.now_ms() + 60_000}")).status_code == 200


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("/jobs", "/jobs?state=dead"),
        ("/jobs?queue=default", "/jobs?queue=mail"),
        ("/jobs?before=9", "/jobs?before=9&mark=1"),
        ("/", "/?window=24h"),
        ("/jobs/one", "/jobs/two"),
        ("/workers", "/workers?end=lost"),
    ],
)
def test_another_address_is_another_piece(panels, statements, url, other):
    jobs.enqueue({"command": ":", "id": "two"})
    panels[0].poll(polling(url))
    statements.clear()
    panels[0].poll(polling(other))
    assert statements


@pytest.mark.parametrize("preference", [("theme", "dark"), ("zone", "utc"), ("keys", "off")])
def test_who_prefers_something_else_has_another_piece(panels, statements, preference):
    name, choice = preference
    one, two = panels
    one.poll(polling("/queues"))
    two.client.set_cookie(f"queuectl-{name}", choice)
    statements.clear()
    two.poll(polling("/queues"))
    assert statements


def test_under_another_path_it_is_another_piece(panels, statements, monkeypatch):
    one, two = panels
    one.poll(polling("/queues"))
    statements.clear()
    there = two.client.get(
        polling("/queues"), headers={"HX-Request": "true"}, environ_overrides={"SCRIPT_NAME": "/queue"}
    )
    assert statements
    assert 'hx-get="/queue/queues?' in there.text


def test_the_mark_of_a_first_page_does_not_part_its_readers(panels, statements):
    one, two = panels
    one.poll(polling("/jobs?mark=1"))
    statements.clear()
    two.poll(polling("/jobs?mark=2"))
    assert statements == []


def test_whole_pages_and_answers_to_other_questions_are_not_kept(panels, statements):
    one, _ = panels
    for url in ("/jobs", polling("/jobs")):
        for _ in range(2):
            statements.clear()
            assert "<html" in one.get(url).text
            assert statements
    for _ in range(2):
        statements.clear()
        one.poll(polling("/jobs?news=0&mark=0"))
        assert statements
        statements.clear()
        one.poll("/jobs")
        assert statements


def test_an_error_is_not_kept(panels, monkeypatch):
    one, two = panels
    with monkeypatch.context() as patched:
        patched.setattr(queries, "counts", lambda *_: 1 / 0)
        assert one.poll(polling("/jobs")).status_code == 500
    assert two.poll(polling("/jobs")).status_code == 200
    assert one.poll(polling("/jobs/nowhere")).status_code == 404
    jobs.enqueue({"command": ":", "id": "nowhere"})
    assert one.poll(polling("/jobs/nowhere")).status_code == 200


def test_what_did_not_change_is_not_rendered_again(panels, clock, monkeypatch):
    one, two = panels
    one.poll(polling("/queues"))
    clock.now += 5
    monkeypatch.setattr("views.answers.render_template", lambda *_, **__: pytest.fail("it renders"))
    assert two.poll(polling("/queues")).status_code == 200


@pytest.mark.parametrize(
    "url", [polling("/queues"), polling("/jobs?news=0&mark=0"), "/jobs/one/tail", "/config/changes"]
)
def test_too_many_polls_are_asked_to_come_later(panels, url):
    one, _ = panels
    told = [one.poll(url).headers.get("Retry-After") for _ in range(60)]
    assert told[0] is None
    assert int(told[-1]) == 14  # five a second, the first after two
    assert "Retry-After" not in one.get("/queues").headers
