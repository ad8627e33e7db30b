"""Whether a child is left is asked after each command, and the answer decides what is ended: it must be the kernel's."""

from __future__ import annotations

import subprocess
import sys

import pytest

import models

_PRELUDE = """
import os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from workers import tree

def gone(pid):
    # Wait until it ended; its parent has still to reap it.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

def child(*words):
    words = words or ("sleep", "300")
    return os.posix_spawnp(words[0], words, os.environ)

tree.adopt_orphans("test")
other = ThreadPoolExecutor(1)
other.submit(int).result()  # as in a worker: two threads, and no more
print(tree.is_childless(), flush=True)
"""

CASES = {
    "one that lives": ("child(); print(tree.is_childless())", "False"),
    "one of the other thread": ("other.submit(child).result(); print(tree.is_childless())", "False"),
    "one that ended is reaped": ("gone(child('true')); print(tree.is_childless(), tree.is_childless())", "False True"),
    "an orphan": (
        """
found = subprocess.run("sleep 300 >/dev/null & echo $!", shell=True, stdout=subprocess.PIPE, check=True).stdout
print(tree.is_childless())
os.kill(int(found), 9)
gone(int(found))
print(tree.is_childless(), tree.is_childless())""",
        "False False True",
    ),
    "a process that was forked has lists of its own": (
        """
kept = child()
forked = os.fork()
if forked == 0:
    print(tree.is_childless(), flush=True)
    gone(child("true"))
    print(tree.is_childless(), tree.is_childless(), flush=True)
    os._exit(0)
os.waitpid(forked, 0)
print(tree.is_childless())""",
        "True False True False",
    ),
    "the list of processes is another namespace's": (
        """
kept = child()
tree._own_lists.cache_clear()
for name in ("self", str(os.getpid()), str(kept)):
    os.symlink(f"/proc/{os.getpid()}", f"{sys.argv[1]}/{name}")
tree._PROC = sys.argv[1]
print(tree.is_childless(), tree.end_children(), tree.end_marked([""]), tree.sees_itself())
os.kill(kept, 0)""",
        "False [] [] False",
    ),
    "the system lists no children": (
        """
tree._own_lists.cache_clear()
tree._PROC = "/nowhere"
print(tree.is_childless())
gone(child("true"))
print(tree.is_childless(), tree.is_childless())""",
        "True False True",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_child_that_is_left_is_seen(case, tmp_path):
    lines, says = CASES[case]
    program = f"{_PRELUDE}{lines}\ntree._PROC = '/proc'\ntree.end_children()\nsys.stdout.flush()\nos._exit(0)\n"
    words = [sys.executable, "-c", program, tmp_path]
    done = subprocess.run(words, cwd=models.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", *says.split()]
