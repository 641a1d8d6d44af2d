"""Training in one call."""

import asyncio
import json
from types import SimpleNamespace

import gymnasium as gym
import pytest
import torch

from ss_gym import ConversationEnvironment, MultiTurnAgent, load_agent_from_checkpoint
from ss_gym.agents import AgentConfig
from ss_gym.agents.checkpoint import CheckpointError, read_manifest
from ss_trainers import (
    GRPOConfig,
    GSPOConfig,
    KeepBest,
    PPOConfig,
    StopOnRegression,
    Trainer,
    TrainingConfig,
    TrainingProfile,
    get_config_for_task,
    train,
    train_with_gspo,
    train_with_ppo,
)
from ss_trainers.algorithms.registry import make_algorithm
from ss_trainers.training import Given
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ENV = register()
SMALL = {"groups_per_iteration": 2, "group_size": 3, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


@pytest.fixture
def agent(folder):
    return MultiTurnAgent(AgentConfig(folder, max_new_tokens=4))


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_an_agent_is_trained_saved_and_loaded(agent, tmp_path):
    trained = asyncio.run(
        train(agent, gym.make(ENV), num_episodes=13, save_path=tmp_path, config_overrides={**SMALL, "clip_low": 0.1})
    )
    # 13 episodes of 6 an iteration.
    assert [each["iteration"] for each in lines(tmp_path)] == [1, 2, 3]
    settings = json.loads((tmp_path / "checkpoint" / "trainer.json").read_text())["settings"]
    assert settings["env"] == ENV and settings["config"]["clip_low"] == 0.1
    assert settings["training"]["max_new_tokens"] == 4
    loaded = asyncio.run(load_agent_from_checkpoint(tmp_path))
    assert isinstance(asyncio.run(loaded.generate_response([{"role": "user", "content": "say a"}])), str)
    both = zip(*(one.backend.loaded.model.parameters() for one in (loaded, trained)), strict=True)
    assert all(torch.equal(one, other) for one, other in both)


def test_a_run_goes_on_from_where_it_was(agent, tmp_path):
    asyncio.run(train(agent, ENV, num_episodes=6, save_path=tmp_path, config_overrides=SMALL))
    asyncio.run(
        train(agent, ENV, num_episodes=18, save_path=tmp_path, resume_from_checkpoint=tmp_path, config_overrides=SMALL)
    )
    assert [each["iteration"] for each in lines(tmp_path)] == [1, 2, 3]


def test_a_run_that_goes_on_has_its_own_settings(agent, tmp_path):
    asyncio.run(train(agent, ENV, num_episodes=6, save_path=tmp_path, config_overrides=SMALL))
    # Neither the profile's group sizes nor its learning rate.
    asyncio.run(train(agent, ENV, num_episodes=12, save_path=tmp_path, resume_from_checkpoint=tmp_path))
    overrides = {"num_outer_iterations": 3}
    asyncio.run(train(agent, ENV, save_path=tmp_path, resume_from_checkpoint=tmp_path, config_overrides=overrides))
    assert [each["iteration"] for each in lines(tmp_path)] == [1, 2, 3]
    for changes, message in (
        ({"algorithm": "gspo"}, "trains with grpo, not with gspo"),
        ({"config_overrides": {"clip_low": 0.5}}, "has clip_low = 0.2, not 0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            asyncio.run(train(agent, ENV, resume_from_checkpoint=tmp_path, **changes))


def test_an_agent_that_has_learnt_goes_on_from_where_it_was_saved(agent, tmp_path):
    trained = asyncio.run(train(agent, ENV, num_episodes=6, save_path=tmp_path / "one", config_overrides=SMALL))
    assert trained.config.model_name == str(tmp_path / "one" / "checkpoint")
    again = {**SMALL, "learning_rate": 1e-12}
    second = asyncio.run(train(trained, ENV, num_episodes=6, config_overrides=again))
    pairs = zip(*(one.backend.loaded.model.parameters() for one in (trained, second)), strict=True)
    assert max(float((one - other).detach().abs().max()) for one, other in pairs) < 1e-6
    # It has learnt and was not saved: what its name says is another model.
    with pytest.raises(TypeError, match="has learnt since"):
        asyncio.run(train(second, ENV, num_episodes=6, config_overrides=again))
    # Its own checkpoint would be replaced by one that builds on it.
    with pytest.raises(CheckpointError, match="holds the model that this run began with"):
        asyncio.run(train(trained, ENV, num_episodes=6, save_path=tmp_path / "one", config_overrides=again))


def test_how_the_agent_samples_is_trained_with_and_may_be_overridden(folder, tmp_path):
    agent = MultiTurnAgent(AgentConfig(folder, max_new_tokens=3, temperature=0.5, seed=4, system_prompt="Be brief."))
    trained = asyncio.run(train(agent, ENV, num_episodes=6, save_path=tmp_path, config_overrides=SMALL))
    training = json.loads((tmp_path / "checkpoint" / "trainer.json").read_text())["settings"]["training"]
    assert (training["max_new_tokens"], training["temperature"], training["seed"]) == (3, 0.5, 4)
    assert trained.config.system_prompt == "Be brief."
    assert read_manifest(tmp_path / "checkpoint").agent.system_prompt == "Be brief."
    overrides = {**SMALL, "max_new_tokens": 2, "temperature": 1.0, "seed": 5, "device": "cpu"}
    trained = asyncio.run(train(agent, ENV, num_episodes=6, config_overrides=overrides))
    assert (trained.config.max_new_tokens, trained.config.temperature) == (2, 1.0)


def test_an_environment_is_copied_as_it_is(agent):
    class Bonus(gym.Wrapper):
        bonus, closed = 0.0, 0

        def step(self, action):
            observation, reward, *rest = self.env.step(action)
            return observation, reward + self.bonus, *rest

        def close(self):
            type(self).closed += 1
            super().close()

    env, seen = Bonus(gym.make(ENV)), []
    env.bonus = 5.0
    overrides = {**SMALL, "iterations": 1}
    trainer = asyncio.run(train(agent, env, config_overrides=overrides))
    assert isinstance(trainer, MultiTurnAgent) and Bonus.closed > 0 and not seen
    made = Given(env, None)()
    made.reset(seed=1)
    assert made.step("a")[1] >= 5.0 and made is not env


def test_ones_own_conversations_are_rewarded_by_ones_own_function(agent, tmp_path):
    async def short(turns, context=None):
        return float(all(len(turn.content) < 10 for turn in turns if turn.role == "assistant"))

    scenario = {"id": "a", "topic": "letters", "context": "…", "user_responses": ["say a", "say b"]}
    env = ConversationEnvironment(scenarios=[scenario], max_turns=4)
    asyncio.run(
        train(agent, env, short, num_episodes=6, save_path=tmp_path, profile="aggressive", config_overrides=SMALL)
    )
    (metrics,) = lines(tmp_path)
    assert 0 <= metrics["return"] <= 1 and metrics["steps"] == 2
    assert read_manifest(tmp_path / "checkpoint").provenance["training"]["training"]["epochs"] == 2


def test_one_algorithm_with_its_recipe(agent, tmp_path):
    base = get_config_for_task("customer_service", model_name="tiny", max_new_tokens=4, **SMALL)
    recipe = GSPOConfig.from_training_config(base, num_outer_iterations=2, level="token")
    assert (recipe.config.level, recipe.training.iterations) == ("token", 2)
    trained = asyncio.run(
        train_with_gspo(config=recipe, agent=agent, environment=ENV, save_path=tmp_path, reward_model=None)
    )
    assert isinstance(trained, MultiTurnAgent)
    assert read_manifest(tmp_path / "checkpoint").provenance["algorithm"] == "gspo" and len(lines(tmp_path)) == 2
    with pytest.raises(TypeError, match="ppo takes a PPOConfig, not a GSPOConfig"):
        asyncio.run(train_with_ppo(recipe, agent, ENV))


def test_a_cancelled_task_leaves_a_checkpoint(agent, tmp_path):
    async def cancelled():
        overrides = {**SMALL, "iterations": 10_000}
        task = asyncio.create_task(train(agent, ENV, save_path=tmp_path, config_overrides=overrides))
        while not (tmp_path / "metrics.jsonl").exists():
            await asyncio.sleep(0.05)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert 0 < Trainer.resume(tmp_path / "checkpoint").iteration < 10_000


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"agent": MultiTurnAgent(AgentConfig("stub://demo"))}, TypeError, "no weights here to train"),
        ({"profile": "bold"}, ValueError, "there is no profile 'bold'"),
        ({"algorithm": "grop"}, ValueError, "did you mean 'grpo'"),
        ({"config_overrides": {"learning_rat": 1}}, ValueError, "did you mean 'learning_rate'"),
        ({"config_overrides": {"clip_low": -1}}, ValueError, "clip_low"),
        ({"num_episodes": 0}, ValueError, "num_episodes must be a whole number of at least 1"),
    ],
)
def test_what_can_not_be_meant_is_refused(changes, error, message, folder):
    arguments = {"agent": MultiTurnAgent(AgentConfig(folder)), "environment": ENV, **changes}
    with pytest.raises(error, match=message):
        asyncio.run(train(**arguments))


# --- settings ------------------------------------------------------------------------------------


def test_profiles_are_settings_that_go_together():
    made = {profile: TrainingConfig.from_profile(profile, num_episodes=1000) for profile in TrainingProfile}
    assert made["balanced"].learning_rate == TrainingConfig().learning_rate
    assert made["conservative"].learning_rate < made["balanced"].learning_rate < made["aggressive"].learning_rate
    assert made["experimental"].mismatch == "truncate" and made["experimental"].minibatches == 2
    assert [made[profile].iterations for profile in TrainingProfile] == [8, 16, 16, 16]
    with pytest.raises(ValueError, match="unknown setting 'epoch' of TrainingConfig; did you mean 'epochs'"):
        TrainingConfig.from_profile("balanced", epoch=2)


def test_tasks_and_models_have_settings_of_their_own():
    assert get_config_for_task("tool_use").max_new_tokens > get_config_for_task("customer_service").max_new_tokens
    assert get_config_for_task("sales", "some/model").lora is not None
    assert get_config_for_task("sales", iterations=3).iterations == 3
    with pytest.raises(ValueError, match="no settings for the task 'sale'; did you mean 'sales'"):
        get_config_for_task("sale")


def test_changes_go_to_the_algorithm_or_to_the_engine():
    recipe = PPOConfig.from_training_config(TrainingConfig(), clip=0.1, epochs=3, num_episodes=128)
    assert (recipe.config.clip, recipe.training.epochs, recipe.training.iterations) == (0.1, 3, 2)
    with pytest.raises(ValueError, match="unknown setting 'clap'"):
        GRPOConfig.from_training_config(TrainingConfig(), clap=0.1)


# --- callbacks -----------------------------------------------------------------------------------


def trainer_of(folder, **changes):
    training = TrainingConfig(iterations=5, max_new_tokens=4, eval_every=1, eval_episodes=4, **SMALL, **changes)
    return Trainer(ENV, folder, make_algorithm("grpo", {}), training)


def test_callbacks_are_told_and_may_end_the_run(folder, tmp_path):
    trainer, seen = trainer_of(folder, output_dir=str(tmp_path)), []
    trainer.train([lambda trainer, metrics: seen.append(metrics["return"]), lambda trainer, _: trainer.iteration == 2])
    assert len(seen) == trainer.iteration == 2
    assert Trainer.resume(tmp_path / "checkpoint").iteration == 2


def test_the_best_is_kept(folder, tmp_path):
    trainer, keep = trainer_of(folder), KeepBest(tmp_path / "best", "eval/return")
    trainer.train([keep])
    assert 1 <= keep.iteration <= 5 and Trainer.resume(tmp_path / "best").iteration == keep.iteration
    keep(trainer, {"other": 9.0})
    keep(trainer, {"eval/return": keep.best})
    again = KeepBest(tmp_path / "best", "eval/return")
    assert (again.best, again.iteration) == (keep.best, keep.iteration)
    again(trainer, {"eval/return": keep.best - 0.01})
    assert Trainer.resume(tmp_path / "best").iteration == keep.iteration


def test_a_run_that_gets_worse_is_ended():
    stop = StopOnRegression(margin=0.1, patience=2)
    values = [0.5, 0.8, 0.75, 0.6, None, 0.71, 0.6, 0.65]
    run = SimpleNamespace(training=TrainingConfig(eval_every=1))
    told = [stop(run, {} if value is None else {"eval/success": value}) for value in values]
    assert told == [False] * 7 + [True]
    with pytest.raises(ValueError, match="patience at least 1"):
        StopOnRegression(patience=0)
    with pytest.raises(ValueError, match="set eval_every"):
        stop(SimpleNamespace(training=TrainingConfig()), {})
