"""From a log to the world: every offline algorithm yields a start, and training goes on from it."""

import json
from dataclasses import replace

import pytest

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.datasets import ConversationDataset
from ss_gym.datasets.messages import logged
from ss_trainers import OfflineGRPOConfig, OfflineGRPOTrainer, OfflineTraining, TextTraining, TrainingConfig
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ONLINE = TrainingConfig(iterations=2, groups_per_iteration=2, group_size=4, max_new_tokens=4, learning_rate=5e-3)
OFFLINE = OfflineTraining(batch_size=8, hidden_layers=1)
TEXT = TextTraining(batch_size=4, max_new_tokens=4, candidates=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def log(count=8):
    """Conversations of an agent that says the letter it is asked for, or the other one."""
    made = []
    for number in range(count):
        asked, right = "ab"[number % 2], number % 4 < 2
        said = asked if right else "ba"[number % 2]
        roles = ("user", "assistant", "user", "assistant")
        texts = (f"say {asked}", said, f"say {asked}", said)
        messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
        made.append(logged(messages, rewards=[float(right)] * 2, scenario=str(number)))
    return ConversationDataset.from_trajectories(made)


def trained(folder, out, algorithm="iql", ratio=0.5, training=ONLINE, **settings):
    config = OfflineGRPOConfig(
        offline_algorithm=algorithm,
        offline_settings={"hidden_dim": 8, "num_epochs": 2},
        offline_pretrain_steps=2,
        online_ratio=ratio,
        **settings,
    )
    training = replace(training, output_dir=None if out is None else str(out))
    trainer = OfflineGRPOTrainer(config, training, offline=OFFLINE, text=TEXT)
    return trainer.train(MultiTurnAgent(AgentConfig(folder)), register(), offline_dataset=log())


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("algorithm", ["bc", "bcq", "bear", "cql", "dt", "ilql", "iql"])
def test_every_offline_algorithm_yields_a_start_that_training_goes_on_from(algorithm, folder, tmp_path) -> None:
    agent = trained(folder, tmp_path, algorithm)
    first, second = lines(tmp_path)
    assert first["logged_episodes"] == 8.0 and second["logged_episodes"] == 0.0
    # No weight of a logged token is above the cap, and fresh ones weigh 1.
    assert first["effective_sample_share"] == pytest.approx(1.0, abs=1e-3)
    assert 0 < first["logged/effective_sample_share"] <= 1
    (reply,) = agent.act([[{"role": "user", "content": "say a"}]])
    assert reply.token_ids


def test_a_run_in_the_same_folder_is_not_done_twice(folder, tmp_path) -> None:
    trained(folder, tmp_path)
    before = lines(tmp_path)
    agent = trained(folder, tmp_path)
    assert lines(tmp_path) == before
    longer = replace(ONLINE, iterations=3)
    again = trained(folder, tmp_path, training=longer)
    assert len(lines(tmp_path)) == 3
    assert agent.provenance["iteration"] == 2 and again.provenance["iteration"] == 3


def test_with_a_ratio_of_one_nothing_of_the_log_is_learnt_from_online(folder, tmp_path) -> None:
    trained(folder, tmp_path, ratio=1.0)
    assert all("logged/effective_sample_share" not in line for line in lines(tmp_path))


def test_a_run_that_keeps_nothing_trains_as_well(folder) -> None:
    agent = trained(folder, None, "bc")
    assert agent.provenance["iteration"] == 2


def test_the_agent_that_was_given_stays_as_it_is(folder, tmp_path) -> None:
    config = OfflineGRPOConfig(offline_algorithm="bc", offline_pretrain_steps=1)
    agent = MultiTurnAgent(AgentConfig(folder, max_new_tokens=4, temperature=0.0))
    agent.load()
    asked = [[{"role": "user", "content": "say a"}]]
    before = agent.act(asked)
    OfflineGRPOTrainer(config, replace(ONLINE, iterations=1), text=TEXT).train(agent, register(), offline_dataset=log())
    assert agent.act(asked) == before


def test_rollouts_that_run_ahead_are_refused() -> None:
    with pytest.raises(ValueError, match="set rollout_lag to 0"):
        OfflineGRPOTrainer(training=replace(ONLINE, rollout_lag=1))


def test_a_model_that_is_not_here_can_not_be_trained() -> None:
    trainer = OfflineGRPOTrainer(OfflineGRPOConfig(offline_algorithm="bc"), ONLINE)
    with pytest.raises(TypeError, match="no weights here"):
        trainer.train(MultiTurnAgent(AgentConfig("stub://demo")), register(), offline_dataset=log())
