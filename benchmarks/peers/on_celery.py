"""Celery's side: the application, its task, and, as a program, one job for each line of standard input."""

from __future__ import annotations

import sys

import shell
from celery import Celery

URL = f"redis+socket://{shell.FOLDER}/redis.sock"
app = Celery("on_celery", broker=URL, backend=URL)


@app.task(name="run")
def run(command: str) -> str:
    return shell.run(command)


if __name__ == "__main__":
    for line in sys.stdin:
        run.delay(line.rstrip("\n"))
