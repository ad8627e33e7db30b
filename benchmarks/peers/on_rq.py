"""RQ's side, a program: one job for each line of standard input."""

from __future__ import annotations

import sys

import shell
from redis import Redis
from rq import Queue

if __name__ == "__main__":
    queue = Queue(connection=Redis(unix_socket_path=f"{shell.FOLDER}/redis.sock"))
    for line in sys.stdin:
        queue.enqueue(shell.run, line.rstrip("\n"))
