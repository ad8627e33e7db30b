"""The panel's configuration of gunicorn, but with clients that may take their time: what is answered did not wait for them."""

from __future__ import annotations

import runpy

from server.worker import Worker

globals().update(runpy.run_path("gunicorn.conf.py"))


class PatientWorker(Worker):
    HEAD_S = BODY_S = STALL_S = ANSWER_S = 3600.0


worker_class = PatientWorker
bind = "127.0.0.1:0"
