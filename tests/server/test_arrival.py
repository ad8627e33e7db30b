"""When a request is complete."""

from __future__ import annotations

import pytest

from server.arrival import MOST_BODY, MOST_HEAD, Arrival

GET = b"GET /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\ncontent-LENGTH:  5 \r\n\r\nhello"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA ;x=y\r\n0123456789\r\n0\r\n\r\n"
TRAILED = CHUNKED[:-2] + b"Trailer: x\r\nOther: y\r\n\r\n"


@pytest.mark.parametrize("request_", [GET, POST, CHUNKED, TRAILED, b"\r\n" + GET], ids=str)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_it_is_complete_with_its_last_byte_however_it_arrives(request_, step):
    arrival = Arrival()
    for at in range(0, len(request_) - 1, step):
        arrival.add(request_[at : min(at + step, len(request_) - 1)])
        assert arrival.length is None
    arrival.add(request_[-1:] + GET)
    assert arrival.is_whole
    assert arrival.take() == request_
    arrival.look()
    assert arrival.take() == GET
    assert not arrival.data


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\nHost: x",
        b"GET / HTTP/1.1\r\nX: " + b"x" * MOST_HEAD,
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MOST_BODY + 1),
        CHUNKED.replace(b"5\r\n", b"x\r\n"),
        CHUNKED.replace(b"5\r\n", b"-5\r\n"),
        CHUNKED[:48] + b"5" * 9000,
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_cannot_be_or_is_too_long_is_cut(request_):
    arrival = Arrival()
    arrival.add(request_)
    assert arrival.length is not None
    assert not arrival.is_whole


def test_endless_chunks_are_cut():
    arrival = Arrival()
    arrival.add(CHUNKED[: CHUNKED.index(b"5\r\n")])
    while arrival.length is None:
        arrival.add(b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert len(arrival.data) < MOST_BODY + 10_000
    assert not arrival.is_whole


def test_what_it_may_need_is_known_with_its_head():
    arrival = Arrival()
    arrival.add(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx")
    assert arrival.needs == arrival.head + 1000


@pytest.mark.parametrize(
    ("line", "asks"),
    [("GET /healthz HTTP", True), ("HEAD /queue/healthz?x HTTP", True), ("GET /jobs?/healthz HTTP", False)],
)
def test_the_question_for_health_is_known(line, asks):
    arrival = Arrival()
    arrival.add(f"{line}/1.1\r\n\r\n".encode())
    assert arrival.asks_health is asks
