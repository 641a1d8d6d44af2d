import asyncio
import json
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ss_gym.agents import load_agent_from_checkpoint
from ss_gym.agents.checkpoint import CheckpointError, read_manifest
from ss_trainers import Episode, GRPOConfig, GRPOTrainer, LoraSettings, TrainingConfig
from ss_trainers.backends.models import lasting_location, load_model
from ss_trainers.checkpoint import read_state
from ss_trainers.rollout import EpisodesFailedError
from ss_trainers.sampling import training_episodes
from tests.ss_trainers.another_process import AnotherProcess
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import SayTheLetter, register

ENV = register()
SMALL = TrainingConfig(
    iterations=4, groups_per_iteration=2, group_size=4, max_new_tokens=4, learning_rate=1e-2, eval_episodes=8
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def weights(trainer_or_folder):
    if isinstance(trainer_or_folder, GRPOTrainer):
        return {
            name: value.detach().clone()
            for name, value in trainer_or_folder.agent().backend.loaded.model.named_parameters()
        }
    return load_file(Path(trainer_or_folder) / "model.safetensors")


def assert_same_weights(one, other):
    torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_training_improves_on_a_task_that_can_be_learned(folder):
    training = replace(
        SMALL, iterations=30, groups_per_iteration=4, group_size=8, learning_rate=2e-2, schedule="constant"
    )
    trainer = GRPOTrainer(ENV, folder, training=training)
    episodes = [Episode(seed) for seed in range(1000, 1064)]
    before = trainer.evaluate(episodes).metrics["return"]
    trainer.train()
    after = trainer.evaluate(episodes).metrics["return"]
    assert before < 0.1 and after > 0.35


def test_an_iteration_reports_what_happened(folder):
    trainer = GRPOTrainer(ENV, folder, training=SMALL)
    metrics = trainer.step()
    assert trainer.iteration == 1
    assert metrics["logprob_difference"] < 1e-4 and metrics["ratio_mean"] == pytest.approx(1, abs=1e-4)
    assert metrics["gradient_norm"] > 0 and metrics["learning_rate"] == 1e-2
    expected = "return success truncated steps tokens tool_calls tool_errors entropy clip_low clip_high policy_loss "
    expected += "groups_without_variance dropped_episodes nonfinite_episodes tokens_per_second/rollout seconds/update"
    assert set(expected.split()) <= set(metrics)
    assert all(isinstance(value, float | int) for value in metrics.values())


def test_the_way_a_batch_is_split_does_not_change_the_gradient(folder):
    # The gradient, not the weights: AdamW's first step is the gradient's sign, so it would turn the
    # rounding of an element near zero into a whole step.
    def gradient(micro_batch_tokens):
        trainer = GRPOTrainer(ENV, folder, training=replace(SMALL, micro_batch_tokens=micro_batch_tokens))
        trainer.step()
        return torch.cat([parameter.grad.flatten() for parameter in trainer._parameters])

    small, whole = gradient(40), gradient(100_000)
    assert whole.norm() > 0
    assert (small - whole).norm() / whole.norm() < 1e-5


def test_several_epochs_move_away_from_the_sampler(folder):
    metrics = GRPOTrainer(ENV, folder, training=replace(SMALL, epochs=3)).step()
    # What trainer and sampler disagree about is measured before the first step.
    assert metrics["logprob_difference"] < 1e-4 and metrics["ratio_max"] - metrics["ratio_min"] > 1e-2


def test_evaluation_does_not_disturb_training(folder):
    def trained(evaluates):
        trainer = GRPOTrainer(ENV, folder, training=SMALL)
        for _ in range(2):
            if evaluates:
                trainer.evaluate(temperature=0.0)
            trainer.step()
        return weights(trainer)

    assert_same_weights(trained(True), trained(False))


def test_evaluation_plays_the_same_episodes_each_time(folder):
    trainer = GRPOTrainer(ENV, folder, training=SMALL)
    greedy = [trainer.evaluate(temperature=0.0).trajectories for _ in range(2)]
    assert greedy[0] == greedy[1] and len(greedy[0]) == 8


def test_a_run_leaves_metrics_and_a_checkpoint(folder, tmp_path):
    training = replace(SMALL, eval_every=2, save_every=3, output_dir=str(tmp_path / "run"))
    trainer = GRPOTrainer(ENV, folder, training=training)
    last = trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
    assert ["eval/return" in line for line in lines] == [False, True, False, True]
    assert last["return"] == lines[-1]["return"]
    manifest = read_manifest(tmp_path / "run/checkpoint")
    assert manifest.provenance["iteration"] == 4 and manifest.provenance["base_model"] == folder
    assert_same_weights(
        dict(weights(tmp_path / "run/checkpoint")),
        {name: value for name, value in weights(trainer).items() if name != "lm_head.weight"},
    )


def test_a_checkpoint_is_an_agent_and_a_plain_transformers_folder(folder, tmp_path):
    trainer = GRPOTrainer(ENV, folder, training=SMALL)
    trainer.step()
    trainer.save(tmp_path / "agent")
    agent = asyncio.run(load_agent_from_checkpoint(tmp_path / "agent"))
    assert agent.config.max_new_tokens == 4
    ids = torch.tensor([[4, 5, 6]])
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "agent")
    torch.testing.assert_close(plain(ids).logits, agent.backend.loaded.model(ids).logits, atol=0, rtol=0)


def test_a_resumed_run_has_the_weights_of_one_that_was_not_interrupted(folder, tmp_path):
    whole = GRPOTrainer(ENV, folder, training=SMALL)
    whole.train()
    first = GRPOTrainer(ENV, folder, training=SMALL)
    first.step()
    first.step()
    first.save(tmp_path / "checkpoint")
    second = GRPOTrainer.resume(tmp_path / "checkpoint")
    assert second.iteration == 2 and second.training == SMALL
    second.train()
    assert_same_weights(weights(whole), weights(second))


def test_an_environment_that_is_a_function_is_given_again_on_resume(folder, tmp_path):
    trainer = GRPOTrainer(SayTheLetter, folder, training=SMALL)
    trainer.save(tmp_path)
    with pytest.raises(CheckpointError, match="does not name its environment"):
        GRPOTrainer.resume(tmp_path)
    resumed = GRPOTrainer.resume(tmp_path, env=SayTheLetter, training={"iterations": 9})
    assert resumed.training.iterations == 9
    with pytest.raises(ValueError, match="did you mean 'iterations'"):
        GRPOTrainer.resume(tmp_path, env=SayTheLetter, training={"iteration": 9})


MODULE = """
import gymnasium
from tests.ss_trainers.toy_env import SayTheLetter
gymnasium.register("Mine/SayTheLetter-v0", entry_point=SayTheLetter)
"""


def test_an_environment_named_with_its_module_is_named_again_to_a_process_that_resumes(folder, tmp_path, monkeypatch):
    (tmp_path / "my_letters.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    GRPOTrainer("my_letters:Mine/SayTheLetter-v0", folder, training=SMALL).save(tmp_path / "checkpoint")
    code, errors = AnotherProcess(tmp_path / "errors", resume_there, str(tmp_path / "checkpoint")).ended()
    assert code == 0, errors


def resume_there(checkpoint):
    assert len(GRPOTrainer.resume(checkpoint, env="my_letters:Mine/SayTheLetter-v0").step()) > 10


def test_the_keywords_of_a_spec_come_back_on_resume(folder, tmp_path):
    spec = replace(gym.spec(ENV), kwargs={"raise_on": [7]})
    GRPOTrainer(spec, folder, training=SMALL).save(tmp_path)
    resumed = GRPOTrainer.resume(tmp_path)
    assert len(resumed.evaluate([Episode(7), Episode(8)]).dropped) == 1
    # Keywords beside the spec go before its own, and another spec brings its own.
    GRPOTrainer(spec, folder, training=SMALL, env_kwargs={"raise_on": [8, 7]}).save(tmp_path)
    assert len(GRPOTrainer.resume(tmp_path).evaluate([Episode(7), Episode(8), Episode(9)]).dropped) == 2
    other = GRPOTrainer.resume(tmp_path, env=replace(spec, kwargs={}))
    assert other.evaluate([Episode(7), Episode(8)]).dropped == ()


@pytest.mark.parametrize("change", ["limit", "keyword"])
def test_a_spec_that_its_id_does_not_stand_for_is_given_again_on_resume(folder, tmp_path, change):
    spec = {
        "limit": replace(gym.spec(ENV), max_episode_steps=1),
        "keyword": replace(gym.spec(ENV), kwargs={"raise_on": {1}}),
    }[change]
    GRPOTrainer(spec, folder, training=SMALL).save(tmp_path)
    with pytest.raises(CheckpointError, match="does not name its environment"):
        GRPOTrainer.resume(tmp_path)
    assert GRPOTrainer.resume(tmp_path, env=spec).evaluate([Episode(2)]).dropped == ()
    # What gym.make gives out is the plain one.
    GRPOTrainer(gym.make(ENV).spec, folder, training=SMALL).save(tmp_path)
    assert GRPOTrainer.resume(tmp_path).iteration == 0


def test_adapters_on_a_folder_given_by_a_relative_path_are_loaded_from_anywhere(tmp_path, monkeypatch):
    save_tiny(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    trainer = GRPOTrainer(ENV, "base", training=replace(SMALL, lora=LoraSettings(rank=2)))
    trainer.save("checkpoint")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    load_model("../checkpoint")
    assert GRPOTrainer.resume("../checkpoint").step()
    adapter = json.loads((tmp_path / "checkpoint/adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(tmp_path / "base")


def test_a_folder_does_not_take_the_name_of_a_model_that_comes_with_us(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert (lasting_location("tiny"), lasting_location("no/such")) == ("tiny", "no/such")


def test_missing_and_damaged_checkpoints_are_named(folder, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        GRPOTrainer.resume(tmp_path / "nowhere")
    trainer = GRPOTrainer(ENV, folder, training=SMALL)
    trainer.save(tmp_path / "run")
    file = tmp_path / "run/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(CheckpointError, match="damaged"):
        GRPOTrainer.resume(tmp_path / "run")


def test_adapters_are_trained_saved_and_resumed_while_the_model_stays(folder, tmp_path):
    training = replace(SMALL, lora=LoraSettings(rank=2))
    whole = GRPOTrainer(ENV, folder, training=training)
    before = weights(whole)
    whole.train()
    after = weights(whole)
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed and all("lora_" in name for name in changed)
    first = GRPOTrainer(ENV, folder, training=training)
    first.step()
    first.save(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").exists() and not (tmp_path / "model.safetensors").exists()
    second = GRPOTrainer.resume(tmp_path)
    second.train()
    assert_same_weights(after, weights(second))


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2)])
def test_a_run_that_begins_with_trained_adapters_keeps_them(folder, tmp_path, lora):
    first = GRPOTrainer(ENV, folder, training=replace(SMALL, lora=LoraSettings(rank=2)))
    first.step()
    first.save(tmp_path / "first")
    begun = load_model(str(tmp_path / "first")).model
    second = GRPOTrainer(ENV, str(tmp_path / "first"), GRPOConfig(kl_coefficient=0.1), replace(SMALL, lora=lora))
    assert second.step()["kl"] == pytest.approx(0, abs=1e-6)
    second.save(tmp_path / "second")
    loaded = load_model(str(tmp_path / "second")).model
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        trained = second.agent().backend.loaded.model(ids).logits
        torch.testing.assert_close(loaded(ids).logits, trained, atol=1e-5, rtol=0)
        assert (begun(ids).logits - trained).abs().max() > 1e-4
    resumed = GRPOTrainer.resume(tmp_path / "second")
    assert_same_weights(weights(second), weights(resumed))


def test_an_environment_can_be_named_with_the_module_that_registers_it(folder):
    trainer = GRPOTrainer(f"tests.ss_trainers.toy_env:{ENV}", folder, training=SMALL)
    assert trainer.evaluate([Episode(0)]).dropped == ()


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2)])
def test_divergence_from_the_model_that_training_began_with(folder, tmp_path, lora):
    training = replace(SMALL, lora=lora)
    trainer = GRPOTrainer(ENV, folder, GRPOConfig(kl_coefficient=0.1), training)
    divergences = [trainer.step()["kl"] for _ in range(3)]
    assert divergences[0] == pytest.approx(0, abs=1e-6) and divergences[2] > 1e-5
    trainer.save(tmp_path)
    resumed = GRPOTrainer.resume(tmp_path)
    assert resumed.step()["kl"] == pytest.approx(trainer.step()["kl"], abs=1e-9)


def test_episodes_that_an_environment_breaks_off_are_dropped_and_counted(folder, caplog):
    caplog.set_level(logging.ERROR)
    seed = training_episodes(0, SMALL)[0].seed
    broken = GRPOTrainer(lambda: SayTheLetter(raise_on=(seed,)), folder, training=SMALL)
    metrics = broken.step()
    assert metrics["dropped_episodes"] == 4 and "return" in metrics
    assert broken.iteration == 1


def test_an_iteration_in_which_every_episode_broke_off_ends_the_run_with_the_reason(folder, tmp_path, caplog):
    class Strict(SayTheLetter):
        def reset(self, *, seed=None, options=None):
            if options:
                raise ValueError(f"unknown option {list(options)}")
            return super().reset(seed=seed)

    caplog.set_level(logging.ERROR)
    training = replace(SMALL, train_options={"splt": "dev"}, output_dir=str(tmp_path / "run"))
    trainer = GRPOTrainer(Strict, folder, training=training)
    with pytest.raises(
        EpisodesFailedError,
        match=r"in all 8 episodes of iteration 1, the first: .*ValueError: unknown option \['splt'\]",
    ):
        trainer.train()
    assert trainer.iteration == 0 and not (tmp_path / "run/checkpoint").exists()


def test_rewards_that_are_no_numbers_are_dropped_and_counted(folder):
    class Undefined(SayTheLetter):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, float("nan") if self._seed % 2 else reward, *rest

    trainer = GRPOTrainer(Undefined, folder, training=replace(SMALL, groups_per_iteration=6))
    metrics = trainer.step()
    assert 0 < metrics["nonfinite_episodes"] < 24
    assert all(value.isfinite().all() for value in weights(trainer).values())


def test_groups_of_one_or_of_equal_rewards_change_nothing(folder):
    trainer = GRPOTrainer(ENV, folder, training=replace(SMALL, group_size=1))
    before = weights(trainer)
    metrics = trainer.step()
    assert metrics["groups_without_variance"] == 1
    assert_same_weights(before, weights(trainer))


def test_an_unknown_environment_and_model_are_named(folder):
    with pytest.raises(gym.error.Error, match="Nowhere"):
        GRPOTrainer("Nowhere-v0", folder)
    with pytest.raises(FileNotFoundError, match="no model '/nowhere'"):
        GRPOTrainer(ENV, "/nowhere")


class Killer(SayTheLetter):
    """Ends the process at so many resets of its environments."""

    left = 0

    def reset(self, **arguments):
        Killer.left -= 1
        if Killer.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reset(**arguments)


def train_there(folder, out, iterations, killed_at=0):
    Killer.left = killed_at
    GRPOTrainer(Killer, folder, training=replace(SMALL, save_every=1, output_dir=out, iterations=iterations)).train()


def test_killed_in_the_middle_and_resumed_the_weights_are_the_same(folder, tmp_path):
    whole = GRPOTrainer(SayTheLetter, folder, training=SMALL)
    whole.train()
    # The 20th of 8 episodes an iteration: the third iteration, after two checkpoints.
    code, errors = AnotherProcess(tmp_path / "errors", train_there, folder, str(tmp_path), 4, 20).ended()
    assert code == -signal.SIGKILL, errors
    resumed = GRPOTrainer.resume(tmp_path / "checkpoint", env=SayTheLetter)
    assert resumed.iteration == 2
    resumed.train()
    assert_same_weights(weights(whole), weights(resumed))
    lines = [json.loads(line)["iteration"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [1, 2, 3, 4]


def test_ctrl_c_during_an_evaluation_loses_nothing_of_the_iteration(folder, tmp_path):
    class Interrupted(SayTheLetter):
        def reset(self, *, seed=None, options=None):
            if options:
                raise KeyboardInterrupt
            return super().reset(seed=seed)

    training = replace(SMALL, iterations=3, eval_every=2, eval_options={"stop": True}, output_dir=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        GRPOTrainer(Interrupted, folder, training=training).train()
    assert read_state(tmp_path / "checkpoint").iteration == 2
    GRPOTrainer.resume(tmp_path / "checkpoint", env=Interrupted).train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3]
    assert all("return" in line and "seconds/update" in line for line in lines)


@pytest.mark.parametrize("eval_every", [0, 1])
def test_ctrl_c_during_an_update_ends_the_run_with_the_iteration_reported(folder, tmp_path, monkeypatch, eval_every):
    trainer = GRPOTrainer(ENV, folder, training=replace(SMALL, eval_every=eval_every, output_dir=str(tmp_path)))
    take_step = trainer._optimizer.step

    def interrupted_step():
        os.kill(os.getpid(), signal.SIGINT)
        take_step()

    monkeypatch.setattr(trainer._optimizer, "step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    (line,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert line["iteration"] == read_state(tmp_path / "checkpoint").iteration == 1
    assert "return" in line and "seconds/update" in line


def test_ctrl_c_saves_a_checkpoint_to_go_on_from(folder, tmp_path):
    process = AnotherProcess(tmp_path / "errors", train_there, folder, str(tmp_path), 100_000)
    process.wait_for(tmp_path / "checkpoint")
    process.interrupt()
    code, errors = process.ended()
    assert code != 0 and errors.rstrip().endswith("KeyboardInterrupt"), errors
    reported = len((tmp_path / "metrics.jsonl").read_text().splitlines())
    state = read_state(tmp_path / "checkpoint")
    assert state.iteration == reported
    trainer = GRPOTrainer.resume(tmp_path / "checkpoint", env=SayTheLetter, training={"output_dir": None})
    whole = GRPOTrainer(SayTheLetter, folder, training=trainer.training)
    while whole.iteration < trainer.iteration:
        whole.step()
    assert_same_weights(weights(whole), weights(trainer))
