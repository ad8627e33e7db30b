"""Opening a database that somebody else holds for a moment."""

from __future__ import annotations

import subprocess
import sys
import threading

import models

HOLDER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("PRAGMA locking_mode = EXCLUSIVE")
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
held.execute("ROLLBACK")
held.close()
"""


def test_opening_waits_for_a_lock_and_then_succeeds(tmp_path):
    path = str(tmp_path / "queue.db")
    models.connect(path)
    models.disconnect()
    pipe = subprocess.PIPE
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=pipe, stdout=pipe, text=True)
    assert holder.stdout.readline() == "held\n"
    counts = []

    def open_and_count() -> None:
        models.connect(path)
        counts.append(models.Job.select().count())
        models.disconnect()

    opener = threading.Thread(target=open_and_count)
    opener.start()
    opener.join(0.3)
    assert opener.is_alive()
    holder.communicate("")
    opener.join(30)
    assert counts == [0]
