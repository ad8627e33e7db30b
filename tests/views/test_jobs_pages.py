"""The list of jobs and the page of one."""

from __future__ import annotations

import re

import pytest

import models
from engine import jobs
from models import STATES, Attempt, Job
from tests.views.panel import add


def ids(page: str) -> list[str]:
    return re.findall(r'<span class="id">([^<]+)</span>', page)


def test_an_empty_queue_shows_how_to_begin(panel):
    page = panel.get("/jobs").text
    assert "No jobs yet" in page
    assert "queuectl enqueue" in page
    assert 'href="/enqueue"' in page


def test_no_match_offers_to_clear_the_filters(panel):
    add()
    page = panel.get("/jobs?state=pending&text=nothing").text
    assert "No job matches" in page
    assert '<a class="button" href="/jobs?state=pending">Clear filters</a>' in page


def test_a_state_without_jobs_says_so(panel):
    add()
    assert "No failed jobs" in panel.get("/jobs?state=failed").text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["c", "b", "a"]),
        ("state=dead", ["b"]),
        ("text=needle", ["a"]),
        ("text=%25", []),
        ("queue=mail", ["c"]),
        ("tag=nightly", ["a"]),
        ("tag=night", []),
        ("state=dead&queue=mail", []),
        ("text=&queue=&tag=&state=", ["c", "b", "a"]),
    ],
)
def test_filters(panel, query, found):
    add(id="a", command="echo needle", tags=["nightly"])
    add("dead", id="b")
    add(id="c", queue="mail")
    assert ids(panel.get(f"/jobs?{query}").text) == found


def test_tabs_count_and_keep_the_filters(panel):
    for state in STATES:
        add(state, queue="mail")
    page = panel.get("/jobs?queue=mail&state=dead").text
    assert 'href="/jobs?state=failed&amp;queue=mail">failed<span class="number">1</span>' in page
    assert re.search(r'aria-current="true">dead', page)
    assert 'class="number">1</span></a>' not in panel.get("/jobs?text=echo").text  # not counted, so not claimed


def test_pages_lead_there_and_back(panel):
    for number in range(120):
        add(id=f"job{number}")
    first = panel.get("/jobs").text
    older = re.search(r'rel="next" href="([^"]+)"', first)[1].replace("&amp;", "&")
    second = panel.get(older).text
    assert ids(first)[-1] == "job70"
    assert ids(second)[0] == "job69"
    newer = re.search(r'rel="prev" href="([^"]+)"', second)[1].replace("&amp;", "&")
    assert ids(panel.get(newer).text) == ids(first)


def test_only_the_first_page_polls_by_itself(panel):
    for number in range(60):
        add(id=f"job{number}")
    first = panel.get("/jobs").text
    assert "every 2s" in first
    older = re.search(r'rel="next" href="([^"]+)"', first)[1]
    assert "every 2s" not in panel.get(older).text


URLS = ("/jobs", "/jobs/x")


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        ("pending", {"cancel", "delete"}),
        ("processing", {"cancel"}),
        ("completed", {"delete"}),
        ("failed", {"run-now", "cancel", "delete"}),
        ("dead", {"retry", "delete"}),
        ("cancelled", {"retry", "delete"}),
    ],
)
def test_a_job_offers_what_its_state_allows(panel, state, actions):
    add(state, id="x")
    offered = {url: set(re.findall(r"/jobs/x/(run-now|retry|cancel|delete)", panel.get(url).text)) for url in URLS}
    assert offered["/jobs"] == actions
    assert offered["/jobs/x"] == actions | ({"retry"} if state == "failed" else set())
    for action in actions:
        add(state, id=f"x-{action}")
        assert panel.post(f"/jobs/x-{action}/{action}").status_code == 303


def test_a_list_asks_before_it_cancels_a_job_that_runs_and_names_its_command(panel):
    add("processing", "sleep 300", id="x")
    assert 'href="/jobs/x/cancel"' in panel.get("/jobs").text
    question = panel.get("/jobs/x/cancel", Referer="http://localhost/jobs?state=processing").text
    assert "Cancel the running job x?" in question
    assert "<code>sleep 300</code>" in question
    assert 'href="/jobs?state=processing" data-close>Go back' in question
    assert not Job.get(Job.id == "x").cancel_requested
    assert panel.post("/jobs/x/cancel").status_code == 303
    assert Job.get(Job.id == "x").cancel_requested


def test_a_job_that_began_since_the_list_was_shown_is_not_cancelled_unasked(panel):
    add(id="x")
    url = re.search(r'formaction="(/jobs/x/cancel[^"]+)"', panel.get("/jobs").text)[1]
    Job.update(state="processing", run=1, locked_by="w1", locked_at=models.now_ms()).execute()
    assert "Cancel the running job x?" in panel.post(url).text
    answer = panel.post(url, htmx=True)
    assert (answer.status_code, answer.headers["HX-Retarget"]) == (200, "#dialog")
    assert "Cancel the running job x?" in answer.text
    assert not Job.get(Job.id == "x").cancel_requested
    Job.update(state="pending").execute()
    assert panel.post(url).status_code == 303
    assert Job.get(Job.id == "x").state == "cancelled"


SENTENCES = (
    ("pending", {}, "Waits to be run since"),
    ("pending", {"next_run_at": 4_000_000_000_000}, "Waits for its time; runs at"),
    ("pending", {"crashes": 1}, "Given back after its worker died"),
    ("processing", {}, "Running on w1, attempt 1 of 4, since"),
    ("processing", {"cancel_requested": True}, "Is being cancelled"),
    ("completed", {}, "Completed in 40 ms at"),
    ("failed", {}, "Failed with exit code 1; attempt 2 of 4 at"),
    ("failed", {"next_run_at": 1}, "Failed with exit code 1; attempt 2 of 4 is due."),
    ("failed", {"last_error": "timed out after 2 s"}, "Failed: timed out after 2 s; attempt 2 of 4 at"),
    ("dead", {}, "Failed with exit code 1 after 4 attempts, no retry left; dead since"),
    (
        "dead",
        {"crashes": 3, "last_error": "worker w1 died: killed by SIGKILL; given up after 3 crashes"},
        "Given up: worker w1 died",
    ),
    ("cancelled", {}, "Cancelled at"),
)


@pytest.mark.parametrize(("state", "columns", "sentence"), SENTENCES)
def test_one_sentence_says_where_a_job_stands(panel, state, columns, sentence):
    add(state, id="x", **columns)
    assert f'<p class="sentence">{sentence}' in panel.get("/jobs/x").text


def test_a_job_polls_only_while_it_can_change(panel):
    for state in STATES:
        add(state, id=state)
        polls = "every" in re.search(r'<div id="job"[^>]*>', panel.get(f"/jobs/{state}").text)[0]
        assert polls == (state in ("pending", "processing", "failed")), state


def run(job: Job, number: int = 1, outcome: str = "success", stdout: bytes = b"", **columns) -> None:
    columns = {"stdout_bytes": len(stdout)} | columns
    Attempt.insert(
        job=job.pk, run=number, worker="w1", host="here", started_at=1, outcome=outcome, stdout=stdout, **columns
    ).on_conflict_replace().execute()


def printed(page: str, stream: str = "stdout") -> list[str]:
    """The rows of a stream as a reader sees them, and the gaps between them."""
    box = re.search(rf'<pre id="{stream}"[^>]*>(.*?)</pre>', page, re.DOTALL)[1]
    rows = re.findall(r'<span class="(?:row|gap)"[^>]*>(?:<a[^>]*></a>)?(.*?)</span>', box, re.DOTALL)
    return [row for row in rows if row]


def test_the_output_of_the_chosen_run_is_shown(panel):
    job = add("dead", id="x")
    Job.update(run=2).where(Job.pk == job.pk).execute()
    run(job, 1, "timeout", b"first", return_code=-15)
    run(job, 2, "failed", b"second", return_code=127)
    page = panel.get("/jobs/x").text
    assert printed(page) == ["second"]
    assert "timed out" in page
    assert "SIGTERM" in page
    assert "exit 127" in page
    assert "command not found" in page
    assert printed(panel.get("/jobs/x?run=1").text) == ["first"]


def test_output_that_was_not_kept_is_said_to_be_missing(panel):
    job = add("completed", id="x")
    run(job, stdout=b"headtail", stdout_bytes=5_000_008, stdout_cut=4)
    page = panel.get("/jobs/x").text
    assert "5.0 MB, middle 5.0 MB not kept" in page
    assert printed(page) == ["head", "5.0 MB not shown", "tail"]
    download = panel.get("/jobs/x/stdout")
    assert download.data == "head\n… 5,000,000 bytes left out …\ntail".encode()


def test_output_that_was_deleted_is_told_from_none(panel):
    job = add("completed", id="x")
    run(job, stdout=b"", stdout_bytes=12)
    page = panel.get("/jobs/x").text
    assert 'data-empty="The output is no longer kept."' in page
    assert 'data-empty="No output."' in page


def test_a_download_is_text_and_never_a_page(panel):
    job = add("completed", id="a:b")
    run(job, stdout=b"<script>alert(1)</script>\x1b[31m\xff")
    answer = panel.get("/jobs/a:b/stdout")
    assert answer.data == b"<script>alert(1)</script>\x1b[31m\xff"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "attachment; filename=a_b-1.stdout.log"


def test_a_download_as_text_is_what_a_terminal_would_show(panel):
    job = add("completed", id="x")
    run(job, stdout=b"10%\r100%\r\n\x1b[31mred\x1b[0m\n")
    answer = panel.get("/jobs/x/stdout?as=text")
    assert answer.data == b"100%\nred\n"
    assert answer.headers["Content-Disposition"] == "attachment; filename=x-1.stdout.txt"


def test_the_tail_brings_what_is_new_and_ends_with_the_run(panel):
    job = add("processing", id="x")
    run(job, outcome="running", stdout=b"one\ntw")
    page = panel.get("/jobs/x").text
    assert printed(page) == ["one", "tw"]
    url = re.search(r'<div id="tail" data-poll hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    assert panel.piece(url).status_code == 204
    run(job, outcome="running", stdout=b"one\ntwo <b>\nthr")
    more = panel.piece(url).text
    assert '<span hx-swap-oob="beforeend:#stdout-rows"><span class="row" id="stdout-L2">' in more
    assert "two &lt;b&gt;" in more
    assert '<span hx-swap-oob="innerHTML:#stdout-rest">thr</span>' in more
    assert "stderr-rows" not in more
    url = re.search(r'hx-get="([^"]+)"', more)[1].replace("&amp;", "&")
    run(job, outcome="success", stdout=b"one\ntwo <b>\nthree")
    last = panel.piece(url).text
    assert 'id="stdout-L3"' in last
    assert "three" in last
    assert "hx-get" not in last


def test_earlier_output_is_a_part_at_a_time_and_a_link_without_a_script(panel):
    job = add("completed", id="x")
    run(job, stdout=b"".join(b"line %d\n" % number for number in range(1, 2501)))
    page = panel.get("/jobs/x").text
    assert printed(page)[0] == "line 1501"
    more, link = re.search(r'<a class="more-rows" href="([^"]+)" hx-get="([^"]+)"', page).groups()[::-1]
    piece = panel.piece(more.replace("&amp;", "&")).text
    assert 'id="stdout-L501"' in piece
    assert "line 1500<" in piece
    assert "line 1501<" not in piece
    assert "Show earlier output" in piece
    page = panel.get(link.replace("&amp;", "&").partition("#")[0]).text
    assert (printed(page)[0], printed(page)[-1]) == ("line 501", "line 1500")
    assert "Show later output" in page


def test_a_line_can_be_gone_to(panel):
    job = add("completed", id="x")
    run(job, stdout=b"".join(b"line %d\n" % number for number in range(1, 5001)))
    answer = panel.get("/jobs/x/line?run=1&stream=stdout&line=1234")
    assert answer.status_code == 303
    address, _, anchor = answer.location.partition("#")
    assert anchor == "stdout-L1234"
    assert 'id="stdout-L1234"' in panel.get(address).text
    assert panel.get("/jobs/x/line?stream=stdout&line=99999").location.endswith("#stdout-L5000")
    assert panel.get("/jobs/x/line?stream=nothing&line=1").status_code == 422


def test_a_job_without_a_run_says_so(panel):
    add(id="x")
    assert "has not run yet" in panel.get("/jobs/x").text


def test_a_new_run_brings_its_output_along(panel):
    add(id="x")
    poll = re.search(r'<div id="job"[^>]*hx-get="([^"]+)"', panel.get("/jobs/x").text)[1]
    Job.update(state="processing", run=1, locked_by="w1", locked_at=models.now_ms()).where(Job.id == "x").execute()
    piece = panel.piece(poll).text
    assert re.search(r'<section id="output"[^>]*hx-swap-oob="true"', piece)
    poll = re.search(r'<div id="job"[^>]*hx-get="([^"]+)"', piece)[1].replace("&amp;", "&")
    Job.update(priority=1).where(Job.id == "x").execute()
    assert 'id="output"' not in panel.piece(poll).text


def test_the_environment_shows_names_not_values(panel):
    add(id="x", env={"API_TOKEN": "s3cret"})
    page = panel.get("/jobs/x").text
    assert "API_TOKEN" in page
    assert "s3cret" not in page


def test_retry_says_what_it_did(panel):
    add("dead", id="x")
    answer = panel.post("/jobs/x/retry", htmx=True)
    assert answer.status_code == 204
    assert "Job x is pending again." in answer.headers["HX-Trigger"]
    assert '"changed": true' in answer.headers["HX-Trigger"]
    answer = panel.post("/jobs/x/retry")
    assert answer.status_code == 409
    assert "only failed, dead and cancelled jobs can be retried" in answer.text


def test_an_action_returns_to_where_it_was_asked_for(panel):
    add("dead", id="x")
    answer = panel.post("/jobs/x/retry", headers={"Referer": "http://localhost/jobs?state=dead"})
    assert answer.location == "/jobs?state=dead"
    assert "Job x is pending again." in panel.get("/jobs").text


def test_deleting_asks_first_and_leaves_the_page_of_the_job(panel):
    add("dead", id="x")
    question = panel.get("/jobs/x/delete").text
    assert "Delete this job?" in question
    assert '<form class="confirm" method="post" action="/jobs/x/delete">' in question
    assert "<html" not in panel.piece("/jobs/x/delete").text
    assert panel.post("/jobs/x/delete").location == "/jobs"
    assert panel.get("/jobs/x").status_code == 404


def test_deleting_in_a_list_keeps_the_list(panel):
    add("dead", id="x")
    answer = panel.post("/jobs/x/delete", htmx=True, headers={"HX-Current-URL": "http://localhost/jobs"})
    assert "HX-Redirect" not in answer.headers
    add("dead", id="y")
    answer = panel.post("/jobs/y/delete", htmx=True, headers={"HX-Current-URL": "http://localhost/jobs/y?run=1"})
    assert answer.headers["HX-Redirect"] == "/jobs"


def test_a_job_and_those_that_were_made_from_it_lead_to_each_other(panel):
    add("dead", id="first")
    jobs.enqueue({"command": "true", "id": "again"}, origin="first")
    assert 'Made from it</dt><dd><a class="id" href="/jobs/again">again</a>' in panel.get("/jobs/first").text
    assert 'Made from</dt><dd><a class="id" href="/jobs/first">first</a>' in panel.get("/jobs/again").text
