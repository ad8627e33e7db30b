"""Each protection is taken away once, and the suite must notice: every scenario passes with the healthy code only."""

from __future__ import annotations

import pytest

from tests.chaos import mutants, scenarios
from tests.chaos.mutants import MUTANTS, REDUNDANT
from tests.chaos.scenarios import Broken, Stage


@pytest.fixture
def on_stage(tmp_path, monkeypatch):
    """Plays a scenario with a mutant, in this process and in the supervisors that it starts."""
    stages: list[Stage] = []

    def play(scenario: str, mutant: str = "healthy") -> None:
        stages.append(Stage(tmp_path, mutant, monkeypatch))
        mutants.apply(mutant, monkeypatch.setattr)
        getattr(scenarios, scenario)(stages[0])

    yield play
    monkeypatch.undo()
    for stage in stages:
        stage.close()


@pytest.mark.parametrize("scenario", sorted({mutant.scenario for mutant in MUTANTS.values()}))
def test_the_healthy_code_keeps_its_promise(on_stage, scenario):
    on_stage(scenario)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(on_stage, name):
    with pytest.raises(Broken, match=f"^{MUTANTS[name].says}"):
        on_stage(MUTANTS[name].scenario, name)


@pytest.mark.parametrize("name", REDUNDANT)
def test_a_second_protection_stands_behind_this_one(on_stage, monkeypatch, name):
    mutant, _ = REDUNDANT[name]
    mutant.take_away(monkeypatch.setattr)
    on_stage(mutant.scenario)
