"""The first moments of a supervisor: a signal that comes too early is not lost, and leaves nothing half begun."""

from __future__ import annotations

import signal
import subprocess
import sys

import models
from models import Worker
from tests.support import wait_until
from workers import locks

# The supervisor's program; the signal comes when the wish is written and nobody acts on it yet.
EARLY = """
import os, signal, sys
from workers import __main__ as program
wish_for = program._wish_for
program._wish_for = lambda count: (wish_for(count), os.kill(os.getpid(), signal.SIGTERM))
sys.exit(program.main(sys.argv[1:]))
"""


def _begin(queue) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", EARLY, "--count", "2", "--db", str(queue.path)]
    return subprocess.Popen(words, cwd=models.ROOT, stderr=subprocess.PIPE, text=True)


def _leaves_nothing(supervisor: subprocess.Popen[str]) -> None:
    _, says = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 0, says
    assert [worker.status for worker in Worker.select()] == ["stopped", "stopped"]


def test_a_supervisor_told_to_leave_while_it_begins_wishes_for_nobody(queue):
    _leaves_nothing(_begin(queue))


def test_a_supervisor_told_to_leave_while_it_takes_over_wishes_for_nobody(queue):
    lock = locks.take(locks.of_supervisor(models.run_folder()))
    waiting = _begin(queue)
    assert waiting.stderr is not None
    assert "waiting to take over" in waiting.stderr.readline()
    with open(lock):  # and close it
        pass
    _leaves_nothing(waiting)


def test_a_supervisor_that_waits_leaves_at_once_when_told_so(queue):
    lock = locks.take(locks.of_supervisor(models.run_folder()))
    waiting = _begin(queue)
    assert waiting.stderr is not None
    wait_until(lambda: "waiting to take over" in waiting.stderr.readline())
    waiting.send_signal(signal.SIGTERM)
    waiting.communicate(timeout=20)
    with open(lock):
        pass
    assert waiting.returncode == 0
    assert Worker.select().count() == 0
