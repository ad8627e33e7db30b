"""gunicorn with our worker: nobody who is slow, silent or deaf keeps others waiting."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from server.headers import HEADERS
from tests.server.clients import HOST, get
from tests.server.running import Gunicorn
from tests.support import wait_until


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The port of a server with short limits and two threads."""
    folder: Path = tmp_path_factory.mktemp("quick")
    server = Gunicorn(folder, "--config", "python:tests.server.quick", app="tests.server.quick:app")
    yield server.port()
    server.end()


@pytest.fixture
def connect(quick, client):
    return partial(client, quick)


def post(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in headers or (b"Content-Length: %d" % len(body),))
    return b"POST /echo HTTP/1.1\r\n" + HOST + lines + b"\r\n" + body


def test_a_request_that_does_not_arrive_in_time_is_refused_with_the_security_headers(connect):
    begins = [
        *(b"GET /jobs HTT", b"GET /jobs HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "),
        *(post(b"abc", b"Content-Length: 1000"), post(b"ff\r\nabc", b"Transfer-Encoding: chunked")),
        post(b"3\r\nabc\r\n0\r\nX: y", b"Transfer-Encoding: chunked"),
    ]
    for client in [connect(begin) for begin in begins]:
        status, headers, body = client.answer()
        assert status == 408
        assert headers.items() >= HEADERS.items()
        assert b"did not arrive in time" in body


def test_bytes_that_drip_give_no_more_time(connect):
    client = connect(b"GET / HTTP/1.1\r\nX: ")

    def refused() -> bool:
        client.send(b"x")
        client.sock.setblocking(False)
        try:
            return client.sock.recv(12) == b"HTTP/1.1 408"
        except BlockingIOError:
            return False

    wait_until(refused)


def test_a_silent_connection_is_closed_without_a_word(connect):
    assert connect().rest() == b""


def test_who_closes_in_the_middle_is_forgotten(connect):
    for begin in (b"", b"GET", post(b"abc", b"Content-Length: 1000")):
        connect(begin).close()
    assert connect(get("/here")).answer()[2] == b"/here"


def test_a_connection_is_used_again(connect):
    client = connect()
    for number in range(3):
        client.send(post(b"body %d" % number))
        assert client.answer()[2] == b"body %d" % number


def test_requests_that_come_together_are_answered_one_after_the_other(connect):
    client = connect(post(b"first") + post(b"second") + get("/third"))
    rest = client.rest()
    assert [rest.index(word) for word in (b"first", b"second", b"/third")] == sorted(
        rest.index(word) for word in (b"first", b"second", b"/third")
    )
    assert rest.count(b"200 OK") == 3


def test_a_body_in_chunks_arrives_whole(connect):
    client = connect(post(b"3\r\nabc\r\n", b"Transfer-Encoding: chunked"))
    client.send(b"a;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n" + get("/next"))
    assert client.answer()[2] == b"abc0123456789"
    assert client.answer()[2] == b"/next"


def test_who_asks_first_whether_to_send_the_body_gets_one_word(connect):
    client = connect(post(b"", b"Content-Length: 3", b"Expect: 100-continue"))
    assert client.answer()[0] == 100
    client.send(b"abc")
    assert client.answer()[::2] == (200, b"abc")


def test_a_question_that_came_with_the_request_before_is_answered_too(connect):
    client = connect(post(b"first") + post(b"", b"Content-Length: 3", b"Expect: 100-continue"))
    assert client.answer()[2] == b"first"
    assert client.answer()[0] == 100
    client.send(b"abc")
    assert client.answer()[2] == b"abc"


def test_a_large_body_is_not_waited_for(connect):
    client = connect(post(b"abc", b"Content-Length: 9999999"))
    assert client.answer()[0] == 200
    assert client.rest() == b""


@pytest.mark.parametrize(
    ("sends", "status"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (post(b"", b"Content-Length: 1", b"Content-Length: 1"), 400),
        (post(b"", b"Content-Length: -1"), 400),
        (post(b"", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
        (post(b"zz\r\n", b"Transfer-Encoding: chunked"), 400),
        (post(b"", b"Transfer-Encoding: x"), 501),
        (get("/" + "x" * 5000), 414),
        (get("/", "X: " + "x" * 9000), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        (get("/break"), 500),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_the_server_itself_answers_carries_the_security_headers(connect, sends, status):
    answer = connect(sends).answer()
    assert answer[0] == status
    assert answer[1].items() >= HEADERS.items()
    assert answer[1]["Cache-Control"] == "no-store"
    assert b"Traceback" not in answer[2]


def test_who_reads_nothing_of_an_endless_answer_is_left(connect):
    client = connect(get("/stream"), deaf=True)
    others = [connect(get("/stream"), deaf=True) for _ in range(3)]
    assert connect(get("/here")).answer()[2] == b"/here"  # both threads are free again
    assert not client.rest().endswith(b"0\r\n\r\n")
    assert [other.rest().endswith(b"0\r\n\r\n") for other in others] == [False] * 3


def test_an_answer_that_is_read_slowly_is_not_cut(connect):
    client = connect(get("/stream"), deaf=True)
    got = bytearray()
    while part := client.sock.recv(100_000):
        got += part
    assert got.endswith(b"0\r\n\r\n")
    assert got.count(b"0000199\n") == 8192


def test_health_is_answered_while_every_thread_is_busy(connect, tmp_path):
    flag = tmp_path / "go-on"
    waiting = [connect(get(f"/wait?{flag}")) for _ in range(6)]
    for _ in range(3):
        assert connect(get("/healthz")).answer()[2] == b"/healthz"
    assert all(client.is_open() for client in waiting)
    flag.touch()
    assert [client.answer()[0] for client in waiting] == [200] * 6


def test_the_oldest_client_that_keeps_the_server_waiting_makes_room_for_a_new_one(connect):
    silent = [connect(b"GET / HT") for _ in range(60)]
    assert connect(get("/here")).answer()[2] == b"/here"
    wait_until(lambda: not any(client.is_open() for client in silent[:20]))


def test_the_server_ends_though_clients_are_silent(serve, client):
    server = serve("--config", "python:tests.server.quick", app="tests.server.quick:app")
    client(server.port())
    client(server.port(), b"GET /")
    assert server.end() == 0


def test_connections_leave_descriptors_for_the_work(serve, client):
    quick = ("--config", "python:tests.server.quick", "--worker-connections", "1000")
    port = serve(*quick, app="tests.server.quick:app", descriptors=120).port()
    silent = [client(port, b"GET / HT") for _ in range(200)]
    assert client(port, get("/files")).answer()[0] == 200
    assert any(one.is_open() for one in silent)
