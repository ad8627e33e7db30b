"""The forms that enqueue: what they refuse, what they warn of, and that nothing is stored twice or typed in vain."""

from __future__ import annotations

import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine import config, jobs, queries
from models import Job
from tests.views.panel import add
from views import many


def token(panel) -> str:
    return re.search(r'name="token" value="([^"]+)"', panel.get("/enqueue/many").text)[1]


def listed(panel, url: str) -> list[str]:
    return re.findall(r'<span class="id">([^<]+)</span>', panel.get(url).text)


# --- one job


def test_every_mistake_stands_beside_its_field_and_the_first_gets_the_focus(panel):
    answer = panel.post("/enqueue", command="echo kept", id="a b", priority="high", env="nonsense", tags="kept")
    assert answer.status_code == 422
    for field in ("id", "priority", "env"):
        assert re.search(rf'id="f-{field}"[^>]*aria-invalid="true"', answer.text)
        assert f'id="{field}-error"' in answer.text
    assert re.findall(r'id="f-(\w+)"[^>]*autofocus', answer.text) == ["id"]
    for kept in ("echo kept", 'value="a b"', 'value="high"', "nonsense</textarea>", 'value="kept"'):
        assert kept in answer.text


def test_what_the_shell_cannot_read_is_stored_only_on_purpose(panel):
    answer = panel.post("/enqueue", command="echo 'open")
    assert answer.status_code == 422
    assert "The shell cannot read it" in answer.text
    assert 'name="anyway"' in answer.text
    assert Job.select().count() == 0
    assert panel.post("/enqueue", command="echo 'open", anyway="1").status_code == 303
    assert Job.get().command == "echo 'open"


@pytest.mark.parametrize(
    ("zone", "instant"),
    [("", "2030-07-01T08:00:00Z"), ("Europe/Berlin", "2030-07-01T06:00:00Z")],
)
def test_a_time_in_the_field_of_the_delay_is_one_of_that_zone_too(panel, zone, instant):
    panel.post("/enqueue", command="true", run_at="2030-07-01 8:00", run_zone=zone)
    assert queries.iso(Job.get().next_run_at) == instant


def test_a_timeout_may_have_a_unit(panel):
    assert panel.post("/enqueue", command="true", timeout_sec=" 1h30m ").status_code == 303
    assert Job.get().timeout_ms == 5_400_000


def test_the_check_says_that_an_hour_comes_twice(panel):
    said = panel.post("/enqueue/check", command="true", run_on="2027-10-31T02:30", run_zone="Europe/Berlin").text
    assert "the clocks show that time twice that day; the first is meant, at 00:30 UTC" in said


def test_a_file_of_jobs_may_have_the_line_ends_of_windows(panel):
    panel.post("/enqueue/many", form="json", jobs='[{"command": "test a = a\\r\\necho b"}]')
    assert Job.get().command == "test a = a\necho b"


@pytest.mark.parametrize(
    ("zone", "instant"),
    [
        ("", "2030-07-01T08:00:00Z"),
        ("Europe/Berlin", "2030-07-01T06:00:00Z"),
        ("UTC", "2030-07-01T08:00:00Z"),
    ],
)
def test_a_date_is_one_of_the_zone_that_is_named(panel, zone, instant):
    panel.post("/enqueue", command="true", run_on="2030-07-01T08:00", run_zone=zone)
    assert queries.iso(Job.get().next_run_at) == instant


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"run_on": "2030-03-31T02:30", "run_zone": "Europe/Berlin"}, "Does not exist in Europe/Berlin"),
        ({"run_on": "2030-07-01T08:00", "run_zone": "Nowhere"}, "&#39;Nowhere&#39; is no time zone known here"),
        ({"run_on": "2030-07-01T08:00", "run_at": "+5m"}, "Give a delay or a date, one of the two."),
    ],
)
def test_a_date_that_no_clock_shows_is_refused_beside_it(panel, form, sentence):
    answer = panel.post("/enqueue", command="true", **form)
    assert answer.status_code == 422
    assert re.search(rf'id="run_on-error">.*?{re.escape(sentence)}', answer.text, re.DOTALL)


@pytest.mark.parametrize("htmx", [False, True])
def test_a_check_warns_and_stores_nothing(panel, htmx):
    before = panel.dump()
    answer = panel.post("/enqueue/check", htmx=htmx, command="no_such_program", cwd="/nope", timeout_sec="0.5")
    assert answer.status_code == 200
    assert "There is no program no_such_program here" in answer.text.replace("there is", "There is")
    for said in ("no such folder here", "only 500 ms"):
        assert said in answer.text.lower()
    assert ("<html" in answer.text) is not htmx
    assert panel.dump() == before


def test_a_check_says_that_an_id_is_taken_and_a_queue_paused(panel):
    from engine import queues

    add(id="one")
    queues.pause("mail", actor="test")
    text = panel.post("/enqueue/check", htmx=True, command="true", id="one", queue="mail").text
    assert "there is a job one already" in text
    assert "the queue mail is paused" in text


def test_a_check_of_mistakes_names_their_fields(panel):
    text = panel.post("/enqueue/check", htmx=True, command="true", priority="high").text
    assert '<a href="#f-priority">Priority</a>: must be a whole number' in text
    page = panel.post("/enqueue/check", command="true", priority="high").text
    assert "Nothing was enqueued" not in page
    assert 'id="priority-error"' in page


def test_nothing_wrong_is_said_too(panel):
    assert "nothing else is amiss" in panel.post("/enqueue/check", htmx=True, command="echo hi").text
    assert "amiss" not in panel.get("/enqueue").text


def test_the_attempts_are_shown_from_the_real_settings(panel):
    config.set("backoff_base", 3)
    config.set("backoff_jitter", 0.5)
    config.set("job_timeout_sec", 90)
    text = re.sub(r"<[^>]+>", "", panel.post("/enqueue/check", htmx=True, command="true", max_retries="2").text)
    assert re.search(r"then about \+3 s, \+9 s; dead after 3 attempts, at about [\d:]+ UTC if each fails at once", text)
    assert "up to 50 % longer" in text
    assert "stopped after 1 min 30 s" in text


def test_many_attempts_are_shown_by_the_first_and_the_last(panel):
    text = panel.post("/enqueue/check", htmx=True, command="true", max_retries="1000").text
    assert "995 more" in text
    assert "dead after 1,001 attempts" in text


@pytest.mark.parametrize(
    "command", ["<script>alert(1)</script>", "'\"><img src=x>", "{{ 7*7 }}", "\x1b[31m'", "(" * 4000]
)
def test_hostile_commands_are_shown_as_text(panel, command):
    text = panel.post("/enqueue/check", command=command).text
    assert "<script>alert" not in text
    assert "<img" not in text


def test_the_page_after_offers_another_like_it(panel):
    answer = panel.post("/enqueue", command="true", id="one")
    assert (
        '<a class="button small" href="/enqueue?from=one">Enqueue another like it</a>'
        in panel.get(answer.location).text
    )
    assert 'href="/jobs/one"' in panel.get("/enqueue?from=one").text


# --- many jobs


def test_plain_lines_are_enqueued_and_just_these_are_shown(panel):
    add(id="another")
    answer = panel.post(
        "/enqueue/many", form="lines", jobs="echo a\r\n\r\n# no\r\necho b\r\n", queue="mail", tags="nightly"
    )
    assert answer.status_code == 303
    assert [job.command for job in Job.select().where(Job.queue == "mail").order_by(Job.pk)] == ["echo a", "echo b"]
    assert {tuple(json.loads(job.tags)[:1]) for job in Job.select().where(Job.queue == "mail")} == {("nightly",)}
    page = panel.get(answer.location).text
    assert "2 jobs are enqueued. Here are just these." in page
    assert "another" not in listed(panel, answer.location)
    assert len(listed(panel, answer.location)) == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"command": "a", "id": "one", "queue": "own"}\n{"command": "b"}',
        '[{"command": "a", "id": "one", "queue": "own"},\n {"command": "b"}]',
    ],
)
def test_json_is_enqueued_and_what_a_job_says_itself_wins(panel, text):
    assert panel.post("/enqueue/many", form="json", jobs=text, queue="mail").status_code == 303
    assert [(job.command, job.queue) for job in Job.select().order_by(Job.pk)] == [("a", "own"), ("b", "mail")]
    assert Job.get().id == "one"


def test_a_file_is_enqueued(panel):
    file = (io.BytesIO("\ufeffecho ä\r\necho b".encode()), "jobs.txt")
    answer = panel.post("/enqueue/many", form="lines", jobs="", file=file)
    assert answer.status_code == 303
    assert [job.command for job in Job.select().order_by(Job.pk)] == ["echo ä", "echo b"]


def test_one_mistake_stores_none_and_each_is_told_with_line_and_field(panel):
    lines = ['{"command": "ok"}'] * 3 + ['{"command": "ok", "priority": 200}', "nonsense", '{"command": ""}'] * 9
    answer = panel.post("/enqueue/many", form="json", jobs="\n".join(lines))
    assert answer.status_code == 422
    assert Job.select().count() == 0
    told = re.findall(r"<li><b>(Line \d+)</b>: ([^<]+)</li>", answer.text)
    assert len(told) == many.SHOWN
    assert told[0] == ("Line 4", "priority: must be from -100 to 100.")
    assert told[1][1].startswith("Not valid JSON")
    assert told[2][1].startswith("command: is empty")
    assert "And 7 more mistakes." in answer.text
    assert "nonsense" in answer.text


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"form": "lines", "jobs": ""}, "There is no job in it."),
        ({"form": "", "jobs": "true"}, "Choose what the text is"),
        ({"form": "json", "jobs": "["}, "Not valid JSON"),
        ({"form": "lines", "jobs": "true\n" * 10_001}, "There are 10,001 jobs; at most 10,000"),
        ({"form": "json", "jobs": "[" + "1," * 10_001 + "1]"}, "There are 10,002 jobs; at most 10,000"),
        ({"form": "lines", "jobs": "true\nec\0ho"}, "contains a NUL byte"),
        ({"form": "json", "jobs": '{"command": "a"}\n{"command": "\\u0000"}'}, "contains a NUL byte"),
        ({"form": "lines", "jobs": "x" * 2_000_000}, "is 2,000,000 bytes; at most 100,000"),
        (
            {"form": "json", "jobs": '{"command": "a", "id": "i"}\n{"command": "b", "id": "i"}'},
            "id i was given in line 1",
        ),
        ({"form": "lines", "jobs": "true", "queue": "a b"}, "What is said for all of them is wrong"),
        (
            {"form": "lines", "jobs": "true", "tags": "x " * 0 + " ".join(f"t{n}" for n in range(20))},
            "more than 20 tags",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused_in_a_sentence(panel, form, sentence):
    answer = panel.post("/enqueue/many", **form)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert Job.select().count() == 0


def test_ids_that_are_taken_are_told_with_their_lines(panel):
    add(id="two")
    text = '{"command": "a", "id": "one"}\n{"command": "b", "id": "two"}'
    assert "<b>Line 2</b>: There is a job two already" in panel.post("/enqueue/many", form="json", jobs=text).text
    assert Job.select().count() == 1


def test_a_file_that_is_no_text_is_refused_with_its_place(panel):
    answer = panel.post("/enqueue/many", form="lines", file=(io.BytesIO(b"echo \xff"), "jobs.bin"))
    assert answer.status_code == 422
    assert "The file is not UTF-8 at byte 5; save it as UTF-8." in answer.text


def test_a_file_with_a_mistake_can_be_mended_in_the_field(panel):
    answer = panel.post("/enqueue/many", form="json", file=(io.BytesIO(b'{"command": 5}'), "jobs.json"))
    assert "{&#34;command&#34;: 5}</textarea>" in answer.text
    long = b'{"command": 5}\n' * 20_000
    answer = panel.post("/enqueue/many", form="json", file=(io.BytesIO(long), "jobs.json"))
    assert answer.status_code == 422
    assert len(answer.data) < 100_000


def test_text_and_file_at_once_are_refused(panel):
    answer = panel.post("/enqueue/many", form="lines", jobs="true", file=(io.BytesIO(b"false"), "jobs"))
    assert "one of the two" in answer.text
    assert "true</textarea>" in answer.text


@pytest.mark.parametrize("url", ["/enqueue/many", "/enqueue/many/check"])
def test_a_file_that_is_too_large_is_refused_in_a_sentence(panel, url):
    body = b"x" * (many.FILE_MB * 1024 * 1024 + 1)
    answer = panel.client.post(url, data=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == 413
    assert "at most 8 MB" in answer.text
    assert Job.select().count() == 0


def test_ten_thousand_lines_are_stored_at_once(panel):
    answer = panel.post("/enqueue/many", form="lines", jobs="echo hi\n" * 10_000)
    assert answer.status_code == 303
    assert Job.select().count() == 10_000


def test_what_the_shell_cannot_read_among_many_is_stored_only_on_purpose(panel):
    form = {"form": "lines", "jobs": "echo a\necho 'open"}
    answer = panel.post("/enqueue/many", **form)
    assert answer.status_code == 422
    assert "<b>Line 2</b>: The shell cannot read it" in answer.text
    assert 'name="anyway"' in answer.text
    assert panel.post("/enqueue/many", **form, anyway="1").status_code == 303


def test_json_that_is_called_plain_lines_is_questioned(panel):
    answer = panel.post("/enqueue/many", form="lines", jobs='{"command": "true"}')
    assert answer.status_code == 422
    assert "This looks like JSON" in answer.text


@pytest.mark.parametrize("htmx", [False, True])
def test_a_check_of_many_stores_nothing(panel, htmx):
    before = panel.dump()
    good = panel.post("/enqueue/many/check", htmx=htmx, form="lines", jobs="echo a\necho b")
    assert "2 jobs, and nothing is amiss." in good.text
    bad = panel.post(
        "/enqueue/many/check", htmx=htmx, form="json", jobs='{"command": "a", "cwd": "x"}\n{"command": "b"}'
    )
    assert "<b>Line 1</b>: cwd: must be an absolute path" in bad.text
    assert ("<html" in bad.text) is not htmx
    assert panel.dump() == before


# --- sent twice


@pytest.mark.parametrize(
    "text", ['{"command": "a"}\n{"command": "b"}', '{"command": "a", "id": "one"}\n{"command": "b", "id": "two"}']
)
def test_many_sent_twice_are_stored_once(panel, text):
    form = {"form": "json", "jobs": text, "token": token(panel)}
    first, second = (panel.post("/enqueue/many", **form) for _ in range(2))
    assert first.location == second.location
    assert Job.select().count() == 2
    assert "not enqueued twice" in panel.get(second.location).text


def test_the_same_lines_in_another_form_are_other_jobs(panel):
    for _ in range(2):
        assert panel.post("/enqueue/many", form="lines", jobs="true", token=token(panel)).status_code == 303
    assert Job.select().count() == 2


def test_other_lines_in_the_same_form_are_other_jobs(panel):
    same = token(panel)
    for text in ("echo a", "echo b"):
        assert panel.post("/enqueue/many", form="lines", jobs=text, token=same).status_code == 303
    assert Job.select().count() == 2


@pytest.mark.parametrize("url", ["/enqueue", "/enqueue/many"])
def test_a_form_sent_by_many_at_once_is_stored_once(app, panel, url, monkeypatch):
    new_id = re.search(r'name="token" value="([^"]+)"', panel.get("/enqueue").text)[1]
    app.config["WTF_CSRF_ENABLED"] = False
    form = {"command": "true", "form": "lines", "jobs": "true\nfalse", "token": new_id}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: app.test_client().post(url, data=form), range(6)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.location for answer in answers}) == 1
    assert Job.select().count() == (1 if url == "/enqueue" else 2)


def test_an_id_that_somebody_else_has_taken_is_no_second_sending(panel):
    jobs.enqueue({"id": "one", "command": "other"})
    assert panel.post("/enqueue", id="one", command="true").status_code == 422
