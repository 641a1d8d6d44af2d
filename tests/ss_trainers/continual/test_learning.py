"""Tasks one after the other in the online loop, and what keeps the earlier ones."""

import asyncio
import json
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from ss_gym import AgentConfig, MultiTurnAgent
from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers import (
    BehaviorCloningConfig,
    ContinualConfig,
    GRPOConfig,
    GRPOTrainer,
    LoraSettings,
    PPOTrainer,
    Trainer,
    TrainingConfig,
    train,
)
from ss_trainers.trainers import BehaviorCloningTrainer
from tests.ss_trainers.continual.letters import OneLetter, register
from tests.ss_trainers.tiny_model import save_tiny

ENV = register()
TASKS = ("a", "b", "c")
SMALL = TrainingConfig(
    iterations=6, groups_per_iteration=2, group_size=4, max_new_tokens=4, learning_rate=2e-2, eval_episodes=6
)
EVERYTHING = ContinualConfig(
    continual_strategy="replay_lwf_ewc",
    continual_kl_beta=0.5,
    replay_buffer_size=8,
    replay_ratio=0.5,
    ewc_lambda=5.0,
    ewc_episodes=4,
    task_schedule=TASKS,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def weights(trainer):
    return torch.cat([each.detach().flatten() for each in trainer.agent().backend.loaded.model.parameters()])


def lines_of(trainer):
    """The metrics of each iteration that is left."""
    lines = []
    trainer.train([lambda _, metrics: lines.append(dict(metrics))])
    trainer.close()
    return lines


def test_each_iteration_plays_its_task_and_each_task_is_measured_after_each(folder) -> None:
    trainer = GRPOTrainer(ENV, folder, training=SMALL, continual=ContinualConfig(task_schedule=TASKS))
    lines = lines_of(trainer)
    assert [line["task"] for line in lines] == [0, 0, 1, 1, 2, 2]
    measured = [sorted(name for name in line if name.startswith("continual/")) for line in lines]
    of_tasks = [f"continual/success/{task}" for task in TASKS]
    figures = [f"continual/{name}" for name in ("average_accuracy", "backward_transfer", "forgetting")]
    assert measured[:5] == [[], of_tasks, [], of_tasks, []]
    assert measured[5] == sorted([*of_tasks, *figures, "continual/forward_transfer"])
    told = trainer.continual.accuracies
    assert (len(told.untrained), [len(row) for row in told.rows]) == (3, [3, 3, 3])


def test_a_schedule_alone_changes_nothing_but_what_is_played(folder) -> None:
    scheduled = GRPOTrainer(ENV, folder, training=SMALL, continual=ContinualConfig(task_schedule=("b",)))
    asked = GRPOTrainer(ENV, folder, training=replace(SMALL, train_options={"task": "b"}))
    scheduled.train()
    asked.train()
    assert torch.equal(weights(scheduled), weights(asked))


@pytest.mark.parametrize("strategy", ["replay", "lwf", "ewc", "replay_lwf_ewc"])
def test_each_strategy_holds_from_the_second_task_on(folder, strategy) -> None:
    # Large enough that no iteration is without attempts that differ.
    config, training = replace(EVERYTHING, continual_strategy=strategy), replace(SMALL, group_size=16)
    lines = lines_of(GRPOTrainer(ENV, folder, training=training, continual=config))
    for name, part in (("logged/effective_sample_share", "replay"), ("lwf_loss", "lwf"), ("ewc_penalty", "ewc")):
        found = [name in line for line in lines]
        assert not any(found[:2])
        assert any(found[2:]) == (part in strategy)
    # Where the second task begins the policy is still where it was.
    second = lines[2]
    if "lwf" in strategy:
        assert second["lwf_loss"] == pytest.approx(0, abs=1e-6) and lines[3]["lwf_loss"] > 1e-6
    if "ewc" in strategy:
        assert second["ewc_penalty"] == 0 < lines[3]["ewc_penalty"]


@pytest.mark.parametrize(
    ("part", "price", "figure"), [("ewc", "ewc_lambda", "ewc_penalty"), ("lwf", "continual_kl_beta", "lwf_loss")]
)
def test_the_more_it_costs_the_nearer_the_policy_stays(folder, part, price, figure) -> None:
    def last(weight):
        """How far the policy is from that of the first task at the end, in the strategy's own measure."""
        training = replace(SMALL, iterations=8, group_size=16, schedule="constant")
        config = ContinualConfig(continual_strategy=part, task_schedule=("a", "b"), ewc_episodes=16, **{price: weight})
        return lines_of(GRPOTrainer(ENV, folder, training=training, continual=config))[-1][figure] / weight

    free, held, firmly = last(1e-9), last(1.0), last(100.0)
    assert firmly < held < free
    assert firmly < 0.5 * free


def test_a_run_that_was_interrupted_ends_where_the_whole_one_does(folder, tmp_path) -> None:
    whole = GRPOTrainer(ENV, folder, training=SMALL, continual=EVERYTHING)
    whole.train()
    for done in (1, 2, 5):
        first = GRPOTrainer(ENV, folder, training=SMALL, continual=EVERYTHING)
        for _ in range(done):
            first.step()
        first.save(tmp_path / str(done))
        second = GRPOTrainer.resume(tmp_path / str(done))
        assert second.continual.config == EVERYTHING and second.iteration == done
        second.train()
        assert torch.equal(weights(whole), weights(second)), done
        assert second.continual.accuracies == whole.continual.accuracies


@pytest.mark.parametrize(
    "changes", [{"lora": LoraSettings(rank=2)}, {"precision": "bfloat16"}], ids=["adapters", "bfloat16"]
)
def test_adapters_and_half_precision_are_held_and_resumed_alike(folder, tmp_path, changes) -> None:
    training = replace(SMALL, **changes)
    whole = GRPOTrainer(ENV, folder, training=training, continual=EVERYTHING)
    lines = lines_of(whole)
    # What was just copied costs nothing yet, to the rounding of the precision; what has moved since, does.
    assert lines[2]["lwf_loss"] == pytest.approx(0, abs=1e-6) and lines[2]["ewc_penalty"] == pytest.approx(0, abs=1e-9)
    assert lines[3]["lwf_loss"] > 0 and lines[3]["ewc_penalty"] > 0
    first = GRPOTrainer(ENV, folder, training=training, continual=EVERYTHING)
    first.train([lambda trainer, _: trainer.iteration == 3])
    first.save(tmp_path / "checkpoint")
    second = GRPOTrainer.resume(tmp_path / "checkpoint")
    assert lines_of(second)[-1]["ewc_penalty"] == lines[-1]["ewc_penalty"]
    assert torch.equal(weights(whole), weights(second))


def test_an_iteration_that_fails_leaves_the_memory_as_it_was(folder, tmp_path, monkeypatch) -> None:
    whole = GRPOTrainer(ENV, folder, training=SMALL, continual=EVERYTHING)
    whole.train()
    trainer = GRPOTrainer(ENV, folder, training=SMALL, continual=EVERYTHING)
    for _ in range(3):
        trainer.step()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainer._updater, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer.step()
    trainer.save(tmp_path / "checkpoint")
    resumed = GRPOTrainer.resume(tmp_path / "checkpoint")
    for each in (trainer, resumed):
        each.train()
        assert torch.equal(weights(whole), weights(each))


def test_several_processes_hold_the_policy_as_one_does(folder) -> None:
    # Sampling noise differs between numbers of processes: what must agree is the price at the same weights.
    config = ContinualConfig(
        continual_strategy="lwf_ewc", continual_kl_beta=0.5, ewc_lambda=5.0, ewc_episodes=4, task_schedule=("a", "b")
    )
    training = replace(SMALL, workers=2, iterations=4)
    lines = lines_of(GRPOTrainer(ENV, folder, training=training, continual=config))
    assert lines[2]["lwf_loss"] == pytest.approx(0, abs=1e-6) and lines[3]["lwf_loss"] > 1e-6
    assert lines[2]["ewc_penalty"] == 0 < lines[3]["ewc_penalty"]


def test_without_a_schedule_replay_goes_by_the_task_that_the_environment_tells(folder, tmp_path) -> None:
    config = ContinualConfig(continual_strategy="replay", replay_buffer_size=30, replay_ratio=0.5)
    trainer = GRPOTrainer(ENV, folder, training=SMALL, continual=config)
    lines = lines_of(trainer)
    assert any("logged/effective_sample_share" in line for line in lines)
    known = {name for line in lines for name in line if name.startswith("replay/")}
    assert known and known <= {f"replay/{task}" for task in TASKS}
    assert not any(name.startswith("continual/") for line in lines for name in line)


def test_demonstrations_of_earlier_tasks_are_replayed_too(folder) -> None:
    config = ContinualConfig(continual_strategy="replay", replay_ratio=0.5, task_schedule=("refund", "cancel"))
    training = TrainingConfig(iterations=2, groups_per_iteration=1, group_size=2, max_new_tokens=8, eval_episodes=1)
    kwargs = {"tasks": ["StateSet/Refund-v0", "StateSet/Cancel-v0"], "prompt": "compact"}
    clone = BehaviorCloningConfig(demonstrator="ss_baselines.agents.reference:ReferenceAgent")
    trainer = BehaviorCloningTrainer(
        "StateSet/MultiTask-v0", "tiny", clone, training, env_kwargs=kwargs, continual=config
    )
    first, second = lines_of(trainer)
    assert first["replay/refund"] == 2 and second["replay/cancel"] == 2
    # What was shown of the first task is shown again beside what is fresh: twice as many tokens, if as long.
    assert second["replayed"] == 2
    assert first["task"] == 0 and second["task"] == 1


def test_the_high_level_call_takes_the_names_of_continual_settings(folder, tmp_path) -> None:
    overrides = {
        "continual_strategy": "replay_lwf",
        "continual_kl_beta": 0.2,
        "replay_buffer_size": 16,
        "replay_ratio": 0.5,
        "replay_sampling": "balanced",
        "task_id_key": "task",
        "task_schedule": ["a", "b"],
        "task_switch_steps": 1,
        "groups_per_iteration": 2,
        "group_size": 4,
        "max_new_tokens": 4,
        "eval_episodes": 4,
    }
    agent = MultiTurnAgent(AgentConfig(folder))
    asyncio.run(train(agent, ENV, num_episodes=24, save_path=tmp_path / "run", config_overrides=overrides))
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["task"] for line in lines] == [0, 1, 1]
    more = {"iterations": 4, "continual_strategy": "replay_lwf"}
    asyncio.run(train(agent, ENV, resume_from_checkpoint=tmp_path / "run", config_overrides=more))
    with pytest.raises(ValueError, match="has continual_strategy = replay_lwf, not 'ewc'"):
        other = {"continual_strategy": "ewc"}
        asyncio.run(train(agent, ENV, resume_from_checkpoint=tmp_path / "run", config_overrides=other))


def test_ctrl_c_in_the_last_measurement_is_made_up_for_by_the_run_that_goes_on(folder, tmp_path, monkeypatch) -> None:
    whole = GRPOTrainer(ENV, folder, training=SMALL, continual=EVERYTHING)
    whole.train()
    trainer = GRPOTrainer(ENV, folder, training=replace(SMALL, output_dir=str(tmp_path)), continual=EVERYTHING)
    measured = trainer.continual._measured

    def interrupted(running):
        if trainer.iteration == 6:
            raise KeyboardInterrupt
        return measured(running)

    monkeypatch.setattr(trainer.continual, "_measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(trainer.continual.accuracies.rows) == 2
    resumed = GRPOTrainer.resume(tmp_path / "checkpoint")
    assert resumed.iteration == 6
    resumed.train()
    assert resumed.continual.accuracies == whole.continual.accuracies
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["iteration"] == 6 and "continual/forgetting" in lines[-1]
    again = GRPOTrainer.resume(tmp_path / "checkpoint")
    assert again.continual.accuracies == whole.continual.accuracies


def test_micro_batches_do_not_change_what_holds_the_policy(folder) -> None:
    ends = []
    for tokens in (100_000, 60):
        training = replace(SMALL, micro_batch_tokens=tokens, group_size=8, learning_rate=1e-3)
        trainer = GRPOTrainer(ENV, folder, training=training, continual=replace(EVERYTHING, ewc_lambda=1.0))
        trainer.train()
        ends.append(weights(trainer))
    torch.testing.assert_close(ends[0], ends[1], atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["reinforce_plus_plus", "online_dpo", "shuffled", "offline_grpo"])
def test_algorithms_that_compare_across_groups_replay_nothing(folder, name) -> None:
    from ss_trainers.algorithms.registry import make_algorithm

    algorithm = make_algorithm(name, {"online_ratio": 1.0} if name == "offline_grpo" else {})
    with pytest.raises(ValueError, match=f"{name} compares an attempt with those of other groups"):
        Trainer(ENV, folder, algorithm, SMALL, continual=EVERYTHING)


@pytest.mark.parametrize("changes", [{"iterations": 9}, {"iterations": 3}])
def test_tasks_that_would_end_elsewhere_are_refused(folder, tmp_path, changes) -> None:
    trainer = GRPOTrainer(ENV, folder, training=SMALL, continual=ContinualConfig(task_schedule=TASKS))
    for _ in range(3):
        trainer.step()
    trainer.save(tmp_path)
    with pytest.raises(CheckpointError, match="needs task_switch_steps from the beginning"):
        GRPOTrainer.resume(tmp_path, training=changes)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (GRPOTrainer, {"rollout_lag": 1}, "set rollout_lag to 0"),
        (GRPOTrainer, {"mismatch": "mask"}, "set mismatch to 'truncate'"),
        (PPOTrainer, {}, "the critic of ppo would learn from them as well"),
        (GRPOTrainer, {"iterations": 2}, "3 tasks need 3 iterations or more, and the run has 2"),
    ],
)
def test_what_does_not_go_with_a_strategy_is_refused(folder, make, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        make(ENV, folder, training=replace(SMALL, **settings), continual=EVERYTHING)


def test_a_task_that_the_environment_does_not_know_ends_the_run_with_its_name(folder) -> None:
    config = ContinualConfig(task_schedule=("refund", "cancle"))
    training = TrainingConfig(iterations=2, groups_per_iteration=1, group_size=2, max_new_tokens=8, eval_episodes=1)
    trainer = GRPOTrainer("StateSet/MultiTask-v0", "tiny", training=training, continual=config)
    with pytest.raises(RuntimeError, match="there is no task 'cancle'; did you mean 'cancel'"):
        trainer.train()


def test_what_a_checkpoint_has_of_earlier_tasks_must_fit(folder, tmp_path) -> None:
    trainer = GRPOTrainer(ENV, folder, training=SMALL, continual=EVERYTHING)
    for _ in range(2):
        trainer.step()
    trainer.save(tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match=r"ended after \[2\] iterations, and would now have after \[3\]"):
        GRPOTrainer.resume(tmp_path / "checkpoint", training={"iterations": 9})
    for name in ("continual.json", "replay.jsonl"):
        shutil.copytree(tmp_path / "checkpoint", tmp_path / name)
        (tmp_path / name / name).write_text("{", encoding="utf-8")
        with pytest.raises(CheckpointError, match="is damaged"):
            GRPOTrainer.resume(tmp_path / name)


def test_the_algorithms_own_price_of_leaving_the_reference_counts_beside_it(folder) -> None:
    config = ContinualConfig(continual_strategy="lwf", task_schedule=("a", "b"))
    trainer = GRPOTrainer(ENV, folder, GRPOConfig(kl_coefficient=0.1), replace(SMALL, iterations=4), continual=config)
    last = lines_of(trainer)[-1]
    assert last["kl"] > 0 and last["lwf_loss"] > 0 and last["kl"] != last["lwf_loss"]


def test_a_trainer_by_its_general_name_takes_tasks_too(folder) -> None:
    from ss_trainers.algorithms.registry import make_algorithm

    trainer = Trainer(OneLetter, folder, make_algorithm("grpo", {}), SMALL, continual=EVERYTHING)
    assert trainer.training.mismatch == "truncate"
    trainer.close()


def test_ctrl_c_in_an_update_keeps_what_the_iteration_has_added_to_the_memory(folder, tmp_path, monkeypatch) -> None:
    whole = GRPOTrainer(ENV, folder, training=SMALL, continual=EVERYTHING)
    whole.train()
    trainer = GRPOTrainer(ENV, folder, training=replace(SMALL, output_dir=str(tmp_path)), continual=EVERYTHING)
    take_step = trainer._optimizer.step

    def interrupted_step():
        if trainer.iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)
        take_step()

    monkeypatch.setattr(trainer._optimizer, "step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    resumed = GRPOTrainer.resume(tmp_path / "checkpoint", training={"output_dir": None})
    assert resumed.iteration == 4
    resumed.train()
    assert torch.equal(weights(whole), weights(resumed))
    assert resumed.continual.accuracies == whole.continual.accuracies
