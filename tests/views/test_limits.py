"""What a page may cost, and how many exports may run."""

from __future__ import annotations

import fcntl

import pytest

import models
from engine import queries
from models import Attempt
from tests.views.panel import HTMX, add
from views import guards

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def endless(monkeypatch):
    """Every page that counts jobs asks what has no end."""
    monkeypatch.setattr(guards, "GET_PROCESSOR_S", 0.05)
    monkeypatch.setattr(queries, "counts", lambda *_: models.db.execute_sql(ENDLESS).fetchone())


@pytest.mark.parametrize("url", ["/jobs", "/", "/dlq", "/jobs?state=dead"])
def test_a_page_that_takes_too_much_processor_time_is_ended_with_a_sentence(panel, endless, url):
    for answer in (panel.get(url), panel.piece(url), panel.client.head(url)):
        assert answer.status_code == 503
    assert "more processor time than a page may have" in panel.get(url).text
    assert panel.get("/healthz").status_code == 200


def test_the_limit_is_gone_with_its_page(panel, endless, monkeypatch):
    panel.get("/jobs")
    count = "SELECT count(*) FROM json_each(json_array(1)), (WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n"
    assert models.db.execute_sql(f"{count} LIMIT 300000) SELECT x FROM n)").fetchone() == (300_000,)


def test_rows_that_are_read_after_the_end_of_the_time_are_a_sentence_as_well(panel, monkeypatch):
    monkeypatch.setattr(guards, "GET_PROCESSOR_S", 0.05)
    rows = ENDLESS.replace("count(*)", "*") + " WHERE x < 0 OR x = 1"
    monkeypatch.setattr(queries, "counts", lambda *_: list(models.Job.raw(rows)))
    assert panel.get("/jobs").status_code == 503


def test_a_search_of_output_takes_no_longer_for_what_nearly_matches(panel):
    for _ in range(12):
        job = add("completed")
        Attempt.insert(job=job.pk, run=1, worker="w1", host="h", started_at=1, stdout=b"A" * 262_144).execute()
    answer = panel.get(f"/jobs?output={'A' * 999}B")
    assert answer.status_code == 200
    assert "No job matches" in answer.text or "Nothing" in answer.text


def export(panel, url: str = "/export"):
    return panel.client.get(url, buffered=False)


def test_an_export_is_not_limited_in_time(panel, monkeypatch):
    monkeypatch.setattr(guards, "GET_PROCESSOR_S", 0)
    for number in range(120):
        add(id=f"job-{number}")
    assert len(export(panel).text.splitlines()) == 120


def test_a_third_export_is_asked_to_wait_until_another_has_ended(panel):
    add()
    with open(f"{models.run_folder()}/export-0.lock", "w") as others:  # another process of the panel makes one
        fcntl.flock(others, fcntl.LOCK_EX)
        second = export(panel)
        for headers in ({}, HTMX):
            refused = panel.client.get("/export?as=csv", headers=headers)
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 0
            assert "2 exports are being read" in refused.text
        second.close()
        assert len(export(panel).text.splitlines()) == 1


def test_an_export_that_is_refused_takes_no_place(panel, monkeypatch):
    for _ in range(5):
        assert export(panel, "/export?state=nonsense").status_code == 422
        assert export(panel, "/export?as=xml").status_code == 422
    with monkeypatch.context() as broken:
        broken.setattr(queries, "every", lambda *_, **__: 1 / 0)
        for _ in range(5):
            assert export(panel).status_code == 500
    add()
    assert len(export(panel).text.splitlines()) == 1
