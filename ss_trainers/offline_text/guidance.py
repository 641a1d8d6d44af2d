"""A critic of tokens that has been trained, as it steers a language model that speaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ss_trainers.offline.learner import Setup
from ss_trainers.offline.registry import name_of
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transitions import Spaces
from ss_trainers.offline_text.examples import FeatureScaling
from ss_trainers.offline_text.recipes import RECIPES, GuidingCritic
from ss_trainers.offline_text.saved import SavedCritic, read_critic


@dataclass(frozen=True, slots=True)
class CriticsGuidance:
    """Changes the logits of a language model by what a critic says of each token.

    Attributes:
        config: of the algorithm that made the critic.
        hidden: widths of its hidden layers.
        critic: values tokens.
        scaling: of hidden states, where the critic is.
        vocabulary: how many tokens there are.
    """

    config: OfflineConfig
    hidden: tuple[int, ...]
    critic: GuidingCritic
    scaling: FeatureScaling
    vocabulary: int

    def __call__(self, hidden: Tensor, logits: Tensor) -> Tensor:
        """Logits (R, V) of hidden states (R, D) and the model's logits."""
        return self.critic.guided(self.scaling(hidden.float()), logits)

    def write(self, folder: Path) -> None:
        """Writes the critic beside the model that it guides; see ``SavedCritic``."""
        scaling, state = self.scaling.to(torch.device("cpu")), self.critic.modules.state_dict()
        SavedCritic(self.config, self.hidden, scaling, state, {"vocabulary": self.vocabulary}).write(folder)


def read_guidance(path: str | Path, device: torch.device) -> CriticsGuidance:
    """A critic that was written.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    with read_critic(path) as saved:
        name, vocabulary = name_of(saved.config), int(saved.told["vocabulary"])
        make = RECIPES[name].guide
        if make is None:
            raise ValueError(f"{name} guides no model")
        spaces, noise = Spaces(len(saved.scaling.shift), vocabulary, True), torch.Generator(device)
        critic = make(saved.config, Setup(spaces, saved.hidden, torch.Generator(), noise, device))
        critic.modules.load_state_dict(saved.state)
        return CriticsGuidance(saved.config, saved.hidden, critic, saved.scaling.to(device), vocabulary)
