"""The benchmarks run: with tiny numbers, and without a word about how fast it was."""

from __future__ import annotations

import importlib
import json

import pytest

import models
from benchmarks import __main__ as program
from benchmarks import disk, filling, memory, panel, place, scale, throughput
from benchmarks.figures import Figure, interleaved, quantile, table
from engine import jobs, queries

TINY = {
    "throughput": throughput.Sizes(jobs=10, rounds=2, lives=2, workers=(1,)),
    "memory": memory.Sizes(workers=1, printed_mb=1),
    "disk": disk.Sizes(jobs=10, workers=1),
    "panel": panel.Sizes(200, 100, rounds=1, requests=1, tabs=8, tab_rounds=1, settle=0.1, calm=0.1, seconds=1.0),
}


@pytest.fixture(autouse=True)
def build(tmp_path, monkeypatch):
    monkeypatch.setattr(place, "BUILD", tmp_path / "build")
    return tmp_path / "build"


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_finds_figures_and_leaves_nothing_behind(name, build):
    found = importlib.import_module(f"benchmarks.{name}").run(TINY[name])
    assert found
    assert all(figure.samples for figure in found)
    assert json.loads(json.dumps([figure.as_json() for figure in found]))
    assert table(found).count("\n") == len(found)
    assert list(build.glob("scratch-*")) == []


@pytest.mark.parametrize("name", program.NAMES)
def test_every_benchmark_says_its_method_and_has_two_sizes(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert len(module.__doc__.splitlines()) > 3
    assert module.Sizes() != module.QUICK
    assert f"`{name}`" in (program.HERE / "README.md").read_text()


def test_the_command_line_writes_what_it_found(build, monkeypatch, capsys):
    monkeypatch.setattr(throughput, "QUICK", TINY["throughput"])
    file = build / "figures.json"
    program.main(["throughput", "--quick", "--json", str(file)])
    written = json.loads(file.read_text())
    assert written["quick"]
    assert written["figures"]["throughput"][0]["name"] == "1 worker: queuectl"
    assert "1 worker: xargs" in capsys.readouterr().out


def test_a_name_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        program.main(["speed"])
    assert "there is no benchmark speed" in capsys.readouterr().err


def test_the_filled_database_counts_what_it_holds_and_hands_out_what_is_due():
    with filling.filled(1_000, 200) as path:
        with place.queue(path):
            assert queries.counts() == {"processing": 0, "failed": 0} | _really()
            assert queries.counts()["pending"] == 200
            assert jobs.claim("w1", "host").command == place.NOOP
            assert queries.attempt(queries.find("00000000000999")).outcome == "success"
        assert min(scale.cost(path, steps=10)) > 0


def _really() -> dict[str, int]:
    return dict(models.db.execute_sql("SELECT state, count(*) FROM job GROUP BY state").fetchall())


def test_a_figure_knows_whether_its_promise_is_kept():
    assert Figure("ratio", [0.8, 0.95, 1.0], "", at_least=0.9).is_met
    assert not Figure("memory", [9.0], "MB", at_most=8).is_met
    assert Figure("rate", [9.0], "jobs/s").is_met is None


def test_rounds_alternate_who_comes_first():
    order = []
    samples = interleaved({"a": lambda: order.append("a") or 1.0, "b": lambda: order.append("b") or 2.0}, 2)
    assert order == ["a", "b", "b", "a"]
    assert samples == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_a_quantile_is_one_of_the_samples():
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([5.0], 0.99) == 5.0
