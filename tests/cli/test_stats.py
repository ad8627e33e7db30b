"""Figures and queues in the shell: the same that the panel shows."""

from __future__ import annotations

import models
from engine import buckets
from models import Stat


def _ended(queuectl, *rows: tuple[str, str, int]) -> None:
    """Runs of this minute: queue, outcome and how many."""
    models.connect(str(queuectl.database))
    at = models.now_ms() // 60_000 * 60_000
    for queue, outcome, n in rows:
        row = {"span": 1, "at": at, "queue": queue, "outcome": outcome, "n": n, "total_ms": 100 * n}
        Stat.insert(row | {"bucket": buckets.of(100)}).execute()
    models.disconnect()


def test_stats_tell_what_ended_and_what_is_wrong(queuectl):
    queuectl.ok("enqueue", "true")
    _ended(queuectl, ("default", "success", 3), ("mail", "failed", 1))
    found = queuectl.json("stats")
    assert (found["window"], found["completed"], found["failed"]) == ("1h", 3, 1)
    assert len(found["bars"]) == 60
    assert "No workers are running: 1 job waits." in found["alarms"]
    assert found["backlog_empty_in_sec"] is None
    assert len(queuectl.json("stats", "--window", "24h")["bars"]) == 24
    table = queuectl.ok("stats", "--no-json")
    assert "all of 1h" in table
    assert "No workers are running" in table


def test_stats_refuse_another_window(queuectl):
    assert queuectl.run("stats", "--window", "year").returncode == 2


def test_queues_tell_what_is_due_later_dead_and_ended(queuectl):
    queuectl.ok("enqueue", "--queue", "mail", "true")
    queuectl.ok("enqueue", "--queue", "mail", "--run-at", "+1h", "true")
    _ended(queuectl, ("mail", "success", 7))
    (mail,) = queuectl.json("queues")
    assert (mail["due"], mail["delayed"], mail["exact"], mail["dead"], mail["last_hour"]) == (1, 1, True, 0, 7)
    queuectl.ok("queue", "pause", "mail")
    assert "mail" in queuectl.ok("queues", "--no-json")
