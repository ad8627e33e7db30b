"""How the panel is served: `gunicorn "app:create_app()"` reads this file from the folder it starts in."""

from __future__ import annotations

import os
import socket
from typing import Any, NoReturn

from gunicorn.glogging import Logger

PORT = int(os.environ.get("PORT", "8000"))

bind = f"127.0.0.1:{PORT}"  # loopback only; a proxy with TLS stands in front of anything else
worker_class = "gthread"
workers = 2
threads = 8
keepalive = 5
timeout = 30
graceful_timeout = 10
control_socket_disable = True
forwarded_allow_ips = ""  # whose headers are believed is the panel's to say (views/proxies.py)
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a busy disk must not look like a dead worker

accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms'


class AccessLogger(Logger):
    """Logs a request by its path, without the query, and leaves out the polls that found nothing new."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        if not str(resp.status).startswith("204"):
            super().access(resp, req, environ, request_time)

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        atoms = super().atoms(resp, req, environ, request_time)
        # As it was sent, still percent-encoded: a decoded path could forge a line of the log.
        atoms["U"] = environ["RAW_URI"].partition("?")[0]
        return atoms


logger_class = AccessLogger


def on_starting(server: Any) -> None:
    """Leave at once, with a sentence, when the port is taken or the panel cannot be made."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            _leave(f"The panel cannot use port {PORT}: {error.strerror}. Choose another: make run PORT={PORT + 1}")
    probe_pid = os.fork()  # so that this process, whose memory the workers inherit, loads none of the code
    if probe_pid == 0:
        os._exit(_try_panel())
    if os.waitpid(probe_pid, 0)[1]:
        raise SystemExit(1)


def _try_panel() -> int:
    from app import create_app
    from engine.errors import QueueError

    try:
        create_app()
    except (QueueError, OSError) as error:
        print(f"The panel cannot start. {error}", flush=True)
        return 1
    return 0


def _leave(sentence: str) -> NoReturn:
    print(sentence, flush=True)
    raise SystemExit(1)


def when_ready(server: Any) -> None:
    prefix = os.environ.get("QUEUECTL_PREFIX", "").strip().rstrip("/")
    print(f"QueueCTL panel: http://127.0.0.1:{PORT}{prefix}", flush=True)
