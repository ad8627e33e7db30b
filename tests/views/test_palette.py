"""The field that finds everything, and what it costs."""

from __future__ import annotations

import re

import pytest

import models
from engine import lookup
from models import Worker
from tests.views.panel import add


def found(panel, text: str) -> list[str]:
    """The addresses that the page leads to, in their order."""
    page = panel.client.get("/palette", query_string={"q": text}).text
    return re.findall(r'class="found-entry" href="([^"]+)"', page)


def test_a_job_is_found_by_its_id_and_by_its_beginning(panel):
    for job_id in ("mail-10", "mail-1", "mail-2", "post-1"):
        add(id=job_id)
    assert found(panel, "mail-1")[:2] == ["/jobs/mail-1", "/jobs/mail-10"]
    assert [url for url in found(panel, "mail") if url.startswith("/jobs/")] == [
        "/jobs/mail-1",
        "/jobs/mail-10",
        "/jobs/mail-2",
    ]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("reports", "/jobs?queue=reports"),
        ("REP", "/jobs?queue=reports"),
        ("workers", "/workers"),
        ("dead letter", "/dlq"),
        ("jobs failed", "/jobs?state=failed"),
        ("enqueue", "/enqueue"),
        ("retry all", "/dlq/retry-all"),
        ("drain", "/workers/drain"),
        ("backoff_base", "/config#backoff_base"),
        ("shortcuts", "/shortcuts"),
        ("any thing", "/jobs?text=any+thing"),
    ],
)
def test_queues_pages_actions_and_settings_are_found(panel, text, url):
    add("dead", queue="reports")
    Worker.insert(host="here", created_at=1, started_at=1, status="running").execute()
    assert url in found(panel, text)


def test_what_cannot_be_done_is_not_offered(panel):
    assert "/dlq/retry-all" not in found(panel, "")
    assert "/workers/drain" not in found(panel, "")
    assert "/workers#count" in found(panel, "")


@pytest.mark.parametrize("text", ["", "%", "_", "\0", "x" * 5000, "'; DROP TABLE job; --", "\U0010ffff", "<b>", "*"])
def test_any_text_is_answered(panel, text):
    add(id="one")
    answer = panel.client.get("/palette", query_string={"q": text})
    assert answer.status_code == 200
    assert "<b>" not in answer.text.partition("<main")[2].partition("</main>")[0]
    assert "/jobs/one" not in found(panel, text)


def test_htmx_gets_a_list_that_is_a_listbox(panel):
    add(id="zebra")
    typed = panel.piece("/palette?q=zebra").text
    assert 'role="listbox"' in typed
    assert re.search(r'role="option"[^>]*href="/jobs/zebra"', typed)
    assert 'hx-swap-oob="true">2 results' in typed
    assert "<html" not in typed


def test_a_job_is_looked_up_by_an_index_alone(app, monkeypatch):
    asked = []
    ask = type(models.db.obj).execute_sql

    def note(self, sql, params=None, *rest):
        asked.append((sql, params))
        return ask(self, sql, params, *rest)

    monkeypatch.setattr(type(models.db.obj), "execute_sql", note)
    lookup.jobs("abc")
    sql, params = next((sql, params) for sql, params in asked if sql.startswith("SELECT"))
    plan = [row[3] for row in ask(models.db.obj, f"EXPLAIN QUERY PLAN {sql}", params).fetchall()]
    assert len(plan) == 1
    assert re.match(r"SEARCH .* USING INDEX .* \(id>\? AND id<\?\)", plan[0]), plan
