"""A command that ends soon and quietly is spared what others need: it ends the same way, and nothing stays open."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import models

QUIET = (
    "true",
    "exit 3",
    "kill -TERM $$",
    "kill -9 $$",
    "sleep 0.1",
    "cd /nowhere 2>/dev/null",
    "exec >&- 2>&-; exit 1",
)
OTHERS = (
    "echo out",
    "echo err >&2; exit 3",
    "printf '%8000s' x",
    "(sleep 300 &) ; true",
    "(sleep 300 >/dev/null 2>&1 &) ; exit 2",
    "(sleep 0.05; echo late) & true",
    "(setsid sh -c 'sleep 0.05; echo later >&2' &) ; exit 4",
)

_RUN = """
import json, os, sys
from workers import command, tree

tree.adopt_orphans("test")
command._LINGER_MS = 10_000  # however slow the machine is
soon = command._ended_soon
ended = []
ways = {
    "as it comes": lambda *given: ended.append(found := soon(*given)) or found,
    "the long way": lambda *given: (0, None, False),
}

def outcome(way):
    command._ended_soon = way
    order = command.Order(sys.argv[1], os.environ, timeout_s=20.0)
    word, ending = command.run(order, [], lambda: None, lambda *_: None)
    stdout, stderr = ending.stdout, ending.stderr
    said = [word, ending.return_code, ending.error, stdout.data.decode(), stdout.total, stderr.data.decode(), stderr.total]
    return said, ending.user_ms is not None and ending.max_rss_kb > 0 and ending.duration_ms < 20_000

found = [outcome(way) for way in ways.values()]
before = os.listdir("/proc/self/fd")
again = [outcome(way) for way in ways.values()]
print(json.dumps([found, again, [is_over for _, _, is_over in ended], os.listdir("/proc/self/fd") == before, tree.has_no_child()]))
"""


@pytest.mark.parametrize("line", QUIET + OTHERS)
def test_both_ways_to_an_end_say_the_same(line):
    words = [sys.executable, "-c", _RUN, line]
    done = subprocess.run(words, cwd=models.ROOT, capture_output=True, text=True, check=True)
    found, again, ended, is_closed, is_alone = json.loads(done.stdout)
    assert found[0] == found[1] == again[0] == again[1]
    assert found[0][1]
    assert ended == [line in QUIET] * 2
    assert is_closed
    assert is_alone
