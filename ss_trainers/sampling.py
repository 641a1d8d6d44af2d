"""Which scenarios an iteration plays, and how often, until it has enough to learn from."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from ss_gym.streams import Stream
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import PolicyOptimization, Reviewed
from ss_trainers.collate import collate, drop_nonfinite
from ss_trainers.config import TrainingConfig
from ss_trainers.episode_options import EpisodeOptions
from ss_trainers.metrics import trajectory_metrics
from ss_trainers.rollout import Episode, EpisodesFailedError, Rollouts

_LOGGER = logging.getLogger(__name__)

# Plays episodes; the text goes into the sampling noise.
Play = Callable[[Sequence[Episode], str], Rollouts]
# What the algorithm makes of what was played, before anything is kept.
Review = Callable[[tuple[MultiTurnTrajectory, ...]], Reviewed]


@dataclass(frozen=True, slots=True)
class Sample:
    """What an iteration has played.

    Attributes:
        played: everything.
        kept: what is trained on, logged conversations among it.
        nonfinite: how many episodes have a return that is no number, or infinite, after the review.
        rounds: how often scenarios were played.
        metrics: what the review tells, as means over the rounds.
        policy_version: after how many iterations the policy had the weights that it was played with.
        seconds: how long that took.
        review_seconds: how long the review took.
    """

    played: Rollouts
    kept: tuple[MultiTurnTrajectory, ...]
    nonfinite: int
    rounds: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    policy_version: int = 0
    seconds: float = 0.0
    review_seconds: float = 0.0

    def warn(self, iteration: int) -> None:
        """Tells of what would show in no figure but as learning that does not come.

        Args:
            iteration: which it was played for, counted from 0.
        """
        played, nonfinite = self.played.trajectories, _nonfinite(self.played.trajectories)
        if nonfinite:
            _LOGGER.warning(
                "iteration %d does without %d of %d episodes: their return is NaN or infinite, which is for the "
                "environment's reward to mend",
                iteration + 1,
                nonfinite,
                len(played),
            )
        own = [turn for trajectory in played for turn in trajectory.turns if turn.role == "assistant"]
        if played and all(turn.token_ids == () for turn in own):
            _LOGGER.warning(
                "in iteration %d the agent said nothing: what it is told first leaves no room in the model's context; "
                "shorten it, or take a longer context (max_context, or another model)",
                iteration + 1,
            )

    def warn_of_nothing(self, iteration: int) -> None:
        """Tells that nothing can be learnt from it.

        Args:
            iteration: which it was played for, counted from 0.
        """
        _LOGGER.warning(
            "iteration %d has nothing to learn from: no attempts are left, or none that differ "
            "(%d of %d have a return that is no number)",
            iteration + 1,
            self.nonfinite,
            len(self.played.trajectories),
        )

    def told(self) -> dict[str, float]:
        """Everything that there is to tell of it."""
        metrics = trajectory_metrics(self.played.trajectories)
        generated = metrics.get("tokens", 0.0) * len(self.played.trajectories)
        return {
            **metrics,
            **self.metrics,
            "dropped_episodes": float(len(self.played.dropped)),
            "nonfinite_episodes": float(self.nonfinite),
            "seconds/rollout": self.seconds,
            "seconds/review": self.review_seconds,
            "tokens_per_second/rollout": generated / self.seconds,
        }


def sample(
    iteration: int,
    training: TrainingConfig,
    algorithm: PolicyOptimization,
    play: Play,
    review: Review = Reviewed,
    options: EpisodeOptions | None = None,
) -> Sample:
    """Plays an iteration's scenarios, and further ones while the algorithm has too few to keep.

    Args:
        iteration: which this is, counted from 0.
        training: how many scenarios, and attempts at each.
        algorithm: what it keeps, and how many rounds it may take.
        play: plays episodes.
        review: what the algorithm makes of them; they stay as they are by default.
        options: what episodes are reset with; the settings' options if None.

    Raises:
        EpisodesFailedError: if the environment raised in every episode.
    """
    played, dropped, kept = list[MultiTurnTrajectory](), list[str](), list[MultiTurnTrajectory]()
    rounds, nonfinite, told, logged = 0, 0, list[Mapping[str, float]](), list[MultiTurnTrajectory]()
    alike, start, reviewing = algorithm.demonstrator is None, time.perf_counter(), 0.0
    options = options or EpisodeOptions(training)
    # What a demonstrator does is a group of its own each time.
    wanted = training.groups_per_iteration * (1 if alike else training.group_size)
    while rounds < algorithm.sampling_rounds and len(_groups(kept)) < wanted:
        episodes = training_episodes(iteration, training, rounds, alike, options)
        rollouts = play(episodes, "train" if not rounds else f"train {rounds}")
        begun = time.perf_counter()
        reviewed = review(rollouts.trajectories)
        reviewing += time.perf_counter() - begun
        rounds += 1
        played += rollouts.trajectories
        dropped += rollouts.dropped
        nonfinite += _nonfinite(reviewed.trajectories)
        told.append(reviewed.metrics)
        logged += reviewed.logged
        kept += reviewed.trajectories if algorithm.sampling_rounds == 1 else _kept(reviewed.trajectories, algorithm)
    if dropped and not played:
        raise EpisodesFailedError(
            f"the environment raised in all {len(dropped)} episodes of iteration {iteration + 1}, "
            f"the first: {dropped[0]}"
        )
    chosen = _groups(kept)[:wanted]
    return Sample(
        Rollouts(tuple(played), tuple(dropped)),
        tuple(trajectory for trajectory in kept if trajectory.group_id in chosen) + tuple(logged),
        nonfinite,
        rounds,
        {name: fmean(each[name] for each in told if name in each) for each in told for name in each},
        iteration,
        time.perf_counter() - start - reviewing,
        reviewing,
    )


def training_episodes(
    iteration: int,
    training: TrainingConfig,
    round_number: int = 0,
    alike: bool = True,
    options: EpisodeOptions | None = None,
) -> list[Episode]:
    """The episodes of a round: each scenario as often as the group is large, or as many scenarios.

    Args:
        iteration: which this is, counted from 0.
        training: how many.
        round_number: counted from 0.
        alike: whether the attempts of a group share their scenario; what a demonstrator does is the same each time.
        options: what each group is reset with; the settings' options if None.
    """
    asked = (options or EpisodeOptions(training)).of_round
    keys = ("scenario", iteration, round_number) if round_number else ("scenario", iteration)
    scenarios, size = Stream(training.seed, *keys), training.group_size if alike else 1
    count = training.groups_per_iteration * training.group_size // size
    return [
        Episode(seed, given, round_number * count + group)
        for group, given in enumerate(asked(iteration, round_number, count))
        for seed in [scenarios.below(2**31)] * size
    ]


def evaluation_episodes(training: TrainingConfig, options: Mapping[str, Any] | None = None) -> list[Episode]:
    """The episodes of an evaluation, always the same ones.

    Args:
        training: how many, and their options.
        options: besides those of the settings, and before them.
    """
    asked = {**training.eval_options, **(options or {})}
    return [Episode(number, asked, number) for number in range(training.eval_episodes)]


def sampling_noise(training: TrainingConfig, purpose: str, iteration: int, count: int = 1) -> list[int]:
    """Seeds of the sampling noise of so many processes; they follow from the seed, the iteration and the purpose."""
    noise = Stream(training.seed, "sampling", purpose, iteration)
    return [noise.bits() >> 1 for _ in range(count)]


def _kept(trajectories: Sequence[MultiTurnTrajectory], algorithm: PolicyOptimization) -> list[MultiTurnTrajectory]:
    """The attempts at scenarios that the algorithm keeps."""
    if not trajectories:
        return []
    # A return that is no number tells nothing of its group.
    batch, _ = drop_nonfinite(collate(trajectories))
    groups = set(batch.group_ids[algorithm.keeps(batch)].tolist()) if len(batch) else set()
    return [trajectory for trajectory in trajectories if trajectory.group_id in groups]


def _nonfinite(trajectories: Sequence[MultiTurnTrajectory]) -> int:
    return sum(not math.isfinite(trajectory.total_reward) for trajectory in trajectories)


def _groups(trajectories: Sequence[MultiTurnTrajectory]) -> list[int]:
    return list(dict.fromkeys(trajectory.group_id for trajectory in trajectories))
