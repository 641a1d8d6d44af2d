"""A language model that is told what is still to be earned: Decision Transformer with control tokens for text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ss_gym.types import MultiTurnTrajectory
from ss_trainers import causal_lm
from ss_trainers.backends.models import LoadedModel
from ss_trainers.functional.returns import episode_returns, return_buckets, return_thresholds
from ss_trainers.offline_text.token_log import LoggedTokens, TokenLog


def control_token(bucket: int) -> str:
    """The token that asks for the returns of a bucket, counted from the lowest."""
    return f"<|return-{bucket}|>"


@torch.no_grad()
def with_control_tokens(loaded: LoadedModel, buckets: int) -> LoadedModel:
    """The model with a token more for each bucket, each of which is worth what the mean of its embeddings is.

    Args:
        loaded: the model, which is widened in place, and so is its tokenizer.
        buckets: how many.
    """
    model: Any = causal_lm.underlying(loaded.model)
    known = len(loaded.tokenizer)
    loaded.tokenizer.add_tokens([control_token(bucket) for bucket in range(buckets)], special_tokens=True)
    if len(loaded.tokenizer) > len(model.get_input_embeddings().weight):
        # transformers draws initial values from torch's global generator, which is left as it was.
        with torch.random.fork_rng(devices=[]):
            model.resize_token_embeddings(len(loaded.tokenizer), mean_resizing=False)
    for layer in (model.get_input_embeddings(), causal_lm.head_of(model)):
        layer.weight[known : len(loaded.tokenizer)] = layer.weight[:known].mean(0)
    return loaded


@dataclass(frozen=True, slots=True)
class ReturnBuckets:
    """Which control token stands for a return.

    Attributes:
        thresholds: float (K,), rising; returns above so many of them are of that bucket.
        ids: of the control tokens, the lowest bucket's first.
        gamma: discount of a step.
    """

    thresholds: Tensor
    ids: tuple[int, ...]
    gamma: float

    @classmethod
    def of(cls, log: TokenLog, loaded: LoadedModel, buckets: int, gamma: float) -> ReturnBuckets:
        """Buckets of about as many steps of a log each; fewer where returns repeat."""
        returns = torch.cat([_returns(conversation, gamma) for conversation in log])
        thresholds = return_thresholds(returns, buckets)
        vocabulary = loaded.tokenizer.get_vocab()
        ids = [vocabulary[control_token(bucket)] for bucket in range(len(thresholds) + 1)]
        return cls(thresholds, tuple(ids), gamma)

    def written(self, conversation: LoggedTokens) -> MultiTurnTrajectory:
        """A conversation in which the token before each action tells what it and those after it earned.

        Args:
            conversation: encoded by a ``ChatFormat`` that opens each of the agent's turns with some control token.
        """
        buckets = return_buckets(_returns(conversation, self.gamma), self.thresholds)
        return _opened(conversation, [self.ids[bucket] for bucket in buckets.tolist()])

    def asked(self, conversation: LoggedTokens) -> MultiTurnTrajectory:
        """A conversation in which the token before each action asks for as much as the best steps of the log."""
        return _opened(conversation, [self.ids[-1]] * len(conversation.actions))

    def token_of(self, target_return: float | None) -> str:
        """The control token that asks for a return; for the highest bucket if None."""
        if target_return is None:
            return control_token(len(self.thresholds))
        return control_token(int(return_buckets(torch.tensor([target_return]), self.thresholds)[0]))


def _opened(conversation: LoggedTokens, tokens: list[int]) -> MultiTurnTrajectory:
    """A conversation with those tokens before its actions."""
    ids, prompt_ids, own = conversation.ids.copy(), conversation.prompt_ids.copy(), np.array(tokens, np.int32)
    # Where the agent begins, the token is the last one of the prompt.
    begins = conversation.actions == 0
    ids[conversation.ends[conversation.actions[~begins] - 1] - 1] = own[~begins]
    if begins.any():
        prompt_ids[-1] = own[0]
    return replace(conversation, ids=ids, prompt_ids=prompt_ids).trajectory()


def _returns(conversation: LoggedTokens, gamma: float) -> Tensor:
    """What each action and those after it earned, float (K,)."""
    rewards = torch.from_numpy(conversation.rewards).float()
    never = torch.zeros(len(rewards), dtype=torch.bool)
    return episode_returns(rewards, never, never, gamma)
