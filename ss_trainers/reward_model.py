"""A learned reward: a language model that reads a conversation and says what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ss_gym.agents import AgentConfig
from ss_gym.agents.checkpoint import CheckpointError, locate, read_manifest, write_manifest
from ss_gym.rewards.function import Context, Turns
from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers import causal_lm
from ss_trainers.backends.models import LoadedModel, load_model, merged, write_model
from ss_trainers.chat import ChatFormat, written_action
from ss_trainers.checkpoint import replaced_folder
from ss_trainers.collate import collate, split_by_length
from ss_trainers.critic import Critic, ValueNetwork, restore, state_of
from ss_trainers.types import TokenBatch

_HEAD = "reward_model.safetensors"


@dataclass(frozen=True, slots=True)
class Reading:
    """A conversation as a reward model reads it.

    Attributes:
        prompt_ids: ids of the system prompt, which conversations may share.
        ids: ids of everything after it.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class RewardModel:
    """Scores conversations; it is a ``ConversationScorer``, for :class:`ss_gym.rewards.NeuralReward`.

    A conversation is read as text, whatever agent it is of. One that is longer than ``max_context`` is read
    without its middle: the instructions stay, and the end.

    Attributes:
        loaded: the language model and its tokenizer.
        chat: how it writes conversations.
        critic: the model with a head that tells one number.
        max_context: most tokens that are read.
        offset: what is taken off each score.
        figures: what its training showed, such as the accuracy on scenarios that were held out.
        micro_batch_tokens: most tokens, padding included, that go through the model at once.
    """

    loaded: LoadedModel
    chat: ChatFormat
    critic: Critic
    max_context: int
    offset: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)
    micro_batch_tokens: int = 8192

    @classmethod
    def new(
        cls, model: str, device: str = "cpu", max_context: int | None = None, micro_batch_tokens: int = 8192
    ) -> RewardModel:
        """A reward model to be trained, which gives every conversation 0.

        Args:
            model: the language model, as in :func:`ss_trainers.backends.models.load_model`.
            device: where it is.
            max_context: most tokens that are read; the model's own limit if None.
            micro_batch_tokens: see above.

        Raises:
            ValueError: if there is no room for a conversation.
        """
        loaded = merged(load_model(model, device))
        limit = causal_lm.context_length(causal_lm.underlying(loaded.model))
        most = limit if max_context is None else min(limit, max_context)
        if most < 3:
            raise ValueError(f"max_context must have room for a conversation, at least 3, not {max_context}")
        critic = Critic(ValueNetwork(loaded.model))
        return cls(loaded, ChatFormat(loaded.tokenizer), critic, most, micro_batch_tokens=micro_batch_tokens)

    def __call__(self, conversations: Sequence[tuple[Turns, Context]]) -> list[float]:
        """The score of each conversation with its context, of which ``system_prompt`` is read."""
        readings = [self.read(turns, str((context or {}).get("system_prompt", ""))) for turns, context in conversations]
        return [float(score) - self.offset for score in self.scores(readings)]

    @torch.no_grad()
    def scores(self, readings: Sequence[Reading]) -> Tensor:
        """The score of each conversation, float (N,) on the processor; without the offset."""
        scores = torch.zeros(len(readings))
        if len(readings):
            for part in split_by_length(self.batch(readings), self.micro_batch_tokens):
                # Rows go through in the order of their length: their group ids tell whose score is whose.
                scores[part.group_ids.cpu()] = self.raw_scores(part).float().cpu()
        return scores

    def read(self, turns: Turns, system_prompt: str = "") -> Reading:
        """The ids of a conversation.

        Args:
            turns: without the system prompt.
            system_prompt: what the agent was told.
        """
        prompt, ids = list(self.chat.prompt_ids(system_prompt)), list[int]()
        place, opening = 0, True
        while place < len(turns):
            said = place
            while said < len(turns) and turns[said].role != "assistant":
                said += 1
            messages = [{"role": turn.role, "content": turn.content} for turn in turns[place:said]]
            if opening and (not messages or messages[0]["role"] != "user"):
                # Chat templates want a user to begin: an empty message stands for one who has not spoken.
                messages.insert(0, {"role": "user", "content": ""})
            if messages:
                ids += [token for piece in self.chat.message_ids(messages, opening=opening) for token in piece]
            if said < len(turns):
                # As plain text, or an agent could write a grateful user's turn into its own.
                ids += self.chat.completion_ids(_written(turns[said]), plain=True)
            place, opening = said + 1, False
        room = self.max_context - 1  # for the token at whose place the score is told
        prompt = prompt[: max(1, room - 1)]
        ids = ids[-(room - len(prompt)) :] if len(prompt) + len(ids) > room else ids
        return Reading(tuple(prompt), tuple(ids))

    def batch(self, readings: Sequence[Reading]) -> TokenBatch:
        """Conversations side by side, each with its place in the list as group id.

        One more token stands at the end of each row, as its only action: the state before it has seen everything.
        """
        ends = ConversationTurn("assistant", "", token_ids=(self._end_id,), logprobs=(0.0,))
        return collate(
            [
                MultiTurnTrajectory(
                    (ConversationTurn("user", "", token_ids=reading.ids), ends),
                    prompt_ids=reading.prompt_ids,
                    group_id=place,
                )
                for place, reading in enumerate(readings)
            ]
        ).to(self._device)

    def raw_scores(self, batch: TokenBatch) -> Tensor:
        """The score of each row, float (B,), differentiable; without the offset."""
        return self.critic.values(batch).sum(1)

    @property
    def _device(self) -> torch.device:
        return self.critic.network.value.weight.device

    @property
    def _end_id(self) -> int:
        return int(self.loaded.tokenizer.eos_token_id)

    def save(self, folder: str | Path) -> None:
        """Writes it, replacing the folder as a whole; ``"reward_model://FOLDER"`` names it from then on.

        Raises:
            CheckpointError: if it cannot be written; what was there before is intact.
        """
        told = {"offset": self.offset, "max_context": self.max_context, "figures": dict(self.figures)}
        with replaced_folder(folder) as partial:
            write_model(self.loaded, partial)
            head = {name: value for name, value in state_of(self.critic.network).items() if name.startswith("value.")}
            save_file(head, partial / _HEAD)
            write_manifest(partial, AgentConfig(str(folder)), {"reward_model": told})


def load_reward_model(folder: str, device: str = "cpu") -> RewardModel:
    """A reward model that was saved.

    Args:
        folder: where.
        device: where it is put.

    Raises:
        CheckpointError: if it is missing or damaged, or the folder holds another kind of model.
    """
    manifest = read_manifest(folder)
    told = manifest.provenance.get("reward_model")
    if told is None:
        raise CheckpointError(f"'{folder}' holds an agent, not a reward model")
    made = RewardModel.new(folder, device, int(told["max_context"]))
    try:
        kept = load_file(locate(folder) / _HEAD)
        restore(made.critic.network, {**state_of(made.critic.network), **kept})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"the reward model '{folder}' is damaged: {error}") from error
    return replace(made, offset=float(told["offset"]), figures=dict(told["figures"]))


def _written(turn: ConversationTurn) -> str:
    """What the agent wrote: trajectories hold that itself, other turns the text and the calls apart."""
    if turn.tool_calls and "<tool_call>" not in turn.content:
        return written_action({"role": "assistant", "content": turn.content, "tool_calls": turn.tool_calls})
    return turn.content
