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
from ss_trainers import Trainer, TrainingConfig
from ss_trainers.algorithms.registry import ALGORITHMS, make_algorithm
from ss_trainers.checkpoint import read_settings
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ENV = register()
SMALL = TrainingConfig(iterations=4, groups_per_iteration=3, group_size=4, max_new_tokens=4, learning_rate=1e-2)
# What a run of a few iterations should not leave out.
SETTINGS = {
    "gepo": {"kl_coefficient": 0.01},
    "ppo": {"kl_coefficient": 0.05, "kl_target": 0.01, "level": "turn"},
    "rejection_sampling": {"keep": "best"},
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
    metrics += [whole.step(), whole.step()]
    whole.save(tmp_path / "whole")
    resumed = Trainer.resume(tmp_path / "half")
    assert resumed.iteration == 2 and resumed.algorithm.config == whole.algorithm.config
    resumed.step()
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


def test_two_processes_share_a_critic_and_its_scores(folder, tmp_path):
    results = []
    for workers in (1, 2):
        trainer = made("ppo", folder, replace(SMALL, workers=workers))
        metrics = trainer.step()
        trainer.save(tmp_path / str(workers))
        results.append(metrics)
        trainer.close()
    for metrics in results:
        assert metrics["logprob_difference"] < 1e-4 and abs(metrics["kl_reference"]) < 1e-4
        assert metrics["gradient_norm_critic"] > 0
    moved = weights(tmp_path / "2")
    assert any(name.startswith("critic.value") and value.any() for name, value in moved.items())


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


def test_dynamic_sampling_tells_its_rounds(folder):
    metrics = made("dapo", folder, settings={"sampling_rounds": 3}).step()
    assert 1 <= metrics["sampling_rounds"] <= 3


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


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "shuffled"])
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


KILLED = """
import sys
from dataclasses import replace
from tests.ss_trainers.test_trainers import SMALL, made
name, model, out = sys.argv[1:]
made(name, model, replace(SMALL, iterations=30, save_every=1, output_dir=out)).train()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_after_a_kill_the_run_goes_on_to_the_same_weights(name, folder, tmp_path):
    training = replace(SMALL, iterations=30)
    whole = made(name, folder, replace(training, output_dir=str(tmp_path / "whole")))
    whole.train()
    command = [sys.executable, "-c", KILLED, name, folder, str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], env={**os.environ, "OMP_NUM_THREADS": "1"})
    checkpoint, deadline = tmp_path / "run" / "checkpoint", time.monotonic() + 120
    while not checkpoint.is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2 + 0.05 * len(name))  # somewhere in a later iteration
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it was killed"
    assert 0 < Trainer.resume(checkpoint).iteration < 30
    Trainer.resume(checkpoint).train()
    assert read_settings(checkpoint)["algorithm"] == name
    assert_same(weights(tmp_path / "whole" / "checkpoint"), weights(checkpoint))
