"""A critic that has been trained, as an agent asks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ss_trainers.offline.learner import Setup
from ss_trainers.offline.registry import name_of
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transitions import Spaces
from ss_trainers.offline_text.candidates import Candidates
from ss_trainers.offline_text.examples import FeatureScaling, Proposed, Support
from ss_trainers.offline_text.recipes import RECIPES, CandidateCritic
from ss_trainers.offline_text.saved import SavedCritic, read_critic


@dataclass(frozen=True, slots=True)
class CriticsChoice:
    """Chooses among candidates by a critic.

    Attributes:
        config: of the algorithm that made the critic.
        hidden: widths of its hidden layers.
        critic: values them.
        scaling: of hidden states.
        margin: see ``TextTraining.support_margin``.
        device: where the critic is.
    """

    config: OfflineConfig
    hidden: tuple[int, ...]
    critic: CandidateCritic
    scaling: FeatureScaling
    margin: float
    device: torch.device

    @torch.no_grad()
    def __call__(self, candidates: Sequence[Candidates]) -> list[int]:
        """Which of each conversation's candidates is said."""
        support = Support.of(self.config, self.margin)
        states, proposed = side_by_side(candidates, self.scaling, support, self.device)
        chosen: list[int] = self.critic.choose(states, proposed).tolist()
        return chosen


def side_by_side(
    candidates: Sequence[Candidates], scaling: FeatureScaling, supports: Support, device: torch.device
) -> tuple[Tensor, Proposed]:
    """The states (N, D) of conversations, and their candidates, scaled."""
    most, width = max(len(each.replies) for each in candidates), len(candidates[0].state)
    shape = (len(candidates), most)
    features, mask = torch.zeros(*shape, width), torch.zeros(shape, dtype=torch.bool)
    logprobs, shares, tokens = torch.zeros(shape), torch.zeros(shape), torch.ones(shape)
    for row, each in enumerate(candidates):
        size, counts = len(each.replies), torch.tensor(each.counts, dtype=torch.float32)
        features[row, :size], mask[row, :size] = each.features, True
        logprobs[row, :size], shares[row, :size] = each.mean_logprobs, counts / counts.sum()
        tokens[row, :size] = each.tokens
    proposed = Proposed(
        scaling(features).to(device),
        mask.to(device),
        supports(logprobs, tokens, mask).to(device),
        shares.to(device),
        torch.zeros_like(mask).to(device),
    )
    return scaling(torch.stack([each.state for each in candidates])).to(device), proposed


def write_choice(folder: Path, choice: CriticsChoice, count: int) -> None:
    """Writes a critic beside the model whose candidates it chooses among.

    Args:
        folder: of the checkpoint that is being written.
        choice: the critic.
        count: replies that are drawn.
    """
    told = {"support_margin": choice.margin, "candidates": count}
    state = choice.critic.modules.state_dict()
    SavedCritic(choice.config, choice.hidden, choice.scaling, state, told).write(folder)


def read_choice(path: str | Path, device: torch.device) -> tuple[CriticsChoice, int]:
    """A critic that was written, and how many replies are drawn for it.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    with read_critic(path) as saved:
        config, size, name = saved.config, len(saved.scaling.shift), name_of(saved.config)
        make = RECIPES[name].chooser
        if make is None:
            raise ValueError(f"{name} chooses among no candidates")
        noise = torch.Generator(device)
        critic = make(config, Setup(Spaces(size, size, False), saved.hidden, torch.Generator(), noise, device))
        critic.modules.load_state_dict(saved.state)
        margin = float(saved.told["support_margin"])
        choice = CriticsChoice(config, saved.hidden, critic, saved.scaling, margin, device)
        return choice, int(saved.told["candidates"])
