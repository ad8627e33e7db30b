"""How the panel is served: `gunicorn "app:create_app()"` reads this file from the folder it starts in."""

from __future__ import annotations

import startup  # first, for an old Python can load nothing else

# isort: split
import os
from typing import Any, NoReturn

from gunicorn.glogging import Logger

from server import addresses

PORT = startup.port()

bind = f"127.0.0.1:{PORT}"  # loopback only, however it is set; a proxy with TLS stands in front of anything else
umask = 0o177  # a Unix socket is its owner's alone
worker_class = "server.worker.Worker"  # gthread with time limits for slow clients
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
    """Leave at once, with a sentence, when others could reach the panel, the port is taken or the panel cannot be made."""
    if server.cfg.is_ssl:
        _leave(
            "The panel speaks plain HTTP on this machine; give --certfile and --keyfile to the proxy in front of it."
        )
    _leave_if(addresses.trouble(server.cfg.address))
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


def _leave_if(trouble: str | None) -> None:
    if trouble is not None:
        _leave(trouble)


def _leave(sentence: str) -> NoReturn:
    print(sentence, flush=True)
    raise SystemExit(1)


def post_fork(server: Any, worker: Any) -> None:
    """The process that serves makes files for its user alone; the jobs of a supervisor that it starts get the umask of now.

    One that takes the place of another makes no empty database where that of the panel was moved away.
    """
    import app
    from workers import environment

    environment.keep_private()
    app.makes_database = False


def when_ready(server: Any) -> None:
    _leave_if(addresses.exposed(server.LISTENERS))
    prefix = os.environ.get("QUEUECTL_PREFIX", "").strip().rstrip("/")
    for listener in server.LISTENERS:
        print(f"QueueCTL panel: {addresses.in_words(listener, prefix)}", flush=True)


def on_reload(server: Any) -> None:
    _leave_if(addresses.exposed(server.LISTENERS))
