"""Huey's side: the queue, its task, and, as a program, one job for each line of standard input."""

from __future__ import annotations

import sys

import shell
from huey import SqliteHuey

huey = SqliteHuey(filename=f"{shell.FOLDER}/huey.db")


@huey.task()
def run(command: str) -> str:
    return shell.run(command)


if __name__ == "__main__":
    import on_huey  # the worker knows the task by the name of its module

    for line in sys.stdin:
        on_huey.run(line.rstrip("\n"))
