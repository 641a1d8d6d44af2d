"""A critic that has been trained, as an agent asks it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ss_gym.agents.checkpoint import CheckpointError, locate
from ss_trainers.functional.support import supported_candidates
from ss_trainers.offline.learner import Setup
from ss_trainers.offline.registry import make_config, name_of
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transitions import Spaces
from ss_trainers.offline_text.candidates import Candidates
from ss_trainers.offline_text.examples import FeatureScaling, Proposed
from ss_trainers.offline_text.recipes import RECIPES, CandidateCritic

_SETTINGS, _TENSORS = "offline.json", "offline.safetensors"


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
        states, proposed = side_by_side(candidates, self.scaling, self.margin, self.device)
        chosen: list[int] = self.critic.choose(states, proposed).tolist()
        return chosen


def side_by_side(
    candidates: Sequence[Candidates], scaling: FeatureScaling, margin: float, device: torch.device
) -> tuple[Tensor, Proposed]:
    """The states (N, D) of conversations, and their candidates, scaled."""
    most, width = max(len(each.replies) for each in candidates), len(candidates[0].state)
    shape = (len(candidates), most)
    features, mask = torch.zeros(*shape, width), torch.zeros(shape, dtype=torch.bool)
    logprobs, shares = torch.zeros(shape), torch.zeros(shape)
    for row, each in enumerate(candidates):
        size, counts = len(each.replies), torch.tensor(each.counts, dtype=torch.float32)
        features[row, :size], mask[row, :size] = each.features, True
        logprobs[row, :size], shares[row, :size] = each.mean_logprobs, counts / counts.sum()
    support = supported_candidates(logprobs, mask, margin)
    proposed = Proposed(
        scaling(features).to(device),
        mask.to(device),
        support.to(device),
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
    tensors = {f"critic.{name}": value.contiguous() for name, value in choice.critic.modules.state_dict().items()}
    tensors |= {"scaling.shift": choice.scaling.shift, "scaling.spread": choice.scaling.spread}
    save_file(tensors, folder / _TENSORS)
    content = {
        "algorithm": name_of(choice.config),
        "config": asdict(choice.config),
        "hidden": choice.hidden,
        "support_margin": choice.margin,
        "candidates": count,
    }
    (folder / _SETTINGS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_choice(path: str | Path, device: torch.device) -> tuple[CriticsChoice, int]:
    """A critic that was written, and how many replies are drawn for it.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    folder = locate(path)
    try:
        content = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        config = make_config(content["algorithm"], content["config"])
        tensors, hidden = load_file(folder / _TENSORS), tuple(content["hidden"])
        scaling = FeatureScaling(tensors.pop("scaling.shift"), tensors.pop("scaling.spread"))
        size, make = len(scaling.shift), RECIPES[content["algorithm"]].chooser
        if make is None:
            raise ValueError(f"{content['algorithm']} chooses among no candidates")
        noise = torch.Generator(device)
        critic = make(config, Setup(Spaces(size, size, False), hidden, torch.Generator(), noise, device))
        critic.modules.load_state_dict({name.removeprefix("critic."): value for name, value in tensors.items()})
        choice = CriticsChoice(config, hidden, critic, scaling, float(content["support_margin"]), device)
        return choice, int(content["candidates"])
    except FileNotFoundError as error:
        raise CheckpointError(f"'{folder}' holds no critic: {error.filename or error} is missing") from error
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"the critic in '{folder}' is damaged: {error!r:.300}") from error
