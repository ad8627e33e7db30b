"""The overview: figures, charts, forecast and alarms; each only when there is something to tell."""

from __future__ import annotations

import re

import pytest

import models
from engine import buckets, jobs, queries, queues
from engine.figures import WINDOWS, Bar, Ended, Figures, Sums
from models import Attempt, Job, Stat, Supervisor, Worker, db
from tests.views.panel import add
from views import charts, tiles

NONE = Sums(0, 0, None, None)


def ended(n: int = 1, outcome: str = "success", ago_min: int = 0, took_ms: int = 100, queue: str = "default") -> None:
    at = models.now_ms() // 60_000 * 60_000 - ago_min * 60_000
    counted = {"outcome": outcome, "bucket": buckets.of(took_ms), "n": n, "total_ms": n * took_ms}
    Stat.insert(span=1, at=at, queue=queue, **counted).execute()


def text(markup: str) -> str:
    """What can be read of it, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def tile(page: str, label: str) -> str:
    return next(text(found) for found in re.findall(r'<a class="tile".*?</a>', page, re.S) if f">{label}<" in found)


def figures_of(*sums: Sums) -> Figures:
    bars = [Bar(1_760_000_000_000 + place * 60_000, one) for place, one in enumerate(sums)]
    return Figures(WINDOWS["1h"], bars, NONE, Ended(0, 0), 0)


# --- empty


def test_a_new_queue_shows_the_first_steps_and_no_empty_axes(panel):
    page = panel.get("/").text
    assert "Two steps to the first job" in page
    assert 'action="/workers/start"' in page
    assert "<rect" not in page
    assert 'class="tile"' not in page


def test_workers_that_are_ready_need_not_be_started(panel):
    Worker.insert(host="here", pid=1, created_at=1, started_at=1, status="running").execute()
    assert "Workers are ready" in panel.get("/").text


def test_an_hour_without_runs_has_no_chart(panel):
    add("pending")
    page = panel.get("/").text
    assert "None ended in the last hour." in page
    assert 'role="img"' not in page


# --- tiles


def test_the_tile_of_failed_runs_leads_to_the_jobs_that_had_them(panel):
    now = models.now_ms()
    ended(3, "failed")
    for job_id, outcome in [("bad", "failed"), ("slow", "timeout"), ("lost", "lost"), ("good", "success")]:
        add_run(add("completed", id=job_id), outcome, now)
    add_run(add("completed", id="long-ago"), "failed", now - 2 * 3_600_000)
    link = re.search(r'href="(/jobs\?failed_since=[^"]+)"', panel.get("/").text)[1]
    shown = re.findall(r'<span class="id">([^<]+)</span>', panel.get(link).text)
    assert set(shown) == {"bad", "slow", "lost"}


def add_run(job: Job, outcome: str, finished_at: int) -> None:
    Attempt.insert(
        job=job.pk, run=1, worker="w1", host="here", started_at=1, outcome=outcome, finished_at=finished_at
    ).execute()


def test_each_tile_counts_what_its_list_shows(panel):
    for state in ("pending", "pending", "processing", "dead"):
        add(state)
    ended(7)
    ended(2, "timeout")
    page = panel.get("/").text
    assert tile(page, "Pending").startswith("Pending 2")
    assert tile(page, "Running") == "Running 1 no workers"
    assert tile(page, "Completed") == "Completed 7 none the hour before"
    assert tile(page, "Failed runs") == "Failed runs 2 none the hour before"
    assert tile(page, "Dead") == "Dead 1 1 in the last hour"
    assert tile(page, "Oldest due").endswith("2 jobs due")
    links = re.findall(r'class="tile"[^>]*href="([^"]+)"', re.sub(r"since=[-0-9]+T[0-9:]+Z", "since=BEGIN", page))
    assert links == [
        "/jobs?state=pending",
        "/jobs?state=processing",
        "/jobs?state=completed&amp;since=BEGIN",
        "/jobs?failed_since=BEGIN",
        "/dlq",
        "/queues",
    ]


@pytest.mark.parametrize(
    ("count", "before", "told"),
    [
        (0, 0, ("none the hour before", "", "")),
        (5, 0, ("none the hour before", "", "")),
        (5, 5, ("as the hour before", "", "")),
        (1001, 1000, ("as the hour before", "", "")),
        (12, 10, ("20 % on the hour before", tiles.RISE, "bad")),
        (0, 10, ("100 % on the hour before", tiles.FALL, "good")),
        (400, 10, ("40 times on the hour before", tiles.RISE, "bad")),
    ],
)
def test_a_change_is_told_by_sign_and_words(count, before, told):
    assert tiles.change(count, before, "hour", more_is_bad=True) == told


# --- charts


def test_the_charts_tell_their_numbers_in_words_and_as_a_table(panel):
    ended(1204)
    ended(13, "failed", ago_min=2, took_ms=9000)
    page = panel.get("/").text
    assert page.count('role="img"') == 2
    assert 'aria-label="1,204 completed, 13 failed; at most 1,204 in one minute."' in page
    assert 'aria-label="Half ended within about 111 ms, 95 % within 111 ms."' in page
    rows = re.findall(r"<tr>.*?</tr>", page, re.S)[1:]
    assert [re.findall(r"<td>(.*?)</td>", row) for row in rows] == [
        ["1,204", "0", "111 ms", "111 ms"],
        ["0", "13", "10.0 s", "10.0 s"],
    ]


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_has_its_page_and_keeps_it_in_its_polls(panel, window):
    ended()
    page = panel.get(f"/?window={window}").text
    assert f'href="/?window={window}" aria-current="true"' in page
    assert re.search(rf'hx-get="/\?[^"]*window={window}', page)


def test_an_unknown_window_is_refused_in_a_sentence(panel):
    answer = panel.get("/?window=year")
    assert answer.status_code == 422
    assert "There is no window" in answer.text


def test_what_failed_stands_on_what_completed(panel):
    chart = charts.throughput(figures_of(Sums(3, 1, None, None), NONE, Sums(0, 1, None, None)))
    assert chart["labels"] == ["4", "2", "0"]
    assert [(bar["x"], bar["completed"], bar["failed"]) for bar in chart["bars"]] == [(1, 75.0, 25.0), (21, 0.0, 25.0)]
    assert chart["bars"][0]["title"] == "08:53 UTC: 3 completed, 1 failed"


def test_the_lines_are_broken_where_nothing_ended():
    measured = [Sums(1, 0, ms, ms) for ms in (50.0, 100.0)]
    chart = charts.durations(figures_of(*measured, NONE, measured[0]))
    assert chart["labels"] == ["100 ms", "50 ms", "0"]
    assert chart["lines"]["p50_ms"] == "M5 50h0L15 0M35 50h0"


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (1, 2), (3, 4), (7, 8), (11, 12), (17, 20), (21, 40), (101, 120), (10_669, 12_000)]
)
def test_the_scale_ends_at_a_round_number(most, top):
    assert charts.round_count(most) == top


@pytest.mark.parametrize(
    ("ms", "words"), [(0.5, "1 ms"), (130, "200 ms"), (7100, "10 s"), (61_000, "2 min"), (4_000_000, "2 h")]
)
def test_the_scale_of_time_ends_at_a_round_length(ms, words):
    assert charts.short_duration(charts.round_duration(ms)) == words


# --- the backlog and what is wrong


def test_the_end_of_the_backlog_is_foreseen_while_it_shrinks(panel):
    now = models.now_ms()
    for _ in range(20):
        add("pending")
    Job.update(created_at=now - 600_000, next_run_at=now - 600_000).execute()
    ended(10, ago_min=4)
    page = panel.get("/").text
    assert re.search(r"At this pace the backlog is empty in about \d+ min\.", page)
    assert re.fullmatch(r"Pending 20 ▼ down \d a minute", tile(page, "Pending"))


def test_its_growth_is_told_while_it_grows(panel):
    now = models.now_ms()
    jobs.enqueue_many({"command": ":"} for _ in range(100))
    db.execute_sql("UPDATE job SET created_at = ? - 3000 * (101 - pk), next_run_at = created_at", (now,))
    db.execute_sql("UPDATE job SET next_run_at = created_at")
    ended(4, ago_min=2)
    page = panel.get("/").text
    assert re.search(r"The backlog grows by 1[0-9] a minute\.", page)
    assert "▲" in tile(page, "Pending")


def test_nothing_is_foreseen_of_a_quiet_queue(panel):
    ended(10)
    page = panel.get("/").text
    assert "At this pace" not in page
    assert "grows by" not in page


def test_delayed_jobs_are_no_reason_to_start_workers(panel):
    jobs.enqueue({"command": ":", "run_at": "+1d"})
    page = panel.get("/").text
    assert "No workers are running:" not in page
    assert tile(page, "Pending") == "Pending 1 1 not due yet"


def test_a_paused_queue_with_a_backlog_is_told_with_the_button_that_helps(panel):
    queues.pause("mail", actor="panel")
    assert "is paused" not in panel.get("/").text
    add("pending", queue="mail")
    page = panel.get("/").text
    assert "The queue mail is paused: 1 job waits in it." in text(page)
    assert 'formaction="/queues/mail/resume"' in page


def test_a_silent_supervisor_is_told_with_when_it_was_heard(panel):
    now = models.now_ms()
    Worker.insert(host="web-1", pid=1, created_at=1, started_at=1, status="running").execute()
    Supervisor.insert(host="web-1", pid=2, started_at=1, beat_at=now - 20_000).execute()
    page = panel.get("/").text
    assert "The supervisor on web-1 has not been heard of since" in page
    Supervisor.update(beat_at=now).execute()
    assert "has not been heard of" not in panel.get("/").text


# --- workers


def test_workers_are_cells_that_lead_to_what_they_do(panel):
    add("processing", id="job1", locked_by="w1")
    for status, stopped in (("running", None), ("running", None), ("draining", None), ("lost", models.now_ms())):
        Worker.insert(host="a", pid=1, created_at=1, started_at=1, status=status, stopped_at=stopped).execute()
    page = panel.get("/").text
    cells = re.findall(r'<a class="cell" data-state="(\w+)" href="([^"]+)"', page)
    assert cells == [
        ("lost", "/workers#worker-w4"),
        ("busy", "/jobs/job1"),
        ("idle", "/workers#worker-w2"),
        ("draining", "/workers#worker-w3"),
    ]
    assert "1 busy" in page


def test_a_worker_lost_long_ago_is_shown_no_more(panel):
    add("pending")
    Worker.insert(host="a", created_at=1, started_at=1, stopped_at=1, status="lost").execute()
    assert 'class="cell"' not in panel.get("/").text


# --- one snapshot


def test_all_of_a_poll_is_read_as_of_one_instant(panel, monkeypatch):
    """A job that ends while the page is made must not be counted in one place and listed in another."""
    add("processing", id="job1", locked_by="w1")
    count = queries.counts

    def and_then_the_job_ends(*given):
        found = count(*given)
        import sqlite3

        with sqlite3.connect(panel.path) as other:
            other.execute("UPDATE job SET state = 'dead', finished_at = 1")
        other.close()
        return found

    monkeypatch.setattr(queries, "counts", and_then_the_job_ends)
    page = panel.get("/").text
    assert tile(page, "Running").startswith("Running 1")
    assert "/jobs/job1" in page.partition("running-title")[2].partition("failures-title")[0]
    assert tile(panel.get("/").text, "Running").startswith("Running 0")


def test_a_new_figure_makes_a_poll_news(panel):
    ended()
    poll = re.search(r'hx-get="(/\?v=[^"]+)"', panel.get("/").text)[1].replace("&amp;", "&")
    assert panel.piece(poll).status_code == 204
    ended(queue="mail")
    assert panel.piece(poll).status_code == 200


@pytest.mark.parametrize(
    ("running", "workers", "note"),
    [(0, 2, "of 2 workers"), (1, 1, "of 1 worker"), (59, 2, "taken by 2 workers"), (1, 0, "no workers")],
)
def test_workers_that_take_several_short_jobs_at_once_are_not_said_to_be_fewer(app, running, workers, note):
    with app.test_request_context():
        _, tile = tiles.now(dict.fromkeys(models.STATES, 0) | {"processing": running}, workers, None, 0)
    assert (tile.number, tile.note.text) == (running, note)
