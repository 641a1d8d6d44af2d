"""Every algorithm in the loop: it runs, tells what happened, and a resumed run is the run that went on."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ss_trainers
from ss_gym.agents.checkpoint import CheckpointError, read_manifest
from ss_trainers import LoraSettings, Trainer, TrainingConfig
from ss_trainers.algorithms.registry import ALGORITHMS, make_algorithm
from ss_trainers.checkpoint import read_settings
from ss_trainers.collate import split_by_length
from ss_trainers.sampling import training_episodes
from ss_trainers.types import BatchCounts
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ENV = register()
SMALL = TrainingConfig(iterations=4, groups_per_iteration=2, group_size=4, max_new_tokens=4, learning_rate=1e-2)
# What a run of a few iterations should not leave out.
SETTINGS = {
    "behavior_cloning": {"demonstrator": "tests.ss_trainers.toy_env:Obliging"},
    "gepo": {"kl_coefficient": 0.01},
    "offline_grpo": {"online_ratio": 1.0},  # there is no log here
    "ppo": {"kl_coefficient": 0.05, "kl_target": 0.01, "level": "turn"},
    "rejection_sampling": {"keep": "best"},
    "rlaif": {"judge": "tests.ss_trainers.algorithms.test_rlaif:LIKES_A"},
    "shuffled": {"algorithm": "rloo"},
    "vapo": {"critic_iterations": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def made(name, folder, training=SMALL, settings=None):
    chosen = SETTINGS.get(name, {}) if settings is None else settings
    # A new model succeeds too seldom for dynamic sampling: without successes, returns tell attempts apart.
    kwargs = {"tells_success": name != "dapo"}
    return Trainer(ENV, folder, make_algorithm(name, chosen), training, env_kwargs=kwargs)


def weights(path):
    found = {f"policy.{name}": value for name, value in load_file(path / "model.safetensors").items()}
    critic = path / "critic.safetensors"
    if critic.exists():
        found |= {f"critic.{name}": value for name, value in load_file(critic).items()}
    return found


def assert_same(one, other):
    assert set(one) == set(other)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_resumed_run_is_the_run_that_went_on(name, folder, tmp_path):
    training = replace(SMALL, epochs=2, minibatches=2)
    whole = made(name, folder, training)
    before = weights_of(whole)
    metrics = [whole.step() for _ in range(2)]
    whole.save(tmp_path / "half")
    metrics.append(whole.step())
    whole.save(tmp_path / "whole")
    resumed = Trainer.resume(tmp_path / "half")
    assert resumed.iteration == 2 and resumed.algorithm.config == whole.algorithm.config
    resumed.step()
    resumed.save(tmp_path / "resumed")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))
    assert resumed.algorithm.state() == whole.algorithm.state()
    assert any(not torch.equal(before[key], value) for key, value in weights_of(whole).items())
    assert all(torch.isfinite(torch.tensor(list(each.values()))).all() for each in metrics)
    assert read_manifest(tmp_path / "whole").provenance["algorithm"] == name


def weights_of(trainer):
    return {name: value.detach().clone() for name, value in trainer.agent().backend.loaded.model.named_parameters()}


def test_a_critic_that_learns_alone_leaves_the_policy_as_it_is(folder, tmp_path):
    trainer = made("vapo", folder, replace(SMALL, weight_decay=0.1), {"critic_iterations": 1})
    before = weights_of(trainer)
    trainer.save(tmp_path / "begin")
    metrics = trainer.step()
    assert_same(before, weights_of(trainer))
    trainer.save(tmp_path / "end")
    moved = [
        name
        for name, value in weights(tmp_path / "end").items()
        if not torch.equal(value, weights(tmp_path / "begin")[name])
    ]
    assert moved and all(name.startswith("critic.") for name in moved)
    assert metrics["value_loss"] > 0 and "policy_loss" not in metrics and "gradient_norm" not in metrics
    metrics = trainer.step()
    assert {"policy_loss", "value_loss", "gradient_norm", "gradient_norm_critic", "explained_variance"} <= set(metrics)


def test_a_critic_comes_to_foresee_the_return(folder):
    training = replace(SMALL, iterations=12, groups_per_iteration=8, epochs=4, schedule="constant")
    trainer = made("ppo", folder, training, {"critic_iterations": 99, "value_clip": None, "gae_lambda": 1.0})
    losses = [trainer.step()["value_loss"] for _ in range(12)]
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])


@pytest.mark.parametrize("critic_only", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_have_the_gradient_and_the_scores_of_one(critic_only, folder):
    trainer = made("ppo", folder, replace(SMALL, workers=2))
    workers = trainer._running()
    batch = trainer._batch(trainer.evaluate(training_episodes(0, SMALL)).trajectories, {})
    parts, gradients = split_by_length(batch, 100), []
    for engine in (workers, workers.engine):
        for parameter in workers.engine.trainable:
            parameter.grad = None
        engine.accumulate(parts, BatchCounts.of(batch), 1.0, critic_only)
        gradients.append(
            [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in workers.engine.trainable]
        )
    wanted = ("values", "reference_logprobs")
    scores = [engine.score(parts, 1.0, wanted) for engine in (workers, workers.engine)]
    policy = sum(one.requires_grad for one in trainer._loaded.model.parameters())
    trainer.close()
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(scores[0], scores[1])
    assert max(float(one.abs().max()) for one in gradients[0][policy:]) > 1e-3
    assert bool(max(float(one.abs().max()) for one in gradients[0][:policy]) > 1e-4) is not critic_only


def test_settings_of_the_optimizer_may_change_where_a_run_goes_on(folder, tmp_path):
    trainer = made("ppo", folder)
    trainer.step()
    trainer.save(tmp_path)
    changes = {"weight_decay": 0.5, "critic_learning_rate": 5e-2, "learning_rate": 1e-3, "schedule": "constant"}
    resumed = Trainer.resume(tmp_path, training=changes)
    resumed.step()
    groups = [(group["weight_decay"], pytest.approx(group["lr"])) for group in resumed._optimizer.param_groups]
    assert groups == [(0.5, 1e-3), (0.0, 1e-3), (0.5, 5e-2), (0.0, 5e-2)]


def test_the_model_that_a_run_began_with_is_not_replaced(folder, tmp_path):
    trainer = made("grpo", folder)
    with pytest.raises(CheckpointError, match="holds the model that this run began with"):
        trainer.save(folder)
    trainer.save(tmp_path / "run" / "checkpoint")
    with pytest.raises(CheckpointError, match="holds the model that this run began with"):
        made("grpo", str(tmp_path / "run" / "checkpoint"), replace(SMALL, output_dir=str(tmp_path / "run")))


def test_a_recipe_holds_both_settings(folder):
    recipe = ss_trainers.RLOOConfig.from_training_config(SMALL, clip_low=0.1, epochs=2)
    trainer = ss_trainers.RLOOTrainer(ENV, folder, recipe)
    assert (trainer.algorithm.config.clip_low, trainer.training.epochs) == (0.1, 2)


def test_adapters_have_a_critic_beside_them_and_are_resumed(folder, tmp_path):
    training = replace(SMALL, lora=LoraSettings(rank=2), precision="bfloat16", mismatch="mask")
    whole = made("ppo", folder, training)
    whole.step()
    whole.save(tmp_path / "half")
    whole.step()
    resumed = Trainer.resume(tmp_path / "half")
    resumed.step()
    for one, other in zip(whole._running().engine.trainable, resumed._running().engine.trainable, strict=True):
        assert torch.equal(one, other)


def test_the_reference_is_scored_before_the_update(folder):
    trainer = made("grpo", folder, settings={"kl_coefficient": 0.5})
    assert trainer.step()["kl_reference"] == pytest.approx(0.0, abs=1e-5)
    assert abs(trainer.step()["kl_reference"]) > 1e-5


@pytest.mark.parametrize("mismatch", ["truncate", "mask"])
def test_where_trainer_and_sampler_agree_the_correction_changes_nothing(mismatch, folder):
    plain = made("grpo", folder)
    corrected = made("grpo", folder, replace(SMALL, mismatch=mismatch))
    plain.step()
    metrics = corrected.step()
    assert metrics["mismatch_weight"] == pytest.approx(1.0, abs=1e-4)
    assert metrics["effective_sample_share"] == pytest.approx(1.0, abs=1e-4)
    for name, value in weights_of(plain).items():
        # AdamW's first step is the sign of the gradient, so that rounding can make a whole step of it.
        off = (value - weights_of(corrected)[name]).abs() > 1e-4
        assert off.float().mean() < 0.01


def test_in_half_precision_sampler_and_trainer_nearly_agree(folder):
    trainer = made("ppo", folder, replace(SMALL, precision="bfloat16", mismatch="truncate"))
    before = weights_of(trainer)
    metrics = trainer.step()
    assert 0 < metrics["logprob_difference"] < 0.05 and 0.99 < metrics["effective_sample_share"] < 1
    after = weights_of(trainer)
    assert all(value.dtype == torch.float32 for value in after.values())
    assert any(not torch.equal(before[name], value) for name, value in after.items())


def test_dynamic_sampling_tells_its_rounds_and_what_had_no_return(folder):
    trainer = Trainer(ENV, folder, make_algorithm("dapo", {"sampling_rounds": 3}), SMALL)
    # Hardly any reply of a new model succeeds, so that no scenario tells attempts apart.
    metrics = trainer.step()
    assert metrics["sampling_rounds"] == 3 and metrics["nonfinite_episodes"] == 0


def test_minibatches_are_steps_of_their_own(folder):
    whole, parts = made("grpo", folder), made("grpo", folder, replace(SMALL, minibatches=3))
    assert whole.step()["ratio_max"] == pytest.approx(1.0, abs=1e-4)
    assert parts.step()["ratio_max"] > 1.001


def test_the_critic_learns_at_its_own_rate(folder):
    trainer = made("ppo", folder, replace(SMALL, critic_learning_rate=3e-2, schedule="linear"))
    trainer.step()
    trainer.step()
    rates = [group["lr"] for group in trainer._optimizer.param_groups]
    assert rates == pytest.approx([0.75e-2] * 2 + [2.25e-2] * 2)


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name not in ("offline_grpo", "shuffled")])
def test_every_algorithm_has_a_trainer_of_its_name(name, folder, tmp_path):
    trainers = [getattr(ss_trainers, each) for each in ss_trainers.__all__ if each.endswith("Trainer")]
    found = {getattr(each, "algorithm_name", None): each for each in trainers}
    trainer = found[name](ENV, folder, training=SMALL)
    assert trainer.algorithm.name == name
    trainer.save(tmp_path)
    assert type(found[name].resume(tmp_path)) is found[name]
    other = found["rloo" if name != "rloo" else "grpo"]
    with pytest.raises(CheckpointError, match=f"was made by {name}, not by"):
        other.resume(tmp_path)


def test_a_checkpoint_of_an_unknown_algorithm_is_named(folder, tmp_path):
    made("grpo", folder).save(tmp_path)
    path = tmp_path / "trainer.json"
    path.write_text(path.read_text().replace('"algorithm": "grpo"', '"algorithm": "grop"'))
    with pytest.raises(CheckpointError, match=r"no algorithm 'grop'; did you mean 'grpo'"):
        Trainer.resume(tmp_path)


def test_a_checkpoint_without_its_critic_is_named(folder, tmp_path):
    made("ppo", folder).save(tmp_path)
    (tmp_path / "critic.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"critic\.safetensors"):
        Trainer.resume(tmp_path)


LONG = 120  # iterations, so that a run is not over before it is killed
KILLED = """
import sys
from dataclasses import replace
from tests.ss_trainers.test_trainers import LONG, SMALL, made
name, lag, model, out = sys.argv[1:]
training = replace(SMALL, iterations=LONG, save_every=1, output_dir=out, rollout_lag=int(lag))
made(name, model, training).train()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lag"), [*((name, 0) for name in ALGORITHMS), ("grpo", 1), ("dapo", 2), ("ppo", 3)])
def test_after_a_kill_the_run_goes_on_to_the_same_weights(name, lag, folder, tmp_path):
    training = replace(SMALL, iterations=LONG, rollout_lag=lag)
    whole = made(name, folder, replace(training, output_dir=str(tmp_path / "whole")))
    whole.train()
    command = [sys.executable, "-c", KILLED, name, str(lag), folder, str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"})
    checkpoint, deadline = tmp_path / "run" / "checkpoint", time.monotonic() + 120
    while not checkpoint.is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2 + 0.05 * len(name))  # somewhere in a later iteration
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it was killed"
    assert 0 < Trainer.resume(checkpoint).iteration < LONG
    Trainer.resume(checkpoint).train()
    assert read_settings(checkpoint)["algorithm"] == name
    assert_same(weights(tmp_path / "whole" / "checkpoint"), weights(checkpoint))
