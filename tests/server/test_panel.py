"""The panel as it is shipped, among hostile clients."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

import models
from engine import jobs
from models import Attempt, Job
from server.headers import HEADERS
from tests.server.clients import HOST, Client, get
from tests.server.running import Gunicorn
from tests.support import wait_until

HALF_A_POST = b"POST /enqueue HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\ncommand="


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a panel whose jobs printed some megabytes. It waits for its clients as long as they like."""
    folder = tmp_path_factory.mktemp("panel")
    models.connect(str(folder / "queue.db"))
    with models.db.atomic():
        for number in range(40):
            job = Job.get(Job.id == jobs.enqueue({"command": "echo hi", "id": f"job-{number}"}))
            output = b"A" * 250_000
            Attempt.insert(job=job.pk, run=1, worker="w1", host="h", started_at=1, stdout=output).execute()
        Job.update(state="completed", run=1, finished_at=1).execute()
    models.disconnect()
    server = Gunicorn(folder, "--config", "python:tests.server.patient")
    yield server.port()
    server.end()
    assert "Traceback" not in server.said()


ATTACKS: dict[str, dict[str, Any]] = {
    "silent": {},
    "half a line": {"sends": b"GET /jobs HTT"},
    "half a head": {"sends": b"GET /jobs HTTP/1.1\r\n" + HOST + b"X: "},
    "half a body": {"sends": HALF_A_POST},
    "an unread page": {"sends": get("/jobs"), "deaf": True},
    "an unread output": {"sends": get("/jobs/job-1/stdout"), "deaf": True},
    "an unread export": {"sends": get("/export"), "deaf": True},
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_sixty_hostile_clients_keep_nobody_from_an_answer(port, client, attack):
    hostile = [client(port, **ATTACKS[attack]) for _ in range(60)]
    for url in ("/healthz", "/jobs", "/healthz", "/jobs/job-2"):
        assert client(port, get(url)).answer()[0] == 200
    assert all(one.is_open() for one in hostile)


def begun_export(port: int, client: Callable[..., Client]) -> Client:
    """An export of which only the status is read; those of the clients that left end in their own time."""

    def begin() -> Client | None:
        one = client(port, get("/export"), deaf=True)
        return one if one.sock.recv(12) == b"HTTP/1.1 200" else None

    return wait_until(begin)


def test_two_unread_exports_leave_room_for_everything_but_a_third(port, client):
    unread = [begun_export(port, client) for _ in range(2)]
    status, headers, body = client(port, get("/export")).answer()
    assert status == 429
    assert headers["Retry-After"]
    assert b"exports are being read" in body
    for one in unread:
        assert one.rest().endswith(b"0\r\n\r\n")  # whole, though it was begun to be read late


TARGETS = (
    "/",
    "/jobs",
    "/jobs?state=dead",
    "/healthz",
    "/jobs/job-1",
    "/nowhere",
    "/enqueue",
    "/config",
    "/palette?q=j",
)
ODD = (
    "",
    " ",
    "\t",
    ":",
    "[",
    "]",
    "[::1",
    "@",
    "/",
    "//",
    "\\",
    "%",
    "%00",
    "%ff",
    "..",
    "\xff",
    "x" * 70,
    "\x00",
    "\r",
    "\n",
)
NAMES = (
    *("Host", "Origin", "Referer", "Cookie", "Authorization", "Content-Length", "Content-Type", "Transfer-Encoding"),
    *("HX-Request", "HX-Current-URL", "Sec-Fetch-Site", "X-Forwarded-Host", "X-Forwarded-Proto", "Accept-Encoding"),
    *("Range", "If-None-Match", "Cache-Control", "Expect", "Connection", "Upgrade", "X-CSRFToken"),
)
VALUES = (
    *(
        "localhost",
        "http://localhost",
        "http://[x",
        "http://a:b",
        "null",
        "same-origin",
        "cross-site",
        "true",
        "chunked",
    ),
    *(
        "5",
        "-1",
        "queuectl=x; a=b",
        "Basic eDp4",
        "Bearer x",
        "bytes=0-",
        "*",
        "100-continue",
        "h2c",
        "websocket",
        "gzip",
    ),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; charset=x", "close"),
)


def odd_request(chance: random.Random) -> bytes:
    """A request of which something is malformed, mostly."""

    def odd(text: str) -> str:
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(ODD) + text[at + chance.randrange(2) :]
        return text

    method = chance.choice(("GET", "GET", "POST", "HEAD", "OPTIONS", odd("PUT")))
    target = odd(chance.choice(("", "", "", "http://localhost", "//localhost")) + chance.choice(TARGETS))
    lines = [f"{method} {target} {chance.choice(('HTTP/1.1',) * 4 + ('HTTP/1.0', odd('HTTP/1.1')))}"]
    lines += [f"Host: {odd('localhost')}"] if chance.random() < 0.3 else ["Host: localhost"]
    for _ in range(chance.randrange(4)):
        lines.append(f"{chance.choice(NAMES)}: {odd(chance.choice(VALUES))}")
    return "\r\n".join([*lines, "Connection: close", "", "x=1"]).encode("latin-1")


def ask_oddly(port: int, seed: int) -> None:
    """Send the request of this seed; whatever is answered is no server error and carries the headers."""
    request = odd_request(random.Random(seed))
    client = Client(port, request)
    client.sock.shutdown(socket.SHUT_WR)  # what is incomplete is not waited for
    try:
        answer = client.rest()
    except ConnectionError:
        answer = b""
    client.close()
    heads = [part for part in re.split(rb"(?=HTTP/1\.[01] \d{3} )", answer)[1:] if not part.startswith(b"HTTP/1.1 100")]
    for head in (part.partition(b"\r\n\r\n")[0].decode("latin-1") for part in heads):
        status = int(head.split()[1])
        assert status < 500 or status == 501, (seed, request, head)
        assert set(head.split("\r\n")) >= {f"{name}: {value}" for name, value in HEADERS.items()}, (seed, request, head)


def test_no_malformed_request_is_a_server_error_or_lacks_the_headers(port):
    for seed in range(150):
        ask_oddly(port, seed)


@pytest.mark.slow
def test_no_malformed_request_of_many_is_a_server_error_or_lacks_the_headers(port):
    for seed in range(1000, 9000):
        ask_oddly(port, seed)
