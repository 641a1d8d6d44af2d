"""Fresh episodes and logged conversations in a batch."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.grpo import GRPO
from ss_trainers.algorithms.offline_grpo import OfflineGRPO, OfflineGRPOConfig
from ss_trainers.algorithms.registry import make_algorithm
from ss_trainers.collate import collate
from ss_trainers.offline_text.logged_experience import LoggedExperience
from tests.ss_trainers.samples import trajectories


def played(seed: int = 0) -> tuple[MultiTurnTrajectory, ...]:
    """Two groups of three, of different lengths."""
    return tuple(trajectories(random.Random(seed)))


def actions_of(trajectory: MultiTurnTrajectory) -> int:
    return sum(turn.logprobs is not None and bool(turn.token_ids) for turn in trajectory.turns)


def experience(count: int = 6) -> LoggedExperience:
    """Conversations whose advantages tell which they are, and which of their actions."""
    made = played(1)
    logged = [replace(made[place % len(made)], group_id=-1 - place) for place in range(count)]
    advantages = [
        np.array([10 * (place + 1) + turn for turn in range(actions_of(each))], np.float32)
        for place, each in enumerate(logged)
    ]
    return LoggedExperience(tuple(logged), tuple(advantages))


def test_the_share_of_fresh_episodes_rises_from_the_ratio_to_one_or_stays() -> None:
    rising = OfflineGRPO(OfflineGRPOConfig(online_ratio=0.2), experience(), iterations=5)
    staying = OfflineGRPO(OfflineGRPOConfig(online_ratio=0.2, anneal="constant"), experience(), iterations=5)
    shares = []
    for _ in range(6):
        shares.append((rising.online_share, staying.online_share))
        rising.observe({})
        staying.observe({})
    assert [share for share, _ in shares] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert [share for _, share in shares] == pytest.approx([0.2] * 6)


def test_as_many_logged_conversations_join_as_the_share_says_and_no_more_than_there_are() -> None:
    given = played()
    for ratio, expected in ((1.0, 0), (0.75, 2), (0.5, 6), (0.25, 6)):
        algorithm = OfflineGRPO(OfflineGRPOConfig(online_ratio=ratio), experience(6), iterations=3)
        reviewed = algorithm.reviewed(given, None, 100)  # type: ignore[arg-type]
        assert reviewed.trajectories == given
        assert len(reviewed.logged) == expected == reviewed.metrics["logged_episodes"]
        assert len({each.group_id for each in reviewed.logged}) == expected
        assert all(each.group_id < 0 for each in reviewed.logged)


def test_which_conversations_join_follows_from_the_seed_and_the_iteration() -> None:
    def taken(seed: int, done: int) -> list[int]:
        algorithm = OfflineGRPO(OfflineGRPOConfig(online_ratio=0.5, seed=seed), experience(40), iterations=100)
        algorithm.restore({"iterations": float(done)})
        return [each.group_id for each in algorithm.reviewed(played(), None, 100).logged]  # type: ignore[arg-type]

    assert taken(0, 3) == taken(0, 3)
    assert taken(0, 3) != taken(0, 4) and taken(0, 3) != taken(1, 3)


def test_a_run_that_is_resumed_goes_on_with_its_share() -> None:
    algorithm = OfflineGRPO(OfflineGRPOConfig(online_ratio=0.5), experience(), iterations=5)
    for _ in range(2):
        algorithm.observe({})
    resumed = OfflineGRPO(OfflineGRPOConfig(online_ratio=0.5), experience(), iterations=5)
    resumed.restore(algorithm.state())
    assert resumed.online_share == algorithm.online_share == pytest.approx(0.75)


@pytest.mark.parametrize("objective", ["grpo", "gspo", "gepo", "rloo", "cispo", "reinforce_plus_plus"])
def test_logged_actions_have_the_logs_advantages_and_fresh_ones_those_of_the_objective_alone(objective: str) -> None:
    log, fresh = experience(4), played()
    # Others earned far more: nothing of that may show in what is fresh.
    rich = [
        replace(each, turns=tuple(replace(turn, reward=turn.reward + 7) for turn in each.turns))
        for each in log.trajectories
    ]
    batch = collate([*fresh, rich[2], rich[0]])
    prepared = OfflineGRPO(OfflineGRPOConfig(objective=objective), log, iterations=3).prepare(batch)
    alone = make_algorithm(objective, {}).prepare(collate(fresh))
    assert prepared.advantages is not None and alone.advantages is not None
    # The prompts of all have less in common than those of some, so the rows begin elsewhere.
    ours, theirs = (each.advantages[: len(fresh)][each.action_mask[: len(fresh)]] for each in (prepared, alone))
    torch.testing.assert_close(ours, theirs)
    for row, place in ((len(fresh), 2), (len(fresh) + 1, 0)):
        turns = batch.turn_ids[row]
        expected = torch.where(turns >= 0, 10.0 * (place + 1) + turns, 0.0)
        torch.testing.assert_close(prepared.advantages[row], expected.to(prepared.advantages.dtype))


def test_without_a_log_it_is_grpo_if_it_is_to_learn_from_none() -> None:
    algorithm, fresh = OfflineGRPO(OfflineGRPOConfig(online_ratio=1.0)), played()
    assert algorithm.reviewed(fresh, None, 100).logged == ()  # type: ignore[arg-type]
    batch = collate(fresh)
    torch.testing.assert_close(algorithm.prepare(batch).advantages, GRPO().prepare(batch).advantages)


@pytest.mark.parametrize("anneal", ["linear", "constant"])
def test_a_log_that_is_missing_is_told_with_who_takes_one(anneal) -> None:
    told = r"online_ratio=0\.9 learns from a log, and there is none here: .*ss_trainers\.OfflineGRPOTrainer"
    with pytest.raises(ValueError, match=told):
        make_algorithm("offline_grpo", {"online_ratio": 0.9, "anneal": anneal})
    with pytest.raises(ValueError, match="OfflineGRPOTrainer"):
        make_algorithm("shuffled", {"algorithm": "offline_grpo"})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"online_ratio": 0.0}, "online_ratio must be above 0"),
        ({"online_ratio": 1.5}, "at most 1, not 1.5"),
        ({"offline_algorithm": "dqn"}, "offline_algorithm must be one of"),
        ({"importance_cap": 0.0}, "importance_cap must be positive"),
        ({"offline_pretrain_steps": 0}, "offline_pretrain_steps must be at least 1"),
        ({"anneal": "cosine"}, "anneal must be one of"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(changes, told) -> None:
    with pytest.raises(ValueError, match=told):
        OfflineGRPOConfig(**changes)


@pytest.mark.parametrize("objective", ["ppo", "behavior_cloning", "dapo"])
def test_objectives_that_can_not_learn_from_a_log_beside_their_own_are_refused(objective) -> None:
    with pytest.raises(ValueError, match="take 'grpo'"):
        OfflineGRPO(OfflineGRPOConfig(objective=objective))
