"""Offline learning on a device: the same as on the processor, how fast, and from conversations to an agent there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ss_baselines.evaluate import evaluate
from ss_gym.datasets import ConversationDataset
from ss_gym.types import ConversationTurn
from ss_trainers import ConversationTrainer, OfflineTrainer, OfflineTraining, TextTraining, Transitions
from ss_trainers.offline.registry import make_config
from ss_trainers.sampling import training_episodes
from tests.benchmarks import learning
from tests.gpu.rows import Row, Setting

# What two devices may differ by after some updates, relative to the weights.
_MOST_APART = 1e-3
_NUMERIC = ("bc", "bcq", "bear", "cql", "iql", "decision_transformer")
# Updates that learn nothing of rewards are fewer passes.
_WARMED = {"bear": {"warmup_updates": 0}}
_TEXT = ("bcq", "decision_transformer")


def log_of_numbers(steps: int, discrete: bool) -> Transitions:
    """A log of noise."""
    draw = np.random.default_rng(0)
    actions = draw.integers(0, 3, steps) if discrete else draw.uniform(-1, 1, (steps, 4)).astype(np.float32)
    ends = np.arange(steps) % 50 == 49
    seen = draw.normal(size=(2, steps, 12)).astype(np.float32)
    return Transitions.from_arrays(
        seen[0], actions, draw.normal(size=steps), ends, np.zeros(steps, bool), next_observations=seen[1]
    )


def offline_numbers(setting: Setting) -> Iterator[Row]:
    """Algorithms without noise of their own end on the device where they end on the processor; and updates a second."""
    size = 256 if setting.on_cuda else 16
    for name in ("bc", "iql", "cql"):
        weights = []
        for device in ("cpu", setting.device):
            trainer = OfflineTrainer(
                make_config(name, {"hidden_dim": 32}), OfflineTraining(max_updates=20, batch_size=64, device=device)
            ).train(log_of_numbers(512, discrete=True))
            modules: Any = trainer._learner
            weights.append(torch.cat([value.detach().flatten().cpu() for value in modules.modules.parameters()]))
        apart = float((weights[0] - weights[1]).norm() / weights[0].norm())
        yield Row(f"{name}, from the processor's weights", f"{apart:.1e} relative", apart <= _MOST_APART)
    for name in _NUMERIC:
        log, rates = log_of_numbers(20_000 if setting.on_cuda else 256, discrete=False), []
        for device in dict.fromkeys(("cpu", setting.device)):
            updates = 300 if setting.on_cuda else 2
            training = OfflineTraining(max_updates=updates, batch_size=size, device=device)
            settings = {"hidden_dim": 256 if setting.on_cuda else 8, **_WARMED.get(name, {})}
            trainer = OfflineTrainer(make_config(name, settings), training)
            start = setting.clock()
            trainer.train(log)
            rates.append(f"{updates / (setting.clock() - start):,.0f} on {device}")
        yield Row(f"{name}, updates/s", ", ".join(rates))


def offline_text(setting: Setting) -> Iterator[Row]:
    """A log of conversations to agents that speak, all on the device."""
    player = setting.trainer()
    episodes = training_episodes(0, player.training)
    played = player.evaluate(episodes).trajectories
    player.close()
    # Whether the few episodes that were played succeeded is chance; here half of them did.
    rewarded = [replace(each, turns=_paid(each.turns, place % 2)) for place, each in enumerate(played)]
    log = ConversationDataset.from_trajectories(rewarded)
    for name in _TEXT:
        with tempfile.TemporaryDirectory() as folder:
            start = setting.clock()
            trainer = ConversationTrainer(
                make_config(name, {"num_epochs": 2, "hidden_dim": 32}),
                OfflineTraining(device=setting.device, output_dir=folder),
                TextTraining(setting.model, max_updates=2, batch_size=4, candidates=3, max_new_tokens=48),
            ).train(log)
            seconds = setting.clock() - start
            found = evaluate(trainer.agent(), learning.ENV_ID, "dev", episodes=2, env_kwargs=setting.env_kwargs)
            yield Row(f"{name}, seconds; steps of an episode", f"{seconds:.1f}; {found.episodes[0].steps}", True)


def _paid(turns: Sequence[ConversationTurn], reward: float) -> tuple[ConversationTurn, ...]:
    """Turns of which the agent's last one is paid."""
    last = max(place for place, turn in enumerate(turns) if turn.role == "assistant")
    return tuple(replace(turn, reward=float(reward) if place == last else 0.0) for place, turn in enumerate(turns))
