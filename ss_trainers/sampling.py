"""Which scenarios an iteration plays, and how often, until it has enough to learn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ss_gym.streams import Stream
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.collate import collate, drop_nonfinite
from ss_trainers.config import TrainingConfig
from ss_trainers.rollout import Episode, EpisodesFailedError, Rollouts

# Plays episodes; the text goes into the sampling noise.
Play = Callable[[Sequence[Episode], str], Rollouts]


@dataclass(frozen=True, slots=True)
class Sample:
    """What an iteration has played.

    Attributes:
        played: everything.
        kept: what is trained on.
        rounds: how often scenarios were played.
    """

    played: Rollouts
    kept: tuple[MultiTurnTrajectory, ...]
    rounds: int

    @property
    def nonfinite(self) -> int:
        """How many of the episodes have a return that is no number, or infinite."""
        return sum(not math.isfinite(trajectory.total_reward) for trajectory in self.played.trajectories)


def sample(iteration: int, training: TrainingConfig, algorithm: PolicyOptimization, play: Play) -> Sample:
    """Plays an iteration's scenarios, and further ones while the algorithm has too few to keep.

    Args:
        iteration: which this is, counted from 0.
        training: how many scenarios, and attempts at each.
        algorithm: what it keeps, and how many rounds it may take.
        play: plays episodes.

    Raises:
        EpisodesFailedError: if the environment raised in every episode.
    """
    played, dropped, kept = list[MultiTurnTrajectory](), list[str](), list[MultiTurnTrajectory]()
    rounds, wanted = 0, training.groups_per_iteration
    while rounds < algorithm.sampling_rounds and len(_groups(kept)) < wanted:
        episodes = training_episodes(iteration, training, rounds, alike=algorithm.demonstrator is None)
        rollouts = play(episodes, "train" if not rounds else f"train {rounds}")
        rounds += 1
        played += rollouts.trajectories
        dropped += rollouts.dropped
        kept += rollouts.trajectories if algorithm.sampling_rounds == 1 else _kept(rollouts.trajectories, algorithm)
    if dropped and not played:
        raise EpisodesFailedError(
            f"the environment raised in all {len(dropped)} episodes of iteration {iteration + 1}, "
            f"the first: {dropped[0]}"
        )
    chosen = _groups(kept)[:wanted]
    return Sample(
        Rollouts(tuple(played), tuple(dropped)),
        tuple(trajectory for trajectory in kept if trajectory.group_id in chosen),
        rounds,
    )


def training_episodes(
    iteration: int, training: TrainingConfig, round_number: int = 0, alike: bool = True
) -> list[Episode]:
    """The episodes of a round: each scenario as often as the group is large, or as many scenarios.

    Args:
        iteration: which this is, counted from 0.
        training: how many.
        round_number: counted from 0.
        alike: whether the attempts of a group share their scenario; what a demonstrator does is the same each time.
    """
    keys = ("scenario", iteration, round_number) if round_number else ("scenario", iteration)
    scenarios, size = Stream(training.seed, *keys), training.group_size if alike else 1
    count = training.groups_per_iteration * training.group_size // size
    return [
        Episode(seed, training.train_options, round_number * count + group)
        for group in range(count)
        for seed in [scenarios.below(2**31)] * size
    ]


def _kept(trajectories: Sequence[MultiTurnTrajectory], algorithm: PolicyOptimization) -> list[MultiTurnTrajectory]:
    """The attempts at scenarios that the algorithm keeps."""
    if not trajectories:
        return []
    # A return that is no number tells nothing of its group.
    batch, _ = drop_nonfinite(collate(trajectories))
    groups = set(batch.group_ids[algorithm.keeps(batch)].tolist()) if len(batch) else set()
    return [trajectory for trajectory in trajectories if trajectory.group_id in groups]


def _groups(trajectories: Sequence[MultiTurnTrajectory]) -> list[int]:
    return list(dict.fromkeys(trajectory.group_id for trajectory in trajectories))
