"""Every command met by what no code expects: a damaged page, a Ctrl-C, too few descriptors. All end in a sentence."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest

import models
from app import create_app
from engine import backup, config, jobs, operations, queues, saved_views, transfer
from engine.jobs import Ending
from engine.output import Output
from queuectl import cli
from tests.faults.commands import COMMANDS, Commands, Outcome, words

LINES = COMMANDS.split("\n")[1:-1]
PAGE = 2048
# Those that begin processes have tests of their own.
ELSEWHERE = {"worker start", "queue", "worker", "view", "config", "dlq"}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A folder with a database that has something of everything, and files for the commands that read one."""
    folder = tmp_path_factory.mktemp("model")
    models.connect(str(folder / "queue.db"))
    _fill()
    backup.write(str(folder / "backup.db"))
    (folder / "export.jsonl").write_bytes(b"".join(transfer.export("cancelled")).replace(b'"j5', b'"new5'))
    (folder / "jobs.jsonl").write_text('{"command": "true"}\n' * 30)
    models.db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    models.disconnect()
    return folder


def _fill() -> None:
    for number in range(60):
        command = f"echo {number} {'x' * (number * 7 % 200)}"
        jobs.enqueue({"id": f"j{number}", "command": command, "tags": ["a"], "env": {"A": "b"}, "max_retries": 0})
    printed = Output(b"printed\n", 8)
    for number in range(40):
        held = jobs.claim("w1", "host")
        assert held
        if number % 3:
            jobs.complete(held, Ending(return_code=0, duration_ms=5, stdout=printed))
        else:
            jobs.fail(held, Ending(return_code=1, duration_ms=5, error="exit code 1: bad", stderr=printed))
    ended = {"host": "host", "status": "lost", "created_at": 1, "started_at": 1, "stopped_at": 2}
    models.Worker.insert_many([ended] * 50).execute()
    jobs.delete("j55")
    config.set("backoff_base", 3, actor="test")
    saved_views.keep("mine", {"state": "dead"}, actor="test")
    queues.pause("mail", actor="test")
    operations.run(operations.begin("cancel", actor="test", ids=["j58", "j59"]).pk)


class Place:
    """A folder with a copy of the model in it, made again for each command."""

    def __init__(self, model: Path, folder: Path):
        self.model = model
        self.folder = folder
        self.path = folder / "queue.db"
        self.whole = (model / "queue.db").read_bytes()
        for name in ("jobs.jsonl", "export.jsonl", "backup.db"):
            shutil.copy(model / name, folder)

    def make(self, database: bytes | None = None) -> None:
        for name in ("queue.db-wal", "queue.db-shm", "out", "out.part"):
            (self.folder / name).unlink(missing_ok=True)
        self.path.write_bytes(database or self.whole)

    def damaged(self, page: int, how: str, dice: random.Random) -> bytes:
        """The database with this page (from 0) damaged."""
        found = bytearray(self.whole)
        begin = page * PAGE
        if how == "scattered":
            for _ in range(20):
                found[begin + dice.randrange(PAGE)] = dice.randrange(256)
        else:
            length = {"head": 400, "all": PAGE, "zeros": PAGE}[how]
            found[begin : begin + length] = bytes(length) if how == "zeros" else dice.randbytes(length)
        return bytes(found)

    def dump(self) -> dict[str, list[Any]]:
        """What a person could lose or get twice."""
        with closing(sqlite3.connect(self.path)) as opened:
            assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            tables = ("job", "config", "queue", "view", "operation", "setting_change")
            rows = {table: sorted(opened.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables}
            counted = opened.execute("SELECT sum(n) FROM counter").fetchone()[0]
        assert counted == len(rows["job"])
        return rows


@pytest.fixture
def place(model: Path, tmp_path: Path) -> Place:
    return Place(model, tmp_path)


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    runner = Commands()
    yield runner
    runner.close()


@pytest.fixture(scope="module")
def fresh_commands() -> Iterator[Commands]:
    runner = Commands(loaded=False)
    yield runner
    runner.close()


def _all_commands(group: click.Group, before: str = "") -> Iterator[str]:
    for name in group.commands:
        command = group.get_command(click.Context(group), name)
        yield f"{before}{name}"
        if isinstance(command, click.Group):
            yield from _all_commands(command, f"{before}{name} ")


def test_no_command_is_missing_here():
    tried = {" ".join(line.split()[:number]) for line in LINES for number in (1, 2)}
    assert set(_all_commands(cli)) <= tried | ELSEWHERE


# --- a damaged page

HOW = ("head", "all", "zeros", "scattered")


def _meets_damage(commands: Commands, place: Place, line: str, page: int, how: str, dice: random.Random) -> str:
    """What is wrong with how the command took it; "" when nothing is."""
    place.make(place.damaged(page, how, dice))
    outcome = commands.run(words(line, place.folder))
    return "" if outcome.is_a_sentence else f"{line}, page {page} {how}: {outcome.code} {outcome.err}"


def _pages(place: Place) -> range:
    return range(1, len(place.whole) // PAGE)


def test_a_damaged_page_is_a_sentence(commands, place):
    dice = random.Random(1)
    chosen = [(dice.choice(LINES), dice.choice(_pages(place)), dice.choice(HOW)) for _ in range(60)]
    assert [trouble for one in chosen if (trouble := _meets_damage(commands, place, *one, dice))] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_damaged_page_is_a_sentence_of_every_command(commands, place):
    dice = random.Random(2)
    every = ((line, page, dice.choice(HOW)) for line in LINES for page in _pages(place))
    assert [trouble for one in every if (trouble := _meets_damage(commands, place, *one, dice))] == []


def test_a_damaged_database_is_named_by_whoever_reads_rows_one_by_one(commands, place):
    """All pages but those of the schema: whatever is read first is damaged."""
    dice = random.Random(3)
    place.make(place.whole[: 40 * PAGE] + dice.randbytes(len(place.whole) - 40 * PAGE))
    for line in ("list", "worker list --all", "dlq causes", "export -", "list --csv", "logs j1"):
        outcome = commands.run(words(line, place.folder))
        assert (outcome.code, outcome.err) == (1, f"{_damaged(place)}\n"), line
    found = commands.run(words("doctor", place.folder))
    assert found.code == 1
    assert _damaged(place) in found.out


def test_a_row_that_no_code_expects_is_said_to_be_damaged(commands, client, place):
    place.make()
    for change in (
        """UPDATE sqlite_schema SET sql = replace(sql, '"next_run_at" INTEGER NOT NULL', '"next_run_at" INTEGER')""",
        "UPDATE job SET next_run_at = NULL",
        """UPDATE sqlite_schema SET sql = replace(sql, '"next_run_at" INTEGER,', '"next_run_at" INTEGER NOT NULL,')""",
    ):
        with closing(sqlite3.connect(place.path)) as opened, opened:
            opened.execute("PRAGMA writable_schema = ON")
            opened.execute(change)
    outcome = commands.run(words("stats", place.folder))
    assert (outcome.code, outcome.err) == (1, f"{_damaged(place)}\n")
    answer = client.get("/")
    assert answer.status_code == 503
    assert _damaged(place) in answer.text


def _damaged(place: Place) -> str:
    return f"The database {place.path} is damaged; stop the workers and restore a backup."


@pytest.fixture
def client(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    place.make()
    app = create_app(str(place.path), WTF_CSRF_ENABLED=False)
    monkeypatch.setattr(app.logger, "disabled", True)
    yield app.test_client()
    models.disconnect()


def _urls(client: Any) -> list[tuple[str, str]]:
    """Every page and every form, with arguments that name something."""
    named = {"worker_id": "w1", "number": 1, "token": "j55", "key": "backoff_base", "stream": "stdout", "name": "mail"}
    app, found = client.application, []
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if not rule.endpoint.startswith("assets."):
                arguments = {name: named.get(name, "j1") for name in rule.arguments}
                url = app.url_for(rule.endpoint, **arguments)
                found += [(method, url) for method in ("GET", "POST") if method in (rule.methods or ())]
    return found


def _status(client: Any, method: str, url: str) -> int:
    headers = {"HX-Request": "true"} if len(url) % 2 else {}
    with client.open(url, method=method, headers=headers, buffered=False) as answer:
        return answer.status_code


def test_a_damaged_page_is_no_error_of_the_panel(client, place):
    dice = random.Random(4)
    chosen = [(*dice.choice(_urls(client)), dice.choice(_pages(place)), dice.choice(HOW[:3])) for _ in range(150)]
    statuses = {}
    for method, url, page, how in chosen:
        place.make(place.damaged(page, how, dice))
        statuses[f"{method} {url} {page} {how}"] = _status(client, method, url)
    assert {asked: status for asked, status in statuses.items() if status == 500} == {}
    assert 503 in statuses.values()


NUMBERED = (
    "run",
    "shown",
    "stdout",
    "stderr",
    "from",
    "before",
    "after",
    "mark",
    "news",
    "looked",
    "against",
    "v",
    "window",
)


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5000, "1e999", "-1", "nan", "\u0663"])
def test_a_number_of_any_size_is_no_error_of_the_panel(client, number):
    query = "&".join(f"{name}={number}" for name in NUMBERED)
    asked = [url for method, url in _urls(client) if method == "GET"]
    addresses = [f"{url}?{query}" for url in asked] + ["/jobs/j1?run=" + number, "/operations/" + number[:40]]
    statuses = {url: _status(client, "GET", url) for url in addresses}
    assert {url: status for url, status in statuses.items() if status >= 500} == {}


# --- a Ctrl-C


def _interrupted(commands: Commands, place: Place, line: str, at_s: float) -> str:
    """What is wrong with how the command took it; "" when nothing is."""
    place.make()
    before = place.dump()
    outcome = commands.run(words(line, place.folder), interrupt_s=at_s)
    if not outcome.is_a_sentence:
        return f"{line} after {at_s} s: {outcome.code} {outcome.err}"
    if place.dump() != before and not _tells(outcome):
        return f"{line} after {at_s} s: done, and it says {outcome!r}"
    return ""


def _tells(outcome: Outcome) -> bool:
    return outcome.out != "" or outcome.err.strip() not in ("", "Interrupted.")


WRITES = {
    "enqueue --id new true": "Enqueued new\n",
    "enqueue --file J": "Enqueued ",
    "retry j0": "j0 is pending again.\n",
    "cancel j50": "j50 is cancelled.\n",
    "delete j1": "j1 is deleted.",
    "undelete j55": "j55 is pending again.\n",
    "remove j55": "j55 is removed for good.\n",
    "priority j50 --to 5": "j50 has the priority 5.\n",
    "dlq retry j0 j3": "j0 is pending again.\n",
    "dlq retry --all": "Interrupted; 14 jobs are pending again.\n",
    "queue pause default": "The queue default is paused.\n",
    "view save dead --state dead": "Saved the view dead.\n",
    "view delete mine": "The view mine is deleted.\n",
    "config set backoff_base 4": "backoff_base = 4",
    "config reset backoff_base": "backoff_base = 2\n",
    "prune --state completed --older-than 0s": "completed: ",
    "import X": "2 jobs, ",
    "restore B": "/",
}


@pytest.mark.parametrize("line", WRITES)
def test_an_interruption_between_a_commit_and_its_answer_waits_for_the_answer(commands, place, line):
    place.make()
    outcome = commands.run(words(line, place.folder), interrupted_by_commit=True)
    assert outcome.is_a_sentence
    assert outcome.code == 130
    assert (outcome.out or outcome.err).startswith(WRITES[line])


def test_an_interrupted_command_says_what_it_did(commands, place):
    dice = random.Random(5)
    chosen = [(dice.choice(LINES), dice.uniform(0, 0.05)) for _ in range(80)]
    assert [trouble for one in chosen if (trouble := _interrupted(commands, place, *one))] == []


def test_an_interruption_while_code_is_loaded_is_silent(fresh_commands, place):
    dice = random.Random(6)
    chosen = [(dice.choice(LINES), dice.uniform(0, 0.3)) for _ in range(8)]
    assert [trouble for one in chosen if (trouble := _interrupted(fresh_commands, place, *one))] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_may_be_interrupted_at_any_instant(commands, fresh_commands, place):
    dice = random.Random(7)
    every = [(commands, line, dice.uniform(0, 0.06)) for line in LINES for _ in range(40)]
    every += [(fresh_commands, line, dice.uniform(0, 0.5)) for line in LINES for _ in range(10)]
    found = (_interrupted(runner, place, line, at_s) for runner, line, at_s in every)
    assert [trouble for trouble in found if trouble] == []


# --- too few descriptors

FEWEST = 5  # with fewer Python itself does not begin


def _cramped(runner: Commands, place: Place, line: str, most: int) -> str:
    place.make()
    before = place.dump()
    outcome = runner.run(words(line, place.folder), descriptors=most)
    if not outcome.is_a_sentence or (outcome.code and not outcome.err + outcome.out):
        return f"{line} with {most} descriptors: {outcome.code} {outcome.err}"
    if outcome.code and place.dump() != before and not _tells(outcome):
        return f"{line} with {most} descriptors: done, and it says {outcome!r}"
    return ""


def test_too_few_descriptors_are_a_sentence(commands, fresh_commands, place):
    dice = random.Random(8)
    chosen = [(commands, dice.choice(LINES), dice.randrange(FEWEST, 14)) for _ in range(50)]
    chosen += [(fresh_commands, dice.choice(LINES), dice.randrange(FEWEST, 14)) for _ in range(8)]
    assert [trouble for one in chosen if (trouble := _cramped(one[0], place, *one[1:]))] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_has_a_sentence_for_too_few_descriptors(commands, fresh_commands, place):
    every = (
        (runner, line, most) for line in LINES for most in range(FEWEST, 16) for runner in (commands, fresh_commands)
    )
    assert [trouble for one in every if (trouble := _cramped(one[0], place, *one[1:]))] == []
