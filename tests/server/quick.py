"""The panel's configuration of gunicorn with short limits, and an application that shows what reaches one."""

from __future__ import annotations

import os
import runpy
import time
from collections.abc import Iterable
from typing import Any

from server.worker import Worker

globals().update(runpy.run_path("gunicorn.conf.py"))


class QuickWorker(Worker):
    HEAD_S = 0.5
    BODY_S = 1.0
    STALL_S = 1.0
    ANSWER_S = 1.0


worker_class = QuickWorker
bind = "127.0.0.1:0"
workers = 1
threads = 2
worker_connections = 30
accesslog = None


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers with the body it got; /stream: many megabytes; /break: an error; /wait: when a file is there; /files: with some files."""
    path = environ["PATH_INFO"]
    if path == "/break":
        raise RuntimeError("broken on purpose")
    if path == "/wait":
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
    if path == "/files":
        files = [open(os.devnull) for _ in range(8)]  # noqa: SIM115
        for file in files:
            file.close()
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"%07d\n" % number * 8192 for number in range(200))
    body = environ["wsgi.input"].read() if path == "/echo" else path.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
