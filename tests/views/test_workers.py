"""The page of the workers: each host, each worker, the countdown, those that have ended."""

from __future__ import annotations

import re
import socket

import pytest

import models
import workers
from engine import forecast, tally
from engine.errors import NotFound
from models import Job, Supervisor, Worker, db
from tests.views.panel import add

HOSTILE = "<img src=x onerror=alert(1)>"


def _worker(status: str = "running", **columns) -> str:
    now = models.now_ms()
    fields = {"host": "there", "status": status, "created_at": now, "started_at": now - 60_000, "pid": 4711}
    return f"w{Worker.insert(fields | columns).execute()}"


def _supervisor(**columns) -> None:
    now = models.now_ms()
    Supervisor.insert({"host": "there", "pid": 42, "started_at": now, "beat_at": now} | columns).execute()


def _runs(worker: str, job_id: str, usual_s: float | None, for_s: float) -> None:
    job = add("processing", command=f"work {job_id}", id=job_id, locked_by=worker)
    Job.update(locked_at=models.now_ms() - int(for_s * 1000)).where(Job.pk == job.pk).execute()
    if usual_s is not None:
        with db.transaction():
            tally.remember(job.command, None, job.pk, 1, int(usual_s * 1000))


def test_a_host_says_how_many_it_wants_and_has(panel):
    _supervisor()
    _worker()
    _worker("starting")
    _worker("draining", desired="drain")
    page = panel.get("/workers").text
    assert "3 workers" in page
    assert '<b class="number">2</b> wanted' in page
    assert '<b class="number">1</b> takes jobs' in page
    assert '<b class="number">1</b> leaving' in page
    assert "heartbeat less than 10 s ago" in page


def test_the_countdown_goes_by_history_and_says_what_it_does_not_know(panel):
    for job_id, usual_s, for_s in (("backup-7", 300, 60), ("mail", 60, 70), ("new", None, 5)):
        _runs(_worker("draining", desired="drain"), job_id, usual_s, for_s)
    _runs(_worker(), "stays", 900, 1)
    page = panel.get("/workers").text
    countdown = page[page.index('class="countdown"') : page.index("<table")]
    assert "3 running; 1 of them likely done" in countdown
    assert ">in 4 min</time>" in countdown or ">in 3 min</time>" in countdown
    assert "usually 5 min" in countdown
    assert "/jobs/backup-7" in countdown
    assert "Overdue: job" in countdown
    assert "/jobs/mail" in countdown
    assert "No history for 1 of them" in countdown
    assert "stays" not in countdown


def test_nothing_counts_down_while_nobody_leaves(panel):
    _runs(_worker(), "one", 300, 60)
    assert "countdown" not in panel.get("/workers").text


def test_those_who_leave_without_a_job_are_told(panel):
    _worker("draining", desired="drain")
    assert "none of them runs a job" in panel.get("/workers").text


def test_a_job_that_takes_long_is_marked(panel):
    _runs(_worker(), "late", 60, 190)
    page = panel.get("/workers").text
    assert "runs 3\N{MULTIPLICATION SIGN} longer than usual" in page
    assert "usually 1 min" in page


def test_what_is_used_is_shown_with_its_age(panel):
    now = models.now_ms()
    worker = _worker(
        rss_kb=20_000, cpu_ms=1500, job_rss_kb=2_000_000, job_cpu_ms=90_000, sampled_at=now - 3000, host="there"
    )
    _supervisor()
    _runs(worker, "one", None, 5)
    page = panel.get("/workers").text
    assert "worker 20 MB · 1.5 s" in page
    assert "job 2.0 GB · 1 min 30 s" in page
    assert ">sampled <time" in page
    Worker.update(sampled_at=now - 60_000).execute()
    assert ">unchanged for <time" in panel.get("/workers").text
    Supervisor.update(beat_at=now - 60_000).execute()
    assert ">last sampled <time" in panel.get("/workers").text


def test_a_supervisor_that_is_silent_or_in_trouble_is_told(panel):
    _supervisor(beat_at=models.now_ms() - 60_000, note=HOSTILE)
    _worker()
    page = panel.get("/workers").text
    assert "not heard of for" in page
    assert "&lt;img src=x" in page
    assert HOSTILE not in page


def test_a_worker_that_died_with_its_supervisor_is_shown_as_lost(panel):
    _worker(host=socket.gethostname())
    page = panel.get("/workers").text
    assert "dead, not cleared away yet" in page
    assert '<b class="badge" data-state="lost">' in page
    assert "1 lost" in " ".join(re.sub(r"<[^>]*>", "", panel.get("/").text).split())


def test_a_worker_that_waits_for_its_start_says_why(panel):
    _worker("starting", started_at=None, start_after=models.now_ms() + 20_000, early_deaths=3, pid=None)
    assert "after 3 deaths at birth" in panel.get("/workers").text


def test_the_dead_are_shown_with_their_reason_and_heir(panel):
    now = models.now_ms()
    dead = _worker("lost", stopped_at=now, reason=HOSTILE)
    _worker("stopped", stopped_at=now, reason="ended as asked")
    heir = _worker(heir_of=int(dead[1:]))
    page = panel.get("/workers").text
    assert f'replaced by <a href="#worker-{heir}"' in page
    assert f'in place of <a href="#ended-{dead}"' in page
    assert "Lost in the last 24 hours" in page
    assert HOSTILE not in page
    asked = panel.get("/workers?end=stopped").text
    assert f'id="ended-{dead}"' not in asked
    assert "ended as asked" in asked
    assert "No worker that has ended matches" in panel.get("/workers?reason=nothing").text


def test_a_filter_that_cannot_be_is_refused(panel):
    assert panel.get("/workers?end=bad").status_code == 422
    assert panel.get("/workers?before=bad").status_code == 422


def test_older_ends_are_on_pages_that_do_not_move(panel):
    for _ in range(25):
        _worker("stopped", stopped_at=models.now_ms(), reason="ended as asked")
    first = panel.get("/workers").text
    assert "before=" in first
    older = panel.get(first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")).text
    assert 'id="ended-w1"' in older
    assert "every" not in older.split('id="workers"')[1].split(">")[0]


@pytest.mark.parametrize(
    ("done", "sentence"),
    [
        ((2, ["w3", "w4"], []), "Scaled from 2 to 4 workers: w3 and w4 will start."),
        ((5, [], ["w5"]), "Scaled from 5 to 4 workers: w5 will leave after the present job."),
        ((4, [], []), "4 workers take jobs already."),
    ],
)
def test_scaling_says_what_it_changes_and_offers_the_way_back(panel, monkeypatch, done, sentence):
    monkeypatch.setattr(workers, "scale", lambda count: workers.Scaling(*done))
    told = panel.post("/workers/scale", htmx=True, count="4").headers["HX-Trigger"]
    assert sentence in told
    assert (f"Scale back to {done[0]}" in told) == bool(done[1] or done[2])
    assert panel.post("/workers/scale", count="x").status_code == 422


@pytest.fixture
def killed(monkeypatch):
    """Whom it was asked to kill."""
    killed = []

    def kill(worker_id=None):
        if worker_id == "w9":
            raise NotFound("Worker w9 does not live (any more).")
        killed.append(worker_id)
        return [worker_id or "w1"]

    monkeypatch.setattr(workers, "force_stop", kill)
    return killed


def test_a_forced_stop_wants_the_worker_typed(panel, killed):
    worker = _worker("stopping", desired="stop")
    assert f"/workers/{worker}/force-stop" in panel.get("/workers").text
    assert f"Type <code>{worker}</code>" in panel.get(f"/workers/{worker}/force-stop").text
    for typed in ("", "yes", "w2"):
        refused = panel.post(f"/workers/{worker}/force-stop", typed=typed)
        assert refused.status_code == 422
        assert "to say that you mean this worker" in refused.text
    assert killed == []
    assert panel.post(f"/workers/{worker}/force-stop", typed=f" {worker.upper()} ").status_code == 303
    assert killed == [worker]
    assert panel.post("/workers/w9/force-stop", typed="w9").status_code == 404


def test_a_forced_stop_of_all_wants_their_number(panel, killed):
    _worker("stopping", desired="stop")
    _worker()
    assert panel.post("/workers/force-stop", htmx=True, typed="1 worker").status_code == 422
    assert killed == []
    assert panel.post("/workers/force-stop", htmx=True, typed="2 workers").status_code == 204
    assert killed == [None]


def test_draining_all_is_asked_with_an_outlook(panel):
    _runs(_worker(), "backup", 300, 60)
    question = panel.get("/workers/drain").text
    assert "1 job running, likely done in" in question
    assert "queuectl worker drain" in question


def test_the_page_moves_on_when_a_job_becomes_overdue_and_not_before(panel, monkeypatch):
    now = models.now_ms()
    monkeypatch.setattr(models, "now_ms", lambda: now)
    _supervisor()
    _runs(_worker("draining", desired="drain"), "backup", 300, 60)
    piece = panel.get("/workers").text.split('hx-get="')
    url = next(part for part in piece if part.startswith("/workers?v=")).split('"')[0].replace("&amp;", "&")
    now += 4000
    assert panel.piece(url).status_code == 204
    Supervisor.update(beat_at=now + 400_000).execute()
    now += 300_000
    assert "Overdue" in panel.piece(url).text
    assert forecast.outlook(forecast.of(list(Job.select())), now).done_at is None
