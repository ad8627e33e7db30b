"""Export and import: nothing is lost on the way, and nothing broken comes in."""

from __future__ import annotations

import json
import os
import threading
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from engine import config, counters, jobs, queues, saved_views, transfer
from engine.config import KEYS
from engine.errors import InvalidInput, Refused
from engine.jobs import Ending
from engine.output import Output
from models import OUTCOMES, STATES, Attempt, Config, Job, Queue, View
from tests.engine.conftest import DONE, FAILED, counted, really


def _exported(state: str | None = None) -> bytes:
    return b"".join(transfer.export(state))


def _records(exported: bytes, type: str) -> list[dict[str, Any]]:
    return [record for line in exported.splitlines() if (record := json.loads(line))["type"] == type]


def _clear() -> None:
    Job.delete().execute()
    Config.delete().execute()


def _load(exported: bytes, **options: Any) -> transfer.Tally:
    return transfer.load(BytesIO(exported), **options)


def _edited(exported: bytes, type: str, **changes: Any) -> bytes:
    """The export with other values in the first record of this type; None stays a value."""
    lines = [json.loads(line) for line in exported.splitlines()]
    next(line for line in lines if line["type"] == type).update(changes)
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
def full(queue, clock) -> bytes:
    """The export of a queue with a job in every state but processing, and two settings."""
    for state in sorted(set(STATES) - {"processing"}):
        queue.bring_to(state, state)
        clock.forward(1)
    queue.add("odd", tags=["a", "ü"], env={"A": "1"}, cwd="/tmp", timeout_sec=0.5, priority=-3, queue="other")
    config.set("backoff_base", 1.5)
    config.set("durability", "full")
    return _exported()


def test_what_comes_out_goes_in_and_comes_out_the_same(full):
    _clear()
    assert _load(full) == transfer.Tally(jobs=6, runs=3, settings=2, skipped=0)
    assert _exported() == full
    assert counted() == really()


def test_every_column_is_exported(full):
    ours = {"pk", "operation", "retried_from", "deleted_id", "deleted_from", "deleted_at", "cause"}
    assert set(_records(full, "job")[0]) - {"type"} == set(Job._meta.columns) - ours
    assert set(_records(full, "attempt")[0]) - {"type", "job"} == set(Attempt._meta.columns) - {"job_pk"}


def test_what_was_decided_for_queues_and_saved_as_views_goes_along(queue, full):
    queues.limit("mail", 2, actor="panel")
    queues.pause("mail", actor="panel")
    saved_views.keep("the dead", {"state": "dead"}, actor="cli:ann")
    exported = _exported()
    _clear()
    Queue.delete().execute()
    View.delete().execute()
    assert _load(exported) == transfer.Tally(jobs=6, runs=3, settings=4, skipped=0)
    assert _exported() == exported
    _clear()
    queues.resume("mail", actor="panel")
    with pytest.raises(Refused, match="There is another queue mail here"):
        _load(exported)
    assert _load(exported, skip_existing=True) == transfer.Tally(jobs=6, runs=3, settings=3, skipped=1)
    assert not queues.standing("mail").paused


def test_the_export_of_one_state_holds_no_queue_or_view(full):
    queues.pause("mail", actor="panel")
    lines = [json.loads(line) for line in transfer.export("dead")]
    assert {line["type"] for line in lines} == {"queuectl", "job", "attempt", "end"}


def test_an_export_of_the_first_format_is_read(full):
    new = ("origin", "queue", "view")
    old = b"".join(
        json.dumps(
            {name: value for name, value in record.items() if name not in (new if record["type"] == "end" else new[:1])}
        ).encode()
        + b"\n"
        for record in map(json.loads, full.replace(b'"format": 2', b'"format": 1').splitlines())
    )
    _clear()
    assert _load(old) == transfer.Tally(jobs=6, runs=3, settings=2, skipped=0)
    assert _exported() == full


# --- the property

ms = st.integers(0, 253_402_300_799_999)
count = st.integers(0, 2**53 - 1)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
plain = st.text("abcXYZ019._-", min_size=1, max_size=12).map(lambda text: "j" + text)


def maybe(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | values


job_rows = st.fixed_dictionaries(
    {
        "id": plain,
        "queue": plain,
        "state": st.sampled_from(sorted(set(STATES) - {"processing"})),
        "priority": st.integers(-100, 100),
        "next_run_at": ms,
        "attempts": count,
        "crashes": count,
        "max_retries": st.integers(0, 1000),
        "timeout_ms": maybe(st.integers(0, 365 * 24 * 3_600_000)),
        "cancel_requested": st.booleans(),
        "locked_by": maybe(words),
        "locked_at": maybe(ms),
        "created_at": ms,
        "updated_at": ms,
        "finished_at": ms,
        "return_code": maybe(st.integers(-64, 255)),
        "duration_ms": maybe(count),
        "last_error": maybe(words),
        "origin": maybe(plain),
        "tags": maybe(st.lists(plain, max_size=3, unique=True).map(json.dumps)),
        "cwd": maybe(plain.map(lambda name: f"/{name}")),
        "env": maybe(st.dictionaries(st.text("ABC_", min_size=1), plain, max_size=2).map(json.dumps)),
        "command": words.map(lambda text: "x" + text.replace("\0", "")),
    }
)
streams = st.binary(max_size=40) | words.map(str.encode)
run_rows = st.fixed_dictionaries(
    {
        "worker": words,
        "host": words,
        "started_at": ms,
        "finished_at": maybe(ms),
        "duration_ms": maybe(count),
        "outcome": st.sampled_from(OUTCOMES),
        "return_code": maybe(st.integers(-64, 255)),
        "error": maybe(words),
        "user_ms": maybe(st.integers(0, 2**31)),
        "system_ms": maybe(st.integers(0, 2**31)),
        "max_rss_kb": maybe(count),
        "stdout_bytes": st.integers(1000, 2**53 - 1),
        "stdout_cut": maybe(st.integers(0, 10)),
        "stderr_bytes": st.integers(1000, 2**53 - 1),
        "stderr_cut": maybe(st.integers(0, 10)),
        "stdout": maybe(streams),
        "stderr": maybe(streams),
    }
)
numbers = [key for key in KEYS.values() if key.kind is int]
setting_rows = st.sampled_from(numbers).flatmap(
    lambda key: st.tuples(st.just(key.name), st.integers(int(key.low), int(min(key.high, 10**6))))
)


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(st.tuples(job_rows, st.dictionaries(st.integers(1, 5), run_rows, max_size=3)), max_size=4),
    st.lists(setting_rows, max_size=3),
)
def test_whatever_is_stored_survives_the_round_trip(queue, stored, set_keys):
    _clear()
    for number, (row, runs) in enumerate(stored):
        job = Job.create(**row | {"id": f"{row['id']}.{number}", "run": 5})
        counters.stored([(job.queue, job.state)])
        for run, columns in runs.items():
            Attempt.create(job=job, run=run, **columns)
    for name, value in set_keys:
        config.set(name, value)
    exported = _exported()
    _clear()
    _load(exported)
    assert _exported() == exported
    assert counted() == really()


# --- what a file says


@pytest.mark.parametrize("data", [b"plain\n\xc3\xbc", b"\x1b[31m", b"", b"\xff\xfe\0", b"\0" * 10, b"\xed\xa0\x80"])
def test_output_survives_byte_by_byte(queue, data):
    queue.add("job")
    jobs.complete(queue.claim(), Ending(return_code=0, stdout=Output(data, 10**9, 2)))
    exported = _exported()
    _clear()
    _load(exported)
    stored = queue.job("job").runs.get()
    assert (bytes(stored.stdout), stored.stdout_bytes, stored.stdout_cut) == (data, 10**9, 2)


def test_text_is_readable_in_the_file_and_other_bytes_are_base64(queue):
    queue.add("job")
    jobs.complete(queue.claim(), Ending(stdout=Output("grün\n".encode(), 6), stderr=Output(b"\xff", 1)))
    (run,) = _records(_exported(), "attempt")
    assert (run["stdout"], run["stderr"]) == ("grün\n", {"base64": "/w=="})


def test_with_a_state_only_its_jobs_are_exported_and_no_settings(full):
    exported = _exported("dead")
    assert [job["id"] for job in _records(exported, "job")] == ["dead"]
    assert len(_records(exported, "attempt")) == 1
    assert _records(exported, "config") == []


def test_an_export_is_of_one_instant(queue):
    """What others store meanwhile is not in it, and they need not wait."""
    for n in range(3):
        queue.add(f"job{n}")
    lines = transfer.export()
    first = [next(lines), next(lines)]

    def enqueue() -> None:
        jobs.enqueue({"command": "true", "id": "meanwhile"})
        models.disconnect()

    other = threading.Thread(target=enqueue)
    other.start()
    other.join()
    assert b"meanwhile" not in b"".join([*first, *lines])
    assert queue.state("meanwhile") == "pending"


def test_the_order_of_the_jobs_stays(queue):
    for name in ("c", "a", "b"):
        queue.add(name)
    exported = _exported()
    _clear()
    _load(exported)
    assert [queue.claim().id for _ in range(3)] == ["c", "a", "b"]


def test_a_running_job_comes_back_as_pending_and_its_history_says_why(queue):
    queue.bring_to("processing")
    exported = _exported()
    _clear()
    _load(exported)
    job = queue.job("job")
    assert (job.state, job.locked_by, job.attempts, job.crashes) == ("pending", None, 0, 0)
    assert [(run.outcome, run.error) for run in job.runs] == [("lost", "it was running when it was exported")]


def test_an_import_leaves_the_jobs_that_run_here_alone(queue):
    queue.bring_to("processing", "there")
    exported = _exported()
    _clear()
    held = queue.bring_to("processing", "here")
    _load(exported)
    assert queue.state("here") == "processing"
    jobs.complete(held, DONE)


def test_an_imported_job_runs_on(queue):
    queue.bring_to("failed")
    exported = _exported()
    _clear()
    _load(exported)
    queue.clock.forward(3600)
    jobs.fail(queue.claim(), FAILED)
    assert queue.outcomes("job") == ["failed", "failed"]
    assert queue.job("job").attempts == 2


def test_a_pipe_is_read_too(full):
    read, write = os.pipe()
    _clear()
    with os.fdopen(read, "rb") as pipe:
        with os.fdopen(write, "wb") as other_end:  # it is short enough for the pipe's buffer
            other_end.write(full)
        assert transfer.load(pipe).jobs == 6
    assert _exported() == full


# --- what is there already


def test_a_taken_id_refuses_the_whole_import(full, queue):
    _clear()
    queue.add("failed")
    with pytest.raises(Refused, match=r"^line \d+: There is a job failed already\. Nothing was imported"):
        _load(full)
    assert Job.select().count() == 1
    assert Config.select().count() == 0
    assert counted() == really()


def test_a_taken_id_can_be_skipped_and_is_told(full, queue):
    _clear()
    queue.add("failed", command="mine")
    told: list[str] = []
    tally = _load(full, skip_existing=True, tell=told.append)
    assert (tally.jobs, tally.runs, tally.skipped) == (5, 2, 1)
    assert told == ["There is a job failed already."]
    assert (queue.job("failed").command, queue.outcomes("failed")) == ("mine", [])


def test_importing_twice_adds_nothing(full):
    tally = _load(full, skip_existing=True)
    assert (tally.jobs, tally.runs, tally.skipped) == (0, 0, 6)
    assert _exported() == full


def test_a_setting_that_differs_here_refuses_the_whole_import_or_stays(full):
    _clear()
    config.set("backoff_base", 9)
    with pytest.raises(Refused, match="The setting backoff_base is 9 here"):
        _load(full)
    assert _load(full, skip_existing=True).settings == 1
    assert config.get("backoff_base") == 9


# --- what is broken


def _without(exported: bytes, word: bytes) -> bytes:
    return b"".join(line for line in exported.splitlines(True) if word not in line)


def _last_line_gone(exported: bytes) -> bytes:
    return exported[: exported.rstrip().rindex(b"\n") + 1]


BROKEN = [
    (lambda e: b"", "not an export"),
    (lambda e: b'{"command": "echo hi"}\n', "line 1: this is not an export"),
    (lambda e: b"not json", "line 1: this is not an export"),
    (lambda e: e.replace(b'"format": 2', b'"format": 3', 1), "has format 3"),
    (_last_line_gone, "line 13: the end of the export is missing"),
    (lambda e: e[:-5], "not a JSON object"),
    (lambda e: e + e, "line 13: the export goes on"),
    (lambda e: _without(e, b'"cancelled"'), "the counts at the end do not agree"),
    (lambda e: e.replace(b"\n", b"\n\n{]\n", 1), "line 3: not a JSON object"),
    (lambda e: e.replace(b'"type": "job"', b'"type": "jib"', 1), "no record of type 'jib'"),
    (lambda e: e.replace(b'"type": "job"', b'"type": {}', 1), "no record of type"),
    (lambda e: e.replace(b'"priority": 0, ', b"", 1), "'priority' is missing"),
    (lambda e: e.replace(b'"priority": 0, ', b'"priority": 0, "pk": 1, ', 1), "'pk' is not a column"),
    (lambda e: _edited(e, "job", id="a b"), "line 4: id: use 1 to 128"),
    (lambda e: _edited(e, "job", id=None), "id: must be text"),
    (lambda e: _edited(e, "job", state="done"), "state: must be one of"),
    (lambda e: _edited(e, "job", state=[]), "state: must be one of"),
    (lambda e: _edited(e, "job", state="completed", finished_at=None), "finished_at: must be an instant"),
    (lambda e: _edited(e, "job", state="processing", locked_by=None), "locked_by: must name a worker"),
    (lambda e: _edited(e, "job", priority=101), "priority: must be from"),
    (lambda e: _edited(e, "job", priority=True), "priority: must be a whole number"),
    (lambda e: _edited(e, "job", attempts=-1), "attempts: must be a whole number"),
    (lambda e: _edited(e, "job", attempts=1.5), "attempts: must be a whole number"),
    (lambda e: _edited(e, "job", next_run_at=10**18), "next_run_at: must be a whole number"),
    (lambda e: _edited(e, "job", cancel_requested=0), "cancel_requested: must be true or false"),
    (lambda e: _edited(e, "job", last_error="\ud800"), "last_error: contains half"),
    (lambda e: _edited(e, "job", command="x" * 100_001), "command: is 100,001 bytes"),
    (lambda e: _edited(e, "job", env={"QUEUECTL_X": "1"}), "env: QUEUECTL_X is set by"),
    (lambda e: _edited(e, "attempt", job="other"), "a run comes after the line of its job"),
    (lambda e: _edited(e, "attempt", run=2), "run: must be more than"),
    (lambda e: _edited(e, "attempt", run=0), "run: must be more than"),
    (lambda e: _edited(e, "attempt", outcome="fine"), "outcome: must be one of"),
    (lambda e: _edited(e, "attempt", stdout={"base64": "?"}), "stdout: is not base64"),
    (lambda e: _edited(e, "attempt", stdout={"hex": "00"}), "stdout: must be text"),
    (lambda e: _edited(e, "attempt", stdout="abc"), "stdout_bytes: is less"),
    (lambda e: _edited(e, "config", key="nonsense"), "line 2: There is no setting"),
    (lambda e: _edited(e, "config", value={}), "line 2: backoff_base must be"),
    (lambda e: b"[" * 100_000, "line 1: this is not an export"),
]


@pytest.mark.parametrize(("spoil", "sentence"), BROKEN, ids=[sentence for _, sentence in BROKEN])
def test_a_broken_export_is_refused_with_the_line_and_nothing_is_imported(full, spoil, sentence):
    _clear()
    with pytest.raises(InvalidInput, match=sentence) as caught:
        _load(spoil(full))
    assert str(caught.value).startswith("line ")
    assert "\n" not in str(caught.value)
    assert Job.select().count() == Config.select().count() == 0


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_an_export_with_any_byte_changed_is_refused_or_comes_in_whole(full, data):
    at = data.draw(st.integers(0, len(full) - 1))
    spoiled = bytearray(full)
    spoiled[at] = data.draw(st.integers(0, 255))
    _clear()
    try:
        assert _load(bytes(spoiled)).jobs == 6
    except (InvalidInput, Refused):
        assert Job.select().count() == 0


def test_many_jobs_need_no_more_memory_than_few(queue):
    """The lines come and go one by one."""
    import tracemalloc

    def peak(number: int) -> int:
        _clear()
        jobs.enqueue_many({"command": "true # " + "x" * 10_000, "id": f"job{n}"} for n in range(number))
        exported = _exported()
        _clear()
        tracemalloc.start()
        _load(exported)
        for _ in transfer.export():
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(10)
    assert peak(900) < peak(300) * 1.5
