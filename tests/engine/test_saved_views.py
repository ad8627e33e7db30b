"""Filters that people saved under a name."""

from __future__ import annotations

import pytest

from engine import queries, saved_views
from engine.errors import InvalidInput, NotFound
from models import View


def test_a_view_stands_for_its_filters(queue):
    queue.add("one", tags=["a&b=c"], queue="mail")
    queue.add("two")
    saved_views.keep(" the mail ", {"queue": "mail", "tag": "a&b=c", "text": None, "state": ""}, actor="panel")
    filters = saved_views.filters_of("the mail")
    assert filters == {"queue": "mail", "tag": "a&b=c"}
    assert [job.id for job in queries.page(**filters).jobs] == ["one"]


def test_the_views_are_listed_by_name_and_the_last_under_a_name_is_kept(queue):
    saved_views.keep("b", {"state": "dead"}, actor="panel")
    saved_views.keep("a", {"state": "dead"}, actor="panel")
    saved_views.keep("b", {"state": "failed"}, actor="cli:ann")
    assert [(row.name, row.query, row.actor) for row in saved_views.every()] == [
        ("a", "state=dead", "panel"),
        ("b", "state=failed", "cli:ann"),
    ]


def test_a_view_is_deleted(queue):
    saved_views.keep("a", {"state": "dead"}, actor="panel")
    saved_views.delete("a")
    assert saved_views.every() == []
    for ask in (saved_views.delete, saved_views.filters_of):
        with pytest.raises(NotFound):
            ask("a")


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("", {"state": "dead"}),
        ("x" * 65, {"state": "dead"}),
        ("a\nb", {"state": "dead"}),
        ("a", {}),
        ("a", {"state": "odd"}),
        ("a", {"colour": "red"}),
        ("a", {"text": "x" * 1001}),
    ],
)
def test_what_is_no_view_is_refused(queue, name, filters):
    with pytest.raises(InvalidInput):
        saved_views.keep(name, filters, actor="panel")
    assert View.select().count() == 0


def test_there_are_not_endlessly_many(queue, monkeypatch):
    monkeypatch.setattr(saved_views, "MOST", 2)
    for name in ("a", "b", "a"):
        saved_views.keep(name, {"state": "dead"}, actor="panel")
    with pytest.raises(InvalidInput, match="delete one first"):
        saved_views.keep("c", {"state": "dead"}, actor="panel")
