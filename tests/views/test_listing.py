"""Filters, chips, looks that end early, and what is new while somebody must not be disturbed."""

from __future__ import annotations

import re

from engine import search
from tests.views.panel import add


def test_each_filter_is_a_chip_that_can_be_removed(panel):
    add("dead", id="a", queue="mail")
    page = panel.get("/jobs?state=dead&queue=mail&exit_code=1").text
    assert 'aria-label="Remove the filter exit code: 1"' in page
    links = re.findall(r'</span></span>|<a href="([^"]+)" aria-label="Remove', page)
    assert [link.replace("&amp;", "&") for link in links if link] == [
        "/jobs?state=dead&exit_code=1",
        "/jobs?state=dead&queue=mail",
    ]
    assert '<a class="clear" href="/jobs?state=dead">Clear filters</a>' in page


def test_a_look_that_ended_early_says_how_far_it_came_and_leads_on(panel, monkeypatch):
    monkeypatch.setattr(search, "_FIRST", 2)
    monkeypatch.setattr(search, "MOST", 2)
    for number in range(5):
        add(id=f"j{number}", command="needle" if number == 0 else "hay")
    page = panel.get("/jobs?text=needle").text
    assert "Nothing found so far." in page
    assert "Looked through 2 of 5 jobs, the newest first." in page
    on = re.search(r'href="([^"]+)">.{0,200}Search on', page, re.DOTALL)[1].replace("&amp;", "&")
    page = panel.get(on).text
    assert "Looked through 4 of 5 jobs" in page
    on = re.search(r'href="([^"]+)">.{0,200}Search on', page, re.DOTALL)[1].replace("&amp;", "&")
    assert ">j0<" in panel.get(on).text


def test_who_is_not_to_be_disturbed_is_told_how_many_are_new(panel):
    add(id="a")
    poll = re.search(r'<section id="jobs"[^>]*hx-get="([^"]+)"', panel.get("/jobs").text)[1].replace("&amp;", "&")
    assert panel.piece(f"{poll}&news=0").status_code == 204
    for name in "bcd":
        add(id=name)
    told = panel.piece(f"{poll}&news=0")
    assert "3 new, show" in told.text
    assert told.headers["HX-Retarget"] == "#news"
    assert panel.piece(f"{poll}&news=3").status_code == 204


def test_an_older_page_is_left_as_it_is(panel):
    for number in range(60):
        add(id=f"j{number}")
    assert "data-holds" not in panel.get("/jobs").text
    assert "data-holds" in panel.get("/jobs?before=9").text


def test_new_deaths_are_told_in_the_dead_letter_queue(panel):
    add("dead", id="a", finished_at=1)
    poll = re.search(r'<section id="dlq"[^>]*hx-get="([^"]+)"', panel.get("/dlq").text)[1].replace("&amp;", "&")
    add("dead", id="b", finished_at=4_000_000_000_000)
    assert "1 new, show" in panel.piece(f"{poll}&news=0").text


def test_only_what_a_state_allows_is_offered(panel):
    add("completed", id="a")
    page = panel.get("/jobs?state=completed").text
    assert re.findall(r'id="bulk-(\w+)"', page) == ["delete"]
    assert set(re.findall(r'name="verb" value="(\w+)"', panel.get("/jobs").text)) == {
        "retry",
        "cancel",
        "priority",
        "delete",
    }


def test_a_filter_that_cannot_be_is_refused_in_a_sentence(panel):
    answer = panel.get("/jobs?exit_code=many")
    assert answer.status_code == 422
    assert "An exit code is a number" in answer.text
