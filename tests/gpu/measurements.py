"""What ``tests.gpu.run`` measures: one function a section, each yields rows of the table."""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import gymnasium as gym
import torch

import ss_gym
from ss_gym.agents import AgentConfig
from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers import GRPO, Episode, GRPOConfig, GRPOTrainer
from ss_trainers.algorithms.registry import ALGORITHMS, make_algorithm
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import LoadedModel, load_model
from ss_trainers.collate import collate, split_by_length
from ss_trainers.policy import LanguagePolicy
from ss_trainers.rollout import rollout
from ss_trainers.types import BatchCounts, TokenBatch
from tests.benchmarks import learning
from tests.gpu.large import large_model
from tests.gpu.offline import offline_numbers, offline_text
from tests.gpu.rows import Row, Setting
from tests.ss_trainers.algorithms.test_grpo import gradient_of, naive_loss
from tests.ss_trainers.samples import gpt2
from tests.ss_trainers.test_generation import make_generator, play, worst_difference

# Largest difference of a log-probability, in nats; largest relative difference of loss and gradient.
MOST_NATS, MOST_RELATIVE = 1e-4, 1e-4
TEMPERATURE = 1.0
# What an algorithm is run with beside its defaults: there is no log here.
SETTINGS = {"offline_grpo": {"online_ratio": 1.0}}


def versions(setting: Setting) -> Iterator[Row]:
    """Where this runs."""
    if setting.on_cuda:
        card = torch.cuda.get_device_properties(setting.device)
        yield Row("device", f"{card.name}, {card.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
    else:
        yield Row("device", f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads")
    yield Row("processor", f"{os.cpu_count()} cores")
    yield Row("Python, torch", f"{platform.python_version()}, {torch.__version__}")
    yield Row("float32 matrix products", f"precision '{torch.get_float32_matmul_precision()}'")
    names = ("transformers", "peft", "gymnasium", "numpy")
    yield Row(", ".join(names), ", ".join(map(version, names)))
    loaded = load_model(setting.model)
    weights = sum(parameter.numel() for parameter in loaded.model.parameters())
    yield Row("ss_gym, model, parameters", f"{ss_gym.__version__}, {setting.model}, {weights:,}")


def rollout_logprobs(setting: Setting) -> Iterator[Row]:
    """What rollouts store is what a fresh forward pass over the stored ids says."""
    loaded = load_model(setting.model, setting.device)
    worst = _worst_difference(loaded, _played(setting, loaded))
    yield Row("float32", f"{worst:.1e} nats", worst <= MOST_NATS)
    network = gpt2(torch.float32).to(setting.device)
    worst = worst_difference(network, *play(make_generator(network), random.Random(1)))
    yield Row("float32, GPT-2, transformers' decoder", f"{worst:.1e} nats", worst <= MOST_NATS)
    for parameter in loaded.model.parameters():  # the table of rotations stays in float32
        parameter.data = parameter.data.to(torch.bfloat16)
    worst = _worst_difference(loaded, _played(setting, loaded))
    yield Row("bfloat16", f"{worst:.1e} nats")


def loss_and_gradient(setting: Setting) -> Iterator[Row]:
    """GRPO's loss and gradient are those of a naive loop in double precision on the processor."""
    given = _disturbed(_played(setting, load_model(setting.model, setting.device)))
    naive = load_model(setting.model).model.double().requires_grad_(True)
    loss = naive_loss(naive, given, GRPOConfig(), naive, TEMPERATURE)
    loss.backward()
    expected = gradient_of(naive)
    trainer = setting.trainer()
    engine = trainer._running().engine
    for name, share in (("prompt once", True), ("prompt in each row", False)):
        batch = collate(given, share_prefix=share)
        batch = GRPO().prepare(batch)
        engine.loaded.model.zero_grad()
        outputs = engine.accumulate(split_by_length(batch, 2048), BatchCounts.of(batch), TEMPERATURE)
        # The terms of the loss may cancel: it is compared with their mean size.
        size = float(batch.advantages.abs().sum() / batch.action_mask.sum())
        off = abs(sum(output.loss.item() for output in outputs) - loss.item()) / size
        yield Row(f"loss, {name}", f"{off:.1e} relative", off <= MOST_RELATIVE)
        gradient = torch.cat([parameter.grad.flatten().cpu().double() for parameter in engine.trainable])
        off = float((gradient - expected).norm() / expected.norm())
        yield Row(f"gradient, {name}", f"{off:.1e} relative", off <= MOST_RELATIVE)
    trainer.close()


def every_algorithm(setting: Setting) -> Iterator[Row]:
    """Loss and gradient of each algorithm on this device are those on the processor."""
    given = _disturbed(_played(setting, load_model(setting.model, setting.device)))
    batch = collate(given)
    noise = torch.Generator().manual_seed(0)
    near = batch.behavior_logprobs + 0.1 * torch.randn(batch.action_mask.shape, generator=noise)
    batch = replace(
        batch,
        reference_logprobs=torch.where(batch.action_mask, near, 0.0),
        values=torch.where(batch.action_mask, torch.randn(batch.action_mask.shape, generator=noise), 0.0),
        # Attempts at one scenario may be the same to the letter, and cancel: groups are of several scenarios.
        group_ids=torch.arange(len(batch)) % max(1, len(batch) // 4),
        # Whether the few episodes that were played succeeded is chance; here half of them did.
        successes=torch.arange(len(batch)) % 4 < 2,
    )
    here, there = (
        LanguagePolicy(load_model(setting.model, place).model.requires_grad_(True)) for place in ("cpu", setting.device)
    )
    # A processor takes eight times as long in bfloat16, and it is the same code for all.
    halved = ALGORITHMS if setting.on_cuda else ("grpo",)
    for name in ALGORITHMS:
        prepared = make_algorithm(name, SETTINGS.get(name, {})).prepare(batch)
        expected, wanted = _loss_and_gradient(here, name, prepared)
        loss, gradient = _loss_and_gradient(there, name, prepared)
        off = float((gradient - wanted).norm() / wanted.norm())
        near_enough = abs(loss - expected) <= MOST_RELATIVE * max(1.0, abs(expected)) and off <= MOST_RELATIVE
        figure = f"gradient {off:.1e} relative"
        if name in halved:
            _, rounded = _loss_and_gradient(there, name, prepared, half=True)
            figure += f"; {float((rounded - wanted).norm() / wanted.norm()):.1e} in bfloat16"
        yield Row(name, figure, near_enough)


def _loss_and_gradient(
    policy: LanguagePolicy, name: str, batch: TokenBatch, half: bool = False
) -> tuple[float, torch.Tensor]:
    parameters = list(policy.model.parameters())
    policy.model.zero_grad()
    moved = batch.to(parameters[0].device)
    with torch.autocast(parameters[0].device.type, torch.bfloat16, enabled=half):
        logprobs = policy.logprobs(moved, TEMPERATURE)
    # There is no critic here: what it foresaw stands for what it foresees.
    loss = make_algorithm(name, SETTINGS.get(name, {})).loss(moved, logprobs, BatchCounts.of(batch), moved.values).loss
    loss.backward()
    return loss.item(), torch.cat([value.grad.flatten().cpu() for value in parameters])


def generation(setting: Setting) -> Iterator[Row]:
    """Rollouts, environment included."""
    for parallel in setting.sizes.parallel:
        count = parallel * setting.sizes.rounds
        training = setting.training(parallel_episodes=parallel)
        played, seconds = learning.rollouts(setting.model, count, training, setting.env_kwargs, setting.clock)
        sampled = played.metrics["tokens"] * len(played.trajectories)
        rates = f"{sampled / seconds:,.0f} tokens/s, {count / seconds:,.1f} episodes/s"
        yield Row(f"{parallel} conversations at once, {count} episodes", rates, not played.dropped)


def training(setting: Setting) -> Iterator[Row]:
    """Forward and backward passes over long prompts that all rows share."""
    rows = setting.sizes.rows
    given = learning.conversations(setting.model, rows)
    tokens = rows * (learning.PROMPT + learning.HEARD + learning.SAID)
    for name, share in (("once", True), ("in each row", False)):
        batch = collate(given, share_prefix=share)
        seconds = learning.update(setting.model, batch, setting.device, setting.clock)
        shape = f"{rows} × ({learning.PROMPT} prompt + {learning.HEARD + learning.SAID}) tokens, prompt {name}"
        yield Row(shape, f"{tokens / seconds:,.0f} tokens/s, {seconds:.3f} s")


def iterations(setting: Setting) -> Iterator[Row]:
    """GRPO from end to end."""
    trainer = setting.trainer()
    for number in (1, 2):
        metrics = trainer.step()
        seconds = f"rollout {metrics['seconds/rollout']:.2f} s, update {metrics['seconds/update']:.2f} s"
        sound = metrics["dropped_episodes"] == 0 and metrics["logprob_difference"] <= 1e-3
        figure = f"{seconds}, {metrics['tokens']:,.0f} tokens an episode, success {metrics['success']:.2f}"
        yield Row(f"iteration {number} of {setting.sizes.groups} × {setting.sizes.group_size} episodes", figure, sound)
    trainer.close()


def half_precision(setting: Setting) -> Iterator[Row]:
    """GRPO in bfloat16: what sampler and trainer disagree about, and its correction."""
    for mismatch in ("none", "truncate"):
        trainer = setting.trainer(precision="bfloat16", mismatch=mismatch)
        metrics = trainer.step()
        trainer.close()
        figure = f"{metrics['logprob_difference']:.1e} nats a token, rollout {metrics['seconds/rollout']:.2f} s"
        if "effective_sample_share" in metrics:
            figure += f", effective sample share {metrics['effective_sample_share']:.3f}"
        yield Row(f"mismatch '{mismatch}'", figure, metrics["logprob_difference"] <= 0.1)


def rollouts_ahead(setting: Setting) -> Iterator[Row]:
    """Iterations while another process plays the next ones, beside those in turn."""
    if not setting.on_cuda:
        yield Row("rollouts ahead", "measured on a processor by python -m tests.benchmarks.asynchronous")
        return
    for lag, mismatch in ((0, "none"), (1, "truncate")):
        trainer, walls = setting.trainer(rollout_lag=lag, mismatch=mismatch, iterations=7), list[float]()
        for _ in range(6):
            start = setting.clock()
            metrics = trainer.step()
            walls.append(setting.clock() - start)
        trainer.close()
        figure = f"{median(walls[2:]):.2f} s an iteration, update {metrics['seconds/update']:.2f} s"
        yield Row(f"rollout_lag {lag}", figure, None if not lag else metrics["staleness_max"] == lag)


def checkpoint(setting: Setting) -> Iterator[Row]:
    """A run that was saved and resumed is the run that went on."""
    whole = setting.trainer()
    with TemporaryDirectory() as folder:
        for _ in range(2):
            whole.step()
        whole.save(Path(folder) / "checkpoint")
        resumed = GRPOTrainer.resume(Path(folder) / "checkpoint")
        off = _weights_apart(whole, resumed)
        yield Row("weights that were saved and loaded", f"{off:.1e} at most", off == 0)
        for _ in range(2):
            whole.step()
            resumed.step()
        off = _weights_apart(whole, resumed)
        # A GPU adds in an order that changes: a last digit can become another token.
        passed = None if setting.on_cuda else off == 0
        yield Row("weights after two more iterations", f"{off:.1e} at most", passed)
    whole.close()
    resumed.close()


SECTIONS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "versions": versions,
    "log-probabilities of rollouts against a fresh forward pass": rollout_logprobs,
    "GRPO against a naive float64 loop on the processor": loss_and_gradient,
    "every algorithm against float32 on the processor": every_algorithm,
    "generation, environment included": generation,
    "training": training,
    "two GRPO iterations in StateSet/Refund-v0": iterations,
    "an iteration of GRPO in bfloat16": half_precision,
    "rollouts that run ahead": rollouts_ahead,
    "checkpoint, resume": checkpoint,
    "offline learning from numbers": offline_numbers,
    "offline learning from conversations": offline_text,
    "a model of a usual size": large_model,
}


def _played(setting: Setting, loaded: LoadedModel) -> tuple[MultiTurnTrajectory, ...]:
    """Pairs of attempts at the same scenarios."""
    config = AgentConfig(setting.model, setting.sizes.max_new_tokens, TEMPERATURE, device=setting.device)
    environments = [gym.make(learning.ENV_ID, **setting.env_kwargs) for _ in range(setting.sizes.checked)]
    episodes = [Episode(number // 2, group_id=number // 2) for number in range(setting.sizes.checked)]
    return rollout(HuggingFaceBackend(setting.model, config, loaded), environments, episodes).trajectories


def _worst_difference(loaded: LoadedModel, trajectories: tuple[MultiTurnTrajectory, ...]) -> float:
    said, replies = [], []
    for one in trajectories:
        parts = [one.prompt_ids or (), *(turn.token_ids or () for turn in one.turns)]
        starts = accumulate(map(len, parts))
        said.append([token for part in parts for token in part])
        replies.append([(start, turn) for start, turn in zip(starts, one.turns, strict=False) if turn.logprobs])
    return float(worst_difference(loaded.model, said, replies, TEMPERATURE))


def _disturbed(trajectories: tuple[MultiTurnTrajectory, ...]) -> list[MultiTurnTrajectory]:
    """With other rewards, so that there is a gradient, and log-probabilities, so that some ratios are clipped."""
    rng = random.Random(0)

    def changed(turn: ConversationTurn) -> ConversationTurn:
        if turn.logprobs is None:
            return turn
        logprobs = tuple(value + rng.gauss(0, 0.2) for value in turn.logprobs)
        return replace(turn, logprobs=logprobs, reward=rng.uniform(-1, 1))

    return [replace(one, turns=tuple(map(changed, one.turns))) for one in trajectories]


def _weights_apart(one: GRPOTrainer, other: GRPOTrainer) -> float:
    """The largest difference of two trainers' weights."""
    pairs = zip(one._parameters, other._parameters, strict=True)
    return max(float((left.detach() - right.detach()).abs().max()) for left, right in pairs)
