"""A list of jobs under filters, as the page of all jobs and that of the dead show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import make_response, render_template, request, url_for

from engine import causes, operations, queries, saved_views, search
from engine.filters import FILTERS
from views import answers, rows

WORDS = {"text": "contains", "output": "printed", "exit_code": "exit code", "failed_since": "had a failed run since"}
_MOST_NEWS = 100


def filters() -> dict[str, str]:
    """What the address or the form filters by."""
    return {name: value for name in FILTERS if (value := request.values.get(name, "").strip())}


def show(noun: str, way: search.Way, chosen: dict[str, str], total: int, **more: Any) -> Any:
    """The page of the list, its piece, or how many jobs are new since it was shown.

    noun: the blueprint. total: how many jobs there are to look through.
    """
    before, after = request.args.get("before"), request.args.get("after")
    if answers.wants_piece() and "news" in request.args:
        return _news(noun, way, chosen)
    found = queries.along(way, chosen, before=before, after=after)
    counted = _counted(chosen)
    first = before is None and after is None
    shows = {
        "noun": noun,
        "filters": dict.fromkeys(FILTERS) | chosen,
        "address": _address(noun, chosen),
        "chips": _chips(noun, chosen),
        "jobs": rows.job_rows(found.jobs),
        "newer": found.newer,
        "older": found.older,
        "first": first,
        "total": total,
        "every": "2s" if first and _is_counted(chosen) else "10s",
        "looked": _looked(found),
        "matching": counted if counted is not None or found.older or not first else len(found.jobs),
        "verbs": [
            verb for verb in ("retry", "cancel", "delete", "priority") if operations.takes(verb, chosen.get("state"))
        ],
        **more,
    }
    return answers.live(
        f"{noun}/index.html",
        "jobs/_list.html",
        shows,
        asks={"mark": way.newest() if first else request.args.get("mark", way.newest())},
        queues=queries.queues(),
        views=[(view.name, f"{url_for('jobs.index')}?{view.query}") for view in saved_views.every()],
    )


def in_words(chosen: Mapping[str, str]) -> str:
    """What is filtered by: "state: dead, contains: report"; "" for nothing."""
    return ", ".join(f"{WORDS.get(name, name)}: {value}" for name, value in chosen.items())


def _news(noun: str, way: search.Way, chosen: dict[str, str]) -> Any:
    """How many jobs came since the page was shown, for who is not to be disturbed; 204 when it says so already."""
    new = queries.along(way, chosen, after=request.args.get("mark"), limit=_MOST_NEWS)
    count = len(new.jobs)
    if count == request.args.get("news", type=int):
        return "", 204
    answer = make_response(render_template("jobs/_news.html", url=_url(noun, chosen), count=count, most=_MOST_NEWS))
    answer.headers["HX-Retarget"], answer.headers["HX-Reswap"] = "#news", "innerHTML"
    return answer


def _counted(chosen: dict[str, str]) -> int | None:
    """How many jobs match, as far as the counters and the causes know."""
    if chosen.keys() == {"state", "cause"} and chosen["state"] == "dead":
        return causes.deaths(chosen["cause"])
    if not _is_counted(chosen):
        return None
    counts = queries.counts(chosen.get("queue"))
    return counts[chosen["state"]] if "state" in chosen else sum(counts.values())


def _is_counted(chosen: dict[str, str]) -> bool:
    return chosen.keys() <= {"state", "queue"}


def _looked(found: search.Page) -> int | None:
    """How many jobs this look and those before it looked at, when it ended early."""
    before = request.args.get("looked", 0, type=int)
    return None if found.looked is None else max(0, before) + found.looked


def _address(noun: str, chosen: dict[str, str]) -> dict[str, Any]:
    """The filters as the address has them; that all are dead goes without saying in the dead letter queue."""
    return {name: value for name, value in chosen.items() if noun != "dlq" or name != "state"}


def _url(noun: str, chosen: dict[str, str]) -> str:
    return url_for(f"{noun}.index", **_address(noun, chosen))


def _chips(noun: str, chosen: dict[str, str]) -> list[dict[str, str]]:
    """The filters that are on, each with the address of the list without it. The tabs show the state."""
    return [
        {
            "name": WORDS.get(name, name),
            "value": value,
            "url": _url(noun, {other: chosen[other] for other in chosen if other != name}),
        }
        for name, value in chosen.items()
        if name != "state"
    ]
