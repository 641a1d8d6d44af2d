"""How fast a language model plays and learns, in tokens per CPU second.

``tests.gpu.run`` measures with the same functions on another device, and by the clock on the wall.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, TypeVar

from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers import GRPO, Episode, GRPOTrainer, TrainingConfig
from ss_trainers.backends.models import load_model
from ss_trainers.collate import collate, split_by_length
from ss_trainers.policy import LanguagePolicy
from ss_trainers.rollout import Rollouts
from ss_trainers.types import BatchCounts, TokenBatch

ENV_ID = "StateSet/Refund-v0"
COMPACT = {"prompt": "compact"}
# A page of policy, and a short conversation about it: prompt, customer and agent tokens.
PROMPT, HEARD, SAID, ROWS = 600, 30, 70, 32
T = TypeVar("T")
Clock = Callable[[], float]  # seconds


def rows(model: str, episodes: int) -> Iterator[tuple[str, str]]:
    """What is measured, and the figure with its unit."""
    played, seconds = rollouts(model, episodes)
    batch = collate(played.trajectories)
    sampled, tokens = int(batch.action_mask.sum()), int(batch.lengths.sum()) + len(batch.prefix)
    yield "model, conversations, mean tokens", f"{model}, {episodes}, {tokens / episodes:,.0f}"
    yield "generation, environment included", f"{sampled / seconds:,.0f} sampled tokens per CPU second"
    yield "training on these conversations", f"{tokens / update(model, batch):,.0f} tokens per CPU second"
    policies = conversations(model, ROWS)
    setting = f"{ROWS} × ({PROMPT} prompt + {HEARD + SAID}) tokens"
    once = update(model, collate(policies))
    always = update(model, collate(policies, share_prefix=False))
    yield f"training, {setting}, prompt once", f"{once:.2f} CPU seconds"
    yield f"training, {setting}, prompt in each row", f"{always:.2f} CPU seconds"


def rollouts(
    model: str,
    episodes: int,
    training: TrainingConfig | None = None,
    env_kwargs: Mapping[str, Any] = COMPACT,
    clock: Clock = time.process_time,
) -> tuple[Rollouts, float]:
    """Plays episodes as training does, and the seconds they take; the first few warm up."""
    trainer = GRPOTrainer(ENV_ID, model, training=training, env_kwargs=env_kwargs)
    trainer.evaluate([Episode(seed) for seed in range(4)])
    seconds, played = timed(lambda: trainer.evaluate([Episode(seed) for seed in range(episodes)]), clock)
    trainer.close()
    return played, seconds


def conversations(model: str, count: int) -> list[MultiTurnTrajectory]:
    """Trajectories of random tokens of the model, each after the same long prompt."""
    vocabulary = len(load_model(model).tokenizer)
    return [conversation(random.Random(row), vocabulary) for row in range(count)]


def conversation(draw: random.Random, vocabulary: int) -> MultiTurnTrajectory:
    """A trajectory of random tokens after the prompt that all of them share."""
    prompt = tuple(token % vocabulary for token in range(PROMPT))
    heard = tuple(draw.randrange(vocabulary) for _ in range(HEARD))
    said = tuple(draw.randrange(vocabulary) for _ in range(SAID))
    turns = (
        ConversationTurn("user", "", token_ids=heard),
        ConversationTurn("assistant", "", token_ids=said, logprobs=(-1.0,) * SAID, reward=draw.random()),
    )
    return MultiTurnTrajectory(turns, prompt_ids=prompt)


def update(model: str, batch: TokenBatch, device: str = "cpu", clock: Clock = time.process_time) -> float:
    """Seconds of the forward and backward passes of GRPO over a batch; once before to warm up."""
    network = load_model(model, device).model.requires_grad_(True)
    policy, algorithm, counts = LanguagePolicy(network), GRPO(), BatchCounts.of(batch)
    batch = algorithm.prepare(batch).to(device)
    parts = split_by_length(batch, TrainingConfig().micro_batch_tokens)

    def passes() -> None:
        with policy.prompt_encoded_once(parts) if len(batch.prefix) else nullcontext():
            for part in parts:
                algorithm.loss(part, policy.logprobs(part), counts).loss.backward()

    passes()
    seconds, _ = timed(passes, clock)
    return seconds


def timed(work: Callable[[], T], clock: Clock) -> tuple[float, T]:
    """The seconds that the work takes by the clock, and its result."""
    start = clock()
    result = work()
    return clock() - start, result
