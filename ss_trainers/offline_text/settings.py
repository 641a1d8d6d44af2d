"""Settings of offline training on conversations: the language model, and what is asked of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ss_trainers.algorithms.checks import require_between, require_choice
from ss_trainers.config import LoraSettings


@dataclass(frozen=True)
class TextTraining:
    """How a language model learns from a log, and proposes what a critic chooses among.

    The engine's other settings, such as the seed and where checkpoints go, are those of ``OfflineTraining``.

    Attributes:
        model: what training begins with, as in :func:`ss_trainers.backends.models.load_model`.
        clone: what the model is cloned from before an algorithm goes on from it: ``"all"`` of the log, or the
            ``"successes"`` in it. Critics learn from failures, too, in either case; what is proposed to them, and what
            they steer, is then the model of what went well.
        epochs: how often the model goes through what it is cloned from.
        max_updates: of the model, if the epochs are not done before.
        batch_size: conversations that an update of the model learns from.
        learning_rate: AdamW's, which falls to zero along a line.
        lora: train adapters of that size instead of the model's weights.
        micro_batch_tokens: most tokens, padding included, that go through the model at once.
        max_context: most tokens of a conversation; longer ones are left out. The model's own limit if None.
        max_new_tokens: most tokens of a reply.
        candidates: replies that are drawn for a critic to choose among; fewer where some are alike.
        proposal_temperature: of these draws. At 1 they are as wrong as often as the log's agents and the model together
            are: a small model's slips are then most of what there is to choose among.
        support_margin: kappa; a candidate whose log-probability a token is so far below that of the likeliest, nats,
            is not supported by the log. BCQ asks for support of the whole reply as well (``BCQConfig.threshold``).
        critic_conversations: conversations of the log that critics learn from, the first in an order that follows from
            the seed; all if None. The model that IQL makes of its critic goes on from the clone of the whole log with
            these alone.
        return_buckets: returns that a model can be asked for, where an algorithm asks for one; fewer where returns of
            the log repeat.
    """

    model: str = "tiny"
    clone: Literal["all", "successes"] = "all"
    epochs: int = 1
    max_updates: int | None = None
    batch_size: int = 16
    learning_rate: float = 5e-4
    lora: LoraSettings | None = None
    micro_batch_tokens: int = 4096
    max_context: int | None = None
    max_new_tokens: int = 160
    candidates: int = 8
    proposal_temperature: float = 0.5
    support_margin: float = 0.1
    critic_conversations: int | None = None
    return_buckets: int = 4

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, clone=("all", "successes"))
        positive = ("epochs", "max_updates", "batch_size", "micro_batch_tokens", "max_new_tokens", "candidates")
        require_between(self, 1, math.inf, *positive, "critic_conversations", "return_buckets")
        require_between(self, 0, math.inf, "support_margin")
        require_between(self, 3, math.inf, "max_context")
        for name in ("learning_rate", "proposal_temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"TextTraining.{name} must be positive, not {getattr(self, name)}")
