"""How a reward model learns: from preferences between attempts, or from what attempts were worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Protocol

import torch
from rich.console import Console
from torch import Tensor, nn

from ss_gym.streams import Stream
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.collate import split_by_length
from ss_trainers.config import TrainingConfig
from ss_trainers.critic import trainable
from ss_trainers.feedback import Pairs
from ss_trainers.functional.preferences import bradley_terry_loss
from ss_trainers.functional.values import clipped_value_loss, explained_variance
from ss_trainers.optimization import adamw, set_learning_rate
from ss_trainers.reporter import Reporter
from ss_trainers.reward_model import Reading, RewardModel
from ss_trainers.types import TokenBatch

# Scenarios whose attempts' scores are shifted to mean 0.
_CENTRED_ON = 16


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two attempts at a scenario, and which is better.

    Attributes:
        first: an attempt.
        second: another one.
        preference: probability that the first is better, 0 to 1.
    """

    first: MultiTurnTrajectory
    second: MultiTurnTrajectory
    preference: float


@dataclass(frozen=True, slots=True)
class RewardModelConfig:
    """How a reward model is trained.

    Attributes:
        learning_rate: AdamW's, at its highest; it falls to zero along a line.
        epochs: how often the examples are gone through. More than one overfits preferences.
        batch_size: scenarios of a step. All that is known of a scenario's attempts goes into the same step,
            so that each attempt is read once (Ouyang et al. 2022, arXiv:2203.02155, section 3.5).
        weight_decay: AdamW's, on matrices only.
        max_grad_norm: the gradient is scaled down to this norm where it is longer.
        holdout: share of the scenarios that are kept apart to measure with; whole scenarios, since attempts at
            the same one are alike.
        micro_batch_tokens: most tokens, padding included, that go through the model at once.
        max_context: most tokens of a conversation that are read; the model's own limit if None.
        device: where it is trained.
        seed: of the order, and of what is held out.
        output_dir: folder of the metrics; nothing is written if None.
    """

    learning_rate: float = 2e-4
    epochs: int = 1
    batch_size: int = 4
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    holdout: float = 0.1
    micro_batch_tokens: int = 8192
    max_context: int | None = None
    device: str = "cpu"
    seed: int = 0
    output_dir: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        for name in ("epochs", "batch_size", "micro_batch_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf or not 0 < self.max_grad_norm:
            raise ValueError("learning_rate and max_grad_norm must be positive")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout must be from 0 to below 1, got {self.holdout}")


def preference_pairs(trajectories: Sequence[MultiTurnTrajectory], judge: Pairs) -> list[PreferencePair]:
    """Attempts at the same scenario, compared by a judge; pairs without a verdict are left out.

    Args:
        trajectories: whole groups.
        judge: compares.
    """
    return [
        PreferencePair(trajectories[one], trajectories[other], preference.value)
        for one, other, preference in judge.compared(trajectories)
        if not preference.missing
    ]


def train_on_preferences(
    pairs: Sequence[PreferencePair], model: str, config: RewardModelConfig | None = None, console: Console | None = None
) -> RewardModel:
    """A reward model by Bradley and Terry's loss; see :func:`ss_trainers.functional.preferences.bradley_terry_loss`.

    Its scores are logits: the difference of two says how probable it is that the one is preferred. They are
    shifted so that those of a reference set, the attempts at up to 16 of the scenarios, have mean 0.

    Args:
        pairs: to learn from.
        model: what it begins with, as in :func:`ss_trainers.backends.models.load_model`.
        config: how.
        console: where the progress bar is drawn; none if None.

    Returns:
        the reward model; of pairs that were held out, its figures have ``heldout_loss`` and, without ties,
        ``heldout_accuracy``.

    Raises:
        ValueError: if there are no pairs to train on.
    """
    groups: dict[str, list[PreferencePair]] = {}
    for pair in pairs:
        groups.setdefault(_scenario(pair.first), []).append(pair)
    lessons = [_Comparisons.of(group) for group in groups.values()]
    return _trained(lessons, model, config or RewardModelConfig(), console)


def train_on_returns(
    trajectories: Sequence[MultiTurnTrajectory],
    model: str,
    config: RewardModelConfig | None = None,
    console: Console | None = None,
) -> RewardModel:
    """A reward model by regression on the attempts' returns: half the squared error.

    Args:
        trajectories: to learn from; those whose return is no number are left out.
        model: as for ``train_on_preferences``.
        config: how.
        console: where the progress bar is drawn; none if None.

    Returns:
        the reward model, whose scores are returns; of attempts that were held out, its figures have
        ``heldout_loss`` and ``heldout_explained_variance``.

    Raises:
        ValueError: if there are no attempts to train on.
    """
    groups: dict[str, list[MultiTurnTrajectory]] = {}
    for each in trajectories:
        if math.isfinite(each.total_reward):
            groups.setdefault(_scenario(each), []).append(each)
    lessons = [_Returns(tuple(group)) for group in groups.values()]
    return replace(_trained(lessons, model, config or RewardModelConfig(), console), offset=0.0)


class _Lesson(Protocol):
    """What is known of a scenario's attempts."""

    @property
    def attempts(self) -> tuple[MultiTurnTrajectory, ...]:
        """The attempts that are scored."""
        ...

    def loss(self, scores: Tensor) -> Tensor:
        """The mean loss, a scalar, of the attempts' scores (N,)."""
        ...


@dataclass(frozen=True, slots=True)
class _Comparisons:
    """Attempts at a scenario, and places of two of them with how much the first is preferred."""

    attempts: tuple[MultiTurnTrajectory, ...]
    verdicts: tuple[tuple[int, int, float], ...]

    @classmethod
    def of(cls, pairs: Sequence[PreferencePair]) -> _Comparisons:
        attempts = {id(each): each for pair in pairs for each in (pair.first, pair.second)}
        place = {key: number for number, key in enumerate(attempts)}
        verdicts = [(place[id(pair.first)], place[id(pair.second)], pair.preference) for pair in pairs]
        return cls(tuple(attempts.values()), tuple(verdicts))

    def loss(self, scores: Tensor) -> Tensor:
        first, second, preference = (list(values) for values in zip(*self.verdicts, strict=True))
        return bradley_terry_loss(scores[first], scores[second], scores.new_tensor(preference)).mean()

    def right(self, scores: Tensor) -> list[bool]:
        """Of each verdict that is no tie, whether the scores say the same."""
        return [
            bool(scores[one] > scores[other]) == (preference > 0.5)
            for one, other, preference in self.verdicts
            if preference != 0.5
        ]


@dataclass(frozen=True, slots=True)
class _Returns:
    """Attempts at a scenario, and what they were worth."""

    attempts: tuple[MultiTurnTrajectory, ...]

    def wanted(self, like: Tensor) -> Tensor:
        return like.new_tensor([each.total_reward for each in self.attempts])

    def loss(self, scores: Tensor) -> Tensor:
        wanted = self.wanted(scores)
        return clipped_value_loss(scores, wanted, wanted).mean()


def _trained(lessons: Sequence[_Lesson], model: str, config: RewardModelConfig, console: Console | None) -> RewardModel:
    train, held = list[_Lesson](), list[_Lesson]()
    for lesson in lessons:
        scenario = Stream(config.seed, "held out", _scenario(lesson.attempts[0]))
        (held if scenario.chance(config.holdout) else train).append(lesson)
    if not train:
        raise ValueError("there is nothing to train a reward model on: no attempts, or all of them are held out")
    reward = RewardModel.new(model, config.device, config.max_context, config.micro_batch_tokens)
    learner = _Learner(reward, config)
    total = config.epochs * math.ceil(len(train) / config.batch_size)
    with Reporter(config.output_dir, total=total, console=console, shown=("loss",)) as reporter:
        for step, batch in enumerate(_batches(train, config)):
            rate = config.learning_rate * (1 - step / total)
            reporter.report(step + 1, {**learner.step(batch, rate), "learning_rate": rate})
    known = torch.cat([learner.scores(lesson) for lesson in train[:_CENTRED_ON]])
    figures = {"scenarios": float(len(train)), "heldout_scenarios": float(len(held))}
    if held:
        figures |= {f"heldout_{name}": value for name, value in _figures(learner, held).items()}
    return replace(reward, offset=known.mean().item(), figures=figures)


def _figures(learner: _Learner, lessons: Sequence[_Lesson]) -> dict[str, float]:
    scores = [learner.scores(lesson) for lesson in lessons]
    both = list(zip(lessons, scores, strict=True))
    figures = {"loss": fmean(lesson.loss(told).item() for lesson, told in both)}
    right = [each for lesson, told in both if isinstance(lesson, _Comparisons) for each in lesson.right(told)]
    if right:
        figures["accuracy"] = fmean(right)
    wanted = [lesson.wanted(told) for lesson, told in both if isinstance(lesson, _Returns)]
    if wanted:
        targets = torch.cat(wanted)
        explained = explained_variance(torch.cat(scores), targets, torch.ones_like(targets, dtype=torch.bool))
        figures["explained_variance"] = explained.item()
    return figures


class _Learner:
    """Takes the steps."""

    def __init__(self, reward: RewardModel, config: RewardModelConfig) -> None:
        self._reward, self._max_grad_norm = reward, config.max_grad_norm
        self._parameters = trainable(reward.critic.network)
        rates = TrainingConfig(learning_rate=config.learning_rate, weight_decay=config.weight_decay)
        self._optimizer = adamw(self._parameters, rates)

    def step(self, lessons: Sequence[_Lesson], rate: float) -> dict[str, float]:
        """One step on the mean loss of some scenarios."""
        set_learning_rate(self._optimizer, rate)
        self._optimizer.zero_grad()
        total = sum(self._backward(lesson, len(lessons)) for lesson in lessons)
        norm = float(nn.utils.clip_grad_norm_(self._parameters, self._max_grad_norm))
        if not math.isfinite(norm):
            raise FloatingPointError("the gradient of the reward model is not finite; lower the learning rate")
        self._optimizer.step()
        return {"loss": total, "gradient_norm": norm}

    def _backward(self, lesson: _Lesson, count: int) -> float:
        """Adds the gradient of a scenario's share of the loss, which is given back."""
        parts = split_by_length(self._reward.batch(self._readings(lesson)), self._reward.micro_batch_tokens)
        if len(parts) == 1:
            loss = lesson.loss(_in_order(parts, [self._reward.raw_scores(parts[0])])) / count
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.item()
        # Too much for one pass: the scores first, then how each should move, then the parts one by one.
        with torch.no_grad():
            known = _in_order(parts, [self._reward.raw_scores(part) for part in parts])
        loss = lesson.loss(known.requires_grad_()) / count
        (slopes,) = torch.autograd.grad(loss, known)
        with self._reward.critic.prompt_encoded_once(parts):
            for part in parts:
                self._reward.raw_scores(part).backward(slopes[part.group_ids])  # type: ignore[no-untyped-call]
        return loss.item()

    def scores(self, lesson: _Lesson) -> Tensor:
        """The scores of a scenario's attempts, (N,) on the processor."""
        return self._reward.scores(self._readings(lesson))

    def _readings(self, lesson: _Lesson) -> list[Reading]:
        return [self._reward.read(each.turns, each.system_prompt) for each in lesson.attempts]


def _in_order(parts: Sequence[TokenBatch], scores: Sequence[Tensor]) -> Tensor:
    """Scores of rows that were sorted by length, in the order of their attempts."""
    order = torch.cat([part.group_ids for part in parts])
    return torch.cat(list(scores))[torch.argsort(order)]


def _scenario(trajectory: MultiTurnTrajectory) -> str:
    return trajectory.scenario_id or str(trajectory.group_id)


def _batches(lessons: Sequence[_Lesson], config: RewardModelConfig) -> Iterator[list[_Lesson]]:
    for epoch in range(config.epochs):
        order = Stream(config.seed, "order", epoch).sample(list(lessons), len(lessons))
        for start in range(0, len(order), config.batch_size):
            yield order[start : start + config.batch_size]
