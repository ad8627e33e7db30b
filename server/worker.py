"""gunicorn's worker with threads, for clients that are slow, silent or hostile.

gunicorn reads a request in a thread that waits for the client, and writes the answer so: as many clients as there are
threads stop the panel. Here one loop receives each request and sends what is left of each answer, all of them within
their time; a thread gets a request when all of it is there, and leaves when its answer is made.
"""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from gunicorn.workers.gthread import TConn, ThreadWorker

from server.channel import Channel
from server.headers import HEADERS

_LOOK_S = 0.25  # how often the loop looks whose time is over
_SEND_BUFFER = 256 * 1024  # in the kernel, so that a reader who takes anything is seen to do so
_MOST_HELD = 64 * 1024 * 1024  # bytes of requests and answers that wait for their clients

Step = Callable[[Any], None]


class _Wait(NamedTuple):
    """What a connection waits for. until: an instant of the monotonic clock. late: what happens then."""

    until: float
    late: Step


class Worker(ThreadWorker):
    """Serves the panel. What it allows a client, in seconds:"""

    HEAD_S = 10.0  # for the head of a request, from the connection on
    BODY_S = 30.0  # for the body
    STALL_S = 30.0  # without reading anything of an answer that is made while it is sent
    ANSWER_S = 60.0  # for the rest of an answer that is made
    CLOSE_S = 2.0  # to close its side when the answer was the last

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # A quarter of the descriptors is for the database and the rest of the work.
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.worker_connections: int = min(self.cfg.worker_connections, descriptors * 3 // 4)
        self.max_keepalived = self.worker_connections - self.cfg.threads
        self._waits: dict[Any, _Wait] = {}  # in the order in which they began
        self._look_at = 0.0
        # /healthz has a thread of its own: that all others are busy is no reason to restart the panel.
        self._health = ThreadPoolExecutor(max_workers=1)

    # --- receiving: the one way to a thread

    def accept(self, listener: Any) -> None:
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.murder_keepalived(force=True)
            self._drop_oldest()

    def enqueue_req(self, conn: TConn) -> None:
        """Receive a request on a connection that is new, or whose client begins the next one."""
        if not isinstance(conn.sock, Channel):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            conn.sock = Channel(conn.sock, self.STALL_S)
            if self.nr_conns >= self.worker_connections:
                self._drop_oldest()
        self._wait(conn, selectors.EVENT_READ, self._receive, self.HEAD_S, self._too_slow)
        self._receive(conn)

    def _receive(self, conn: TConn) -> None:
        arrival = conn.sock.arrival
        had_head = arrival.head is not None
        arrival.look()  # what came with the request before
        is_open = arrival.length is not None or conn.sock.receive()
        if arrival.length is not None:
            self._stop_waiting(conn)
            self._start(conn)
        elif not is_open:
            self._drop(conn)
        elif arrival.head is not None and not had_head:
            self._waits[conn] = _Wait(time.monotonic() + self.BODY_S, self._too_slow)
            self._make_room(conn)
            if arrival.expects_word:
                self._say(conn, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _start(self, conn: TConn) -> None:
        arrival = conn.sock.arrival
        if arrival.is_too_long:
            self._refuse(conn, "431 Request Header Fields Too Large", "The head of the request is too long.")
            return
        pool = self._health if arrival.asks_health else self.tpool
        conn.is_last = not arrival.is_whole
        conn.sock.begin()
        conn.data_ready = True
        future = pool.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def handle_request(self, req: Any, conn: TConn) -> Any:
        req._expected_100_continue = False  # it has had that word
        return super().handle_request(req, conn)

    def _too_slow(self, conn: TConn) -> None:
        self._stop_waiting(conn)
        if conn.sock.arrival.data:
            self._refuse(conn, "408 Request Timeout", "The request did not arrive in time.")
        else:
            self._close(conn)

    # --- after the answer was made

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Send what is left of the answer, then receive the next request or close."""
        goes_on = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        goes_on = goes_on and conn.sock.is_clean and not conn.is_last and not conn.parser.unreader.buf.getvalue()
        self._send_rest(conn, self._go_on if goes_on else self._leave)

    def _send_rest(self, conn: TConn, then: Step) -> None:
        if conn.sock.unsent:
            self._wait(conn, selectors.EVENT_WRITE, partial(self._send_more, then=then), self.ANSWER_S, self._drop)
            self._make_room(conn)
        else:
            then(conn)

    def _send_more(self, conn: TConn, then: Step) -> None:
        try:
            conn.sock.flush()
        except OSError:
            self._drop(conn)
            return
        if not conn.sock.unsent:
            self._stop_waiting(conn)
            then(conn)

    def _go_on(self, conn: TConn) -> None:
        if conn.sock.arrival.data:
            self.enqueue_req(conn)  # the next request came with the last
            return
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))

    def _leave(self, conn: TConn) -> None:
        """Close, once the client has: what it still sends would otherwise take the last answer from it."""
        try:
            conn.sock.flush()
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, selectors.EVENT_READ, self._drain, self.CLOSE_S, self._drop)

    def _drain(self, conn: TConn) -> None:
        conn.sock.arrival.data.clear()
        if not conn.sock.receive():
            self._drop(conn)

    # --- waiting

    def _wait(self, conn: TConn, event: int, ready: Step, at_most_s: float, late: Step) -> None:
        def is_ready(_: Any) -> None:
            if conn in self._waits:  # it may have been dropped since the poll
                ready(conn)

        self._waits[conn] = _Wait(time.monotonic() + at_most_s, late)
        self.poller.register(conn.sock, event, is_ready)

    def _stop_waiting(self, conn: TConn) -> None:
        del self._waits[conn]
        self.poller.unregister(conn.sock)

    def _drop(self, conn: TConn) -> None:
        self._stop_waiting(conn)
        self._close(conn)

    def _close(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()

    def _make_room(self, last: TConn) -> None:
        """Keep what waits for clients within bounds; `last` needs some more."""
        while sum(conn.sock.holds for conn in self._waits) > _MOST_HELD and next(iter(self._waits)) is not last:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """The client that has let the server wait the longest goes."""
        if self._waits:
            self._drop(next(iter(self._waits)))

    def murder_pending(self) -> None:
        """End the connections whose time is over. gunicorn's loop calls this after each round."""
        super().murder_pending()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        for conn, wait in list(self._waits.items()):
            if wait.until <= now or not (self.alive or conn.sock.holds):  # a server that ends waits for no word
                wait.late(conn)

    # --- what the server itself answers

    def _refuse(self, conn: TConn, status: str, sentence: str) -> None:
        self._say(conn, _answer(status, sentence))
        self._leave(conn)

    def _say(self, conn: TConn, data: bytes) -> None:
        with suppress(OSError):  # the next step finds the client gone
            conn.sock.sendall(data)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """gunicorn's answer to what it cannot read or what broke, with the headers that every answer carries."""
        super().handle_error(req, _WithHeaders(client), addr, exc)


class _WithHeaders:
    """A socket that puts the security headers into an answer, which is written at once."""

    def __init__(self, sock: Channel):
        self.sock = sock

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        status, end, rest = data.partition(b"\r\n")
        self.sock.sendall(status + end + _LINES + rest)


_LINES = "".join(f"{name}: {value}\r\n" for name, value in [*HEADERS.items(), ("Cache-Control", "no-store")]).encode()


def _answer(status: str, sentence: str) -> bytes:
    page = f"{sentence}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(page)}\r\nConnection: close\r\n"
    return head.encode() + _LINES + b"\r\n" + page
