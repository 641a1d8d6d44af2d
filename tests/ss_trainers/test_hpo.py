"""A search for settings: real runs of a real trainer on a small environment."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("optuna", reason="needs optuna: pip install stateset-gym[hpo]")

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_trainers import TrainingConfig
from ss_trainers.hpo import GRPO_SPACE, Between, OneOf, SearchSummary, Space, quick_hpo
from ss_trainers.trainer import Trainer
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

BASE = TrainingConfig(iterations=2, groups_per_iteration=2, group_size=4, max_new_tokens=6, eval_episodes=4)
SPACE: Space = {
    "learning_rate": Between(1e-4, 1e-2, log=True),
    "group_size": OneOf((2, 4)),
    "clip_high": OneOf((0.2, 0.28)),
    "epochs": Between(1, 2, whole=True),
}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> MultiTurnAgent:
    folder = tmp_path_factory.mktemp("model")
    save_tiny(folder)
    return MultiTurnAgent(AgentConfig(str(folder), max_new_tokens=6, temperature=1.0))


def searched(agent: MultiTurnAgent, n_trials: int = 4, **options: object) -> SearchSummary:
    settings = {"base_config": BASE, "space": SPACE, **options}
    return asyncio.run(quick_hpo(agent, register(), n_trials=n_trials, **settings))  # type: ignore[arg-type]


def test_the_best_settings_are_those_of_the_best_trial(agent: MultiTurnAgent) -> None:
    console = Console(record=True, width=160)
    found = searched(agent, console=console)
    assert found.metric == "success" and len(found.trials) == 4
    complete = [trial for trial in found.trials if trial.state == "complete"]
    assert found.best_value == max(trial.value for trial in complete if trial.value is not None)
    assert found.best_params in [trial.params for trial in complete if trial.value == found.best_value]
    for trial in found.trials:
        assert set(trial.params) == set(SPACE) and 1e-4 <= trial.params["learning_rate"] <= 1e-2
        assert trial.params["group_size"] in (2, 4) and type(trial.params["epochs"]) is int
    told = console.export_text()
    assert "trial 3: " in told and "4 trials by success" in told


def test_trials_play_as_many_episodes_whatever_their_groups(
    agent: MultiTurnAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TrainingConfig] = []
    trained = Trainer.train

    def watched(self: Trainer, *given: object) -> dict[str, float]:
        seen.append(self.training)
        return trained(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "train", watched)
    searched(agent, n_trials=5, prune=False, space={"group_size": OneOf((2, 4, 8))})
    assert len({each.group_size for each in seen}) > 1
    assert all(each.iterations * each.groups_per_iteration * each.group_size == 16 for each in seen)


def test_the_same_call_proposes_the_same(agent: MultiTurnAgent) -> None:
    first, second = (searched(agent, n_trials=2) for _ in range(2))
    assert first == second


def test_a_search_goes_on_where_it_was_stopped(agent: MultiTurnAgent, tmp_path: Path) -> None:
    first = searched(agent, n_trials=2, save_path=tmp_path / "search")
    assert (tmp_path / "search" / "trial-001" / "checkpoint").is_dir()
    both = searched(agent, n_trials=3, save_path=tmp_path / "search")
    assert both.trials[:2] == first.trials and len(both.trials) == 3
    assert searched(agent, n_trials=3, save_path=tmp_path / "search") == both
    with pytest.raises(ValueError, match="has another training"):
        searched(agent, save_path=tmp_path / "search", base_config=BASE.changed(learning_rate=0.5))
    with pytest.raises(ValueError, match="has another space"):
        searched(agent, save_path=tmp_path / "search", space={"epochs": OneOf((1, 2))})
    assert json.loads((tmp_path / "search" / "search.json").read_text())["algorithm"] == "grpo"


def test_a_task_that_is_cancelled_stops_after_the_iteration(agent: MultiTurnAgent, tmp_path: Path) -> None:
    async def cancelled() -> None:
        base = BASE.changed(iterations=100_000)
        search = asyncio.ensure_future(
            quick_hpo(agent, register(), base_config=base, space=SPACE, save_path=tmp_path / "search")
        )
        while not (tmp_path / "search" / "trial-000").exists():
            await asyncio.sleep(0.02)
            assert not search.done()
        search.cancel()
        with pytest.raises(asyncio.CancelledError):
            await search

    asyncio.run(cancelled())
    found = searched(agent, n_trials=1, save_path=tmp_path / "other")
    assert len(found.trials) == 1


def test_settings_that_do_not_go_together_are_failed_trials(agent: MultiTurnAgent) -> None:
    space: Space = {"warmup_iterations": OneOf((0, 99))}
    found = searched(agent, n_trials=6, space=space)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed and all(trial.params["warmup_iterations"] == 99 and trial.value is None for trial in failed)
    assert "warmup_iterations must be at most iterations" in failed[0].error
    assert found.best_params == {"warmup_iterations": 0}
    with pytest.raises(RuntimeError, match="no trial could be completed: ValueError: warmup"):
        searched(agent, n_trials=2, space={"warmup_iterations": OneOf((98, 99))})


def test_what_can_not_be_searched_is_told_at_once(agent: MultiTurnAgent) -> None:
    with pytest.raises(ValueError, match="neither the engine nor grpo has a setting 'lerning_rate'"):
        searched(agent, space={"lerning_rate": OneOf((1, 2))})
    with pytest.raises(ValueError, match="nothing to search"):
        searched(agent, space={})
    with pytest.raises(ValueError, match="nothing to draw between 2 and 1"):
        Between(2, 1)
    with pytest.raises(ValueError, match="two values or more"):
        OneOf((1,))
    with pytest.raises(TypeError, match="no weights here to train"):
        asyncio.run(quick_hpo(MultiTurnAgent(AgentConfig("stub://demo")), register()))
    with pytest.raises(RuntimeError, match="there is no metric 'sucess'"):
        searched(agent, metric="sucess", n_trials=1)


def test_another_algorithm_is_searched_by_the_settings_that_it_has(agent: MultiTurnAgent) -> None:
    found = searched(agent, n_trials=1, algorithm="rloo", space=None)
    assert set(found.trials[0].params) <= set(GRPO_SPACE) and "learning_rate" in found.trials[0].params
