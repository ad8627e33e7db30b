"""A command that a job runs is refused where it would wait for that job."""

from __future__ import annotations

import pytest

import models
from engine import jobs
from models import Worker
from workers import tree


@pytest.fixture
def inside(queuectl):
    """The environment of a job that the only worker runs, while another job waits."""
    models.connect(str(queuectl.database))
    Worker.insert(host="elsewhere", created_at=1, started_at=1, status="running").execute()
    jobs.enqueue({"command": "true", "id": "own"})
    held = jobs.claim("w1", "elsewhere")
    jobs.enqueue({"command": "true", "id": "next"})
    queuectl.env["QUEUECTL_RUN"] = tree.mark(models.instance(), held.pk, held.run)
    yield queuectl
    del queuectl.env["QUEUECTL_RUN"]  # who ends the worker ends all that bears the mark of its run
    Worker.update(stopped_at=2).execute()
    models.disconnect()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("wait", "own"), "This command is part of job own, so it would wait for itself."),
        (
            ("wait", "next"),
            "Job next would never begin: only worker w1 takes jobs, and it runs this command, which is part of job own. "
            "Start another worker, or do not wait.",
        ),
        (
            ("logs", "own", "--follow"),
            "This command is part of job own, so it would follow its own output without end.",
        ),
        *(
            (
                ("worker", "stop", *who),
                "This command is part of job own, which worker w1 runs, so it would wait for itself; use --no-wait, or "
                "--now to end the job too.",
            )
            for who in ((), ("w1",))
        ),
    ],
)
def test_what_would_wait_for_its_own_job_is_refused_at_once(inside, words, sentence):
    done = inside.run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{sentence}\n")
    assert Worker.get_by_id(1).desired == "run"


def test_a_job_that_another_worker_can_take_may_be_waited_for(inside):
    Worker.insert(host="elsewhere", created_at=1).execute()
    assert inside.run("wait", "next", "--timeout", "0").returncode == 124


def test_a_job_of_another_database_is_no_part_of_this_one(inside):
    inside.env["QUEUECTL_RUN"] = tree.mark("another", 1, 1)
    assert inside.run("wait", "own", "--timeout", "0").returncode == 124
