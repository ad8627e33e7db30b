"""The doors under fire: ten thousand forms and ten thousand files of nonsense. One sentence each, and nothing stored.

What the engine makes of a payload is tested in tests/engine/test_fuzz.py; here it is the way to the engine.
"""

from __future__ import annotations

import io
import json
import random
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import click
import pytest

import models
from engine.errors import QueueError
from models import Job
from views import enqueue
from views.enqueue import FIELDS

COUNT = 10_000
SEED = 2026

PIECES = (
    *(
        "",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\0",
        "\x1b[2J",
        "\x7f",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\ud800",
        "e\u0301",
        "🎉" * 3,
    ),
    *("0", "-1", "+1", "1e3", "1e999", "nan", "Infinity", "0x10", "1_000", "9" * 30, "-" * 20, "3.5", "٣", "²", "1,5"),
    *(
        "true",
        "null",
        "[]",
        "{}",
        '{"a":1}',
        '"',
        "'",
        "\\",
        "\\u0000",
        "<script>alert(1)</script>",
        "{{ 7*7 }}",
        "%s%n",
    ),
    *("'; DROP TABLE job; --", "../../etc/passwd", "/tmp", "~", "$(reboot)", "`id`", "a=b", "=", "A=1\nB", "A=1\nA=2"),
    *(
        "+10m",
        "+10y",
        "+99999999999s",
        "2025-11-04T10:30:00Z",
        "2025-13-99T99:99:99Z",
        "0000-01-01",
        "10000-01-01T00:00Z",
    ),
    *("a,b", ",,,", "x" * 65, "x" * 129, "x" * 5000, "default", "j1", "-100", "100", "101", "1000"),
)


def text(chance: random.Random) -> str:
    """A piece, several of them, or characters from anywhere."""
    kind = chance.random()
    if kind < 0.01:
        return "x" * 100_001
    if kind < 0.5:
        return chance.choice(PIECES)
    if kind < 0.7:
        return "".join(chance.choices(PIECES, k=chance.randint(2, 4)))
    return "".join(
        chr(chance.choice((chance.randrange(128), chance.randrange(0x110000)))) for _ in range(chance.randint(1, 12))
    )


# --- the form


def form(chance: random.Random) -> bytes:
    """A body as a browser would never send it: fields of nonsense, some twice, some unknown, some not UTF-8."""
    fields = {"command": "true"} if chance.random() < 0.7 else {}
    fields |= {name: text(chance) for name in chance.sample(FIELDS, chance.randint(1, 4))}
    if chance.random() < 0.2:
        fields[text(chance)[:50]] = text(chance)
    body = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in fields.items())
    if chance.random() < 0.1:
        body += "&command=%ff%fe&priority=%00&" + "&".join(["tags=a"] * 3)
    return body.encode()


@cache
def _quoted(words: str) -> str:
    return quote(words.encode("utf-8", "surrogatepass"))


@pytest.fixture
def panel(queue, monkeypatch):
    """The panel, with a database that need not wait for the disk."""
    opened = queue.panel()
    models.db.obj.pragma("synchronous", "OFF", permanent=True)
    yield opened
    models.connect(str(queue.path))
    models.Job.delete().execute()


def test_ten_thousand_hostile_forms_are_stored_or_refused_never_an_error(panel, monkeypatch):
    """Each is answered 303 and stored as one job, or 422 with a sentence beside a field and nothing stored."""
    chance = random.Random(SEED)
    client = panel.client.application.test_client(use_cookies=False)  # else each answer makes the cookie longer
    kind = "application/x-www-form-urlencoded"
    said: list[str] = []
    whole = enqueue._form

    def form_again(values: dict[str, str], mistakes: dict[str, str], **more: Any) -> str:
        said.append(" ".join(f"{field}: {sentence}" for field, sentence in mistakes.items()))
        return whole(values, mistakes, **more) if chance.random() < 0.03 else ""  # to draw it costs most of the time

    monkeypatch.setattr(enqueue, "_form", form_again)
    monkeypatch.setattr(models, "disconnect", lambda: None)  # one connection for all requests
    client.application.config["WTF_CSRF_CHECK_DEFAULT"] = False  # other tests forge the token
    answered: Counter[int] = Counter()
    shown = set()  # where the stored jobs are; the same form sent twice is one job
    for _ in range(COUNT):
        body = form(chance)
        answer = client.post("/enqueue", data=body, content_type=kind)
        assert answer.status_code in (303, 422), (body[:500], answer.status_code)
        answered[answer.status_code] += 1
        shown.add(answer.location)
    assert len(said) == answered[422]
    assert [sentence for sentence in said if not sentence.endswith(".") or "Traceback" in sentence] == []
    assert Job.select().count() == len(shown - {None})
    assert min(answered[303], answered[422]) > COUNT / 40


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe\0", "application/x-www-form-urlencoded", 400),
        (b"not a form", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n", "multipart/form-data", 400),
        (b'{"command": "true"}', "application/json", 400),
        (b"command=true&csrf_token=forged", "application/x-www-form-urlencoded", 400),
        (b"command=" + b"x" * 1_100_000, "application/x-www-form-urlencoded", 413),
        (b"&".join([b"a=b"] * 5000), "application/x-www-form-urlencoded", 400),
    ],
)
def test_a_body_that_is_no_form_of_ours_is_refused_and_changes_nothing(panel, body, content_type, status):
    before = panel.dump()
    answer = panel.client.post("/enqueue", data=body, content_type=content_type)
    assert answer.status_code == status
    assert panel.dump() == before


ADDRESSES = (
    *("/jobs/{}", "/jobs?before={}", "/jobs?after={}", "/jobs?state={}", "/jobs?text={}", "/jobs?queue={}&tag={}"),
    *("/dlq?before={}", "/enqueue?from={}", "/jobs/{}/output/stdout", "/jobs/x/tail?at={}", "/workers/{}/stop", "/{}"),
)


def test_hostile_addresses_are_answered_without_an_error(panel):
    """Ids, cursors, filters and numbers in the address of every page."""
    chance = random.Random(SEED)
    for number in range(600):
        words = quote(text(chance)[:300].encode("utf-8", "surrogatepass"), safe="")
        address = chance.choice(ADDRESSES).replace("{}", words)
        answer = panel.client.get(address)
        assert answer.status_code < 500, (number, address)


# --- the file


def document(chance: random.Random) -> bytes:
    """Something like a file of jobs: an object, an array, lines; broken in a thousand ways."""
    kind = chance.random()
    if kind < 0.15:
        found = text(chance)
    elif kind < 0.4:
        found = json.dumps([job(chance) for _ in range(chance.randint(0, 4))], ensure_ascii=chance.random() < 0.5)
    else:
        found = "\n".join(json.dumps(job(chance)) for _ in range(chance.randint(1, 5)))
    content = bytearray(found.encode("utf-8", "surrogatepass"))
    for _ in range(chance.choice((0, 0, 1, 3))):  # bytes changed, lost or added
        at = chance.randint(0, len(content))
        content[at : at + chance.randint(0, 2)] = chance.choice(
            (b"", b"\xff", b"\0", b"{", b"]", b'"', b"\n", b"\xef\xbb\xbf", b"[" * 2000, b"9" * 5000)
        )
    return bytes(content)


def job(chance: random.Random) -> Any:
    if chance.random() < 0.05:
        return chance.choice((None, 1, "true", [], [[]], {}))
    values = (lambda: text(chance), lambda: chance.randint(-200, 200), lambda: None, lambda: [text(chance)], dict)
    names = chance.sample((*FIELDS, "state", ""), chance.randint(0, 3))
    return {"command": "true"} | {name: chance.choice(values)() for name in names}


def test_ten_thousand_files_of_nonsense_are_read_or_refused_in_one_sentence(monkeypatch):
    """As `enqueue --file -` reads and checks them, to the point where they would be stored."""
    import queuectl

    kept: list[Any] = []
    monkeypatch.setattr(queuectl, "_store", lambda jobs, *_, **__: kept.append(jobs))
    read = refused = 0
    chance = random.Random(SEED)
    for _ in range(COUNT):
        content = document(chance)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        try:
            queuectl.cli.main(["enqueue", "--file", "-"], standalone_mode=False)
            read += 1
        except (QueueError, click.UsageError) as error:
            refused += 1
            said = str(error)
            assert said.endswith((".", "'")), (content[:300], said)
            assert "Traceback" not in said
    assert len(kept) == read
    assert all(isinstance(found, dict) and found["command"] for jobs in kept for found in jobs)
    assert min(read, refused) > COUNT / 40


def test_a_file_of_many_jobs_with_one_mistake_stores_none(queue, tmp_path: Path):
    lines = [json.dumps({"command": "true", "id": f"j{number}"}) for number in range(5000)]
    lines[4321] = '{"command": "true", "priority": 1e3}'
    said = queue.command("enqueue", "--file", "-", input="\n".join(lines))
    assert said.returncode == 2
    assert said.stderr.startswith("line 4322: priority")
    assert said.stderr.endswith("Nothing was stored.\n")
    assert Job.select().count() == 0
