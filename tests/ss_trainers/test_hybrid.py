"""From a log to the world: every offline algorithm yields a start, and training goes on from it."""

import asyncio
import json
import shutil
from dataclasses import replace

import gymnasium as gym
import pytest

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.checkpoint import CheckpointError
from ss_gym.datasets import ConversationDataset
from ss_gym.datasets.messages import logged
from ss_trainers import (
    GRPOTrainer,
    OfflineGRPOConfig,
    OfflineGRPOTrainer,
    OfflineTraining,
    TextTraining,
    Trainer,
    TrainingConfig,
    train,
)
from tests.ss_trainers.continual.letters import Letters
from tests.ss_trainers.continual.letters import register as letters
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


def files_of(*folders):
    """Name, content and time of each file."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


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


def test_another_run_in_the_same_folder_is_refused_and_nothing_of_the_first_changes(folder, tmp_path) -> None:
    trained(folder, tmp_path)
    places = [tmp_path / name for name in ("start", "checkpoint", "offline")]
    before = files_of(*places), (tmp_path / "hybrid.json").read_bytes()
    told = (
        r"config\.offline_algorithm was 'iql' and is 'bcq', config\.online_ratio was 0\.5 and is 0\.25, "
        r"config\.objective was 'grpo' and is 'gspo', .* more; take another output_dir"
    )
    with pytest.raises(ValueError, match=told):
        trained(folder, tmp_path, "bcq", 0.25, objective="gspo")
    assert (files_of(*places), (tmp_path / "hybrid.json").read_bytes()) == before


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    """A run of one iteration."""
    out = tmp_path_factory.mktemp("run")
    trained(folder, out, "bc", training=replace(ONLINE, iterations=1))
    return out


def again(folder, out, *, training=ONLINE, text=TEXT, env=None, reward=None, prompt=None, dataset=None, seed=0, **more):
    """The same run, or almost."""
    config = OfflineGRPOConfig("bc", {"hidden_dim": 8, "num_epochs": 2}, 2, seed=seed)
    trainer = OfflineGRPOTrainer(config, replace(training, output_dir=str(out)), offline=OFFLINE, text=text)
    agent = MultiTurnAgent(AgentConfig(folder, system_prompt=prompt))
    return trainer.train(agent, env or register(), reward, offline_dataset=dataset or log(), **more)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, r"config\.seed was 0 and is 1"),
        ({"training": replace(ONLINE, learning_rate=1e-3)}, r"training\.learning_rate was 0\.005 and is 0\.001"),
        ({"training": replace(ONLINE, seed=3)}, r"training\.seed was 0 and is 3"),
        ({"text": replace(TEXT, learning_rate=1e-3)}, r"text\.learning_rate was 0\.0005 and is 0\.001"),
        ({"prompt": "Be brief."}, r"training\.system_prompt was None and is 'Be brief\.'"),
        ({"env": lambda: gym.make(register())}, r"environment\.env was 'Toy/SayTheLetter-v0' and is '.*lambda"),
        ({"env": gym.make(register(), tells_success=False)}, r"env_kwargs was {} and is {'tells_success': False}"),
        ({"reward": lambda *_: 1.0}, r"environment\.reward was None and is '.*lambda"),
        ({"population": {"kind": "uniform"}}, r"environment\.population was None and is {'kind': 'uniform'}"),
    ],
)
def test_what_differs_from_the_run_that_is_kept_is_told(changes, told, folder, done) -> None:
    before = files_of(done)
    with pytest.raises(ValueError, match=told):
        again(folder, done, **changes)
    assert files_of(done) == before


def test_online_it_meets_a_population_whose_state_is_kept(folder, tmp_path) -> None:
    met = Letters()
    again(folder, tmp_path, env=letters(), population=met)
    # What was logged is none of its customers' doing.
    assert [len(outcomes) for _, outcomes in met.outcomes] == [8, 8]
    assert [line["population/told"] for line in lines(tmp_path)] == [8, 8] and lines(tmp_path)[0][
        "logged_episodes"
    ] == 8
    longer, goes_on = replace(ONLINE, iterations=3), Letters()
    again(folder, tmp_path, training=longer, env=letters(), population=goes_on)
    assert [step for step, _ in goes_on.outcomes[2:]] == [2] and goes_on.outcomes[:2] == [None] * 2


def test_another_log_is_told_even_if_nothing_is_kept_of_the_offline_part(folder, done, tmp_path) -> None:
    out = tmp_path / "run"
    shutil.copytree(done, out, ignore=shutil.ignore_patterns("offline"))
    with pytest.raises(ValueError, match=r"start\.weights was '[0-9a-f]{32}' and is '[0-9a-f]{32}'; take another"):
        again(folder, out, dataset=log(12))


def test_a_run_goes_on_from_the_start_that_it_had_for_longer_and_measured_otherwise(folder, done, tmp_path) -> None:
    out = tmp_path / "run"
    shutil.copytree(done, out)
    before = files_of(out / "start")
    longer = replace(ONLINE, iterations=3, eval_every=1, eval_episodes=2, micro_batch_tokens=512, parallel_episodes=3)
    assert again(folder, out, training=longer, text=replace(TEXT, micro_batch_tokens=64)).provenance["iteration"] == 3
    assert files_of(out / "start") == before
    # It is made again where it is gone, and is then the same.
    (weights,) = (content for path, (content, _) in before.items() if path.name == "model.safetensors")
    shutil.rmtree(out / "start")
    again(folder, out, training=replace(longer, iterations=4))
    assert (out / "start" / "model.safetensors").read_bytes() == weights


def test_a_checkpoint_that_another_trainer_left_is_refused(folder, tmp_path) -> None:
    GRPOTrainer(register(), folder, training=replace(ONLINE, iterations=1, output_dir=str(tmp_path))).train()
    with pytest.raises(ValueError, match=r"there is no '.*hybrid\.json', which an OfflineGRPOTrainer writes; take"):
        trained(folder, tmp_path)
    assert not (tmp_path / "start").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"config": 1}'])
def test_a_record_that_is_damaged_is_told(content, folder, done, tmp_path) -> None:
    out = tmp_path / "run"
    shutil.copytree(done, out)
    (out / "hybrid.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"hybrid\.json', which tells what .* is damaged"):
        again(folder, out)


@pytest.mark.parametrize(
    ("algorithm", "stages"),
    [
        ("bc", {"clone"}),
        ("bcq", {"clone", "critic-bcq", "policy-bcq"}),
        ("dt", {"conditioned"}),
        ("ilql", {"clone", "critic-ilql", "policy-ilql"}),
        ("iql", {"clone", "critic-iql", "policy-iql"}),
    ],
)
def test_each_offline_stage_does_as_many_updates_as_it_is_told(algorithm, stages, folder, tmp_path) -> None:
    # Neither the one epoch of the language model, of two updates, nor that of the critic's settings ends it.
    config = OfflineGRPOConfig(algorithm, {"hidden_dim": 8, "num_epochs": 1}, 7)
    training = replace(ONLINE, iterations=1, output_dir=str(tmp_path))
    trainer = OfflineGRPOTrainer(config, training, offline=OFFLINE, text=TEXT)
    trainer.train(MultiTurnAgent(AgentConfig(folder)), register(), offline_dataset=log())
    told = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "offline").glob("*/stage.json")}
    assert {name: each["updates"] for name, each in told.items() if "updates" in each} == dict.fromkeys(stages, 7)


def test_without_settings_it_samples_as_the_agent_does_and_with_them_it_keeps_the_system_prompt(folder) -> None:
    given = AgentConfig(folder, max_new_tokens=3, temperature=0.7, system_prompt="Say a letter.", seed=5)
    config, seen = OfflineGRPOConfig(offline_algorithm="bc", offline_pretrain_steps=1), []

    def stop(trainer, metrics):
        seen.append(trainer.training)
        return True

    for training in (None, replace(ONLINE, temperature=0.9), replace(ONLINE, system_prompt="Say a.")):
        trainer = OfflineGRPOTrainer(config, training, text=TEXT)
        agent = trainer.train(MultiTurnAgent(given), register(), offline_dataset=log(), callbacks=[stop])
        assert agent.config.system_prompt == seen[-1].system_prompt
    sampled = [(each.max_new_tokens, each.temperature, each.seed, each.system_prompt) for each in seen]
    assert sampled == [(3, 0.7, 5, "Say a letter."), (4, 0.9, 0, "Say a letter."), (4, 1.0, 0, "Say a.")]


def test_elsewhere_a_run_that_learns_from_the_log_does_not_go_on_without_it(folder, done, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"can't be resumed: .*OfflineGRPOTrainer"):
        Trainer.resume(done / "checkpoint")
    settings = {"offline_algorithm": "bcq", "iterations": 1}
    with pytest.raises(ValueError, match="learns from a log, and there is none here: train, and go on"):
        asyncio.run(
            train(MultiTurnAgent(AgentConfig(folder)), register(), algorithm="offline_grpo", config_overrides=settings)
        )
    trained(folder, tmp_path, "bc", ratio=1.0, training=replace(ONLINE, iterations=1))
    assert Trainer.resume(tmp_path / "checkpoint").iteration == 1


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
