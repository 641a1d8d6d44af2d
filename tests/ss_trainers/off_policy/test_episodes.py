"""Logged episodes as columns: of a dataset, with gaps, and what is refused."""

import math
from dataclasses import replace

import pytest
import torch

from ss_gym.datasets import ConversationDataset, LoggedConversation
from ss_gym.datasets.messages import logged
from ss_trainers.off_policy.episodes import LoggedEpisodes, padded, policy_logprobs

GAPS = torch.tensor([[True, False, True], [False, True, False]])


def talk(number: int, turns: int, scenario: str = "", success: bool = True, told: bool = True) -> LoggedConversation:
    """A conversation in which the agent speaks so often, with log-probabilities of -1, -2, … if they are told."""
    said = [{"role": role, "content": f"{number}"} for _ in range(turns) for role in ("user", "assistant")]
    one = logged(said, rewards=[0.25] * turns, scenario=scenario, success=success, id=f"c{number}")
    return replace(one, action_logprobs=tuple(-float(turn) for turn in range(1, turns + 1)) if told else None)


def test_the_columns_of_a_dataset() -> None:
    talks = [talk(0, 2, "refund/train/0006"), talk(1, 1, "refund/train/0007", success=False), talk(2, 3, "other")]
    log = LoggedEpisodes.from_dataset(ConversationDataset.from_trajectories(talks))
    assert log.rewards.tolist() == [[0.25, 0.25, 0], [0.25, 0, 0], [0.25, 0.25, 0.25]]
    assert log.behavior_logprobs.tolist() == [[-1, -2, 0], [-1, 0, 0], [-1, -2, -3]]
    assert log.step_mask.sum(1).tolist() == [2, 1, 3] and len(log) == 3
    # A scenario and its twin have customer and wording in common.
    assert log.clusters is not None and log.clusters[0] == log.clusters[1] != log.clusters[2]
    assert log.returns(0.5).tolist() == [0.375, 0.25, 0.4375]
    success = LoggedEpisodes.from_dataset(ConversationDataset.from_trajectories(talks), reward="success")
    assert success.rewards.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_what_a_policy_thinks_of_the_actions_has_the_same_places() -> None:
    talks = [talk(0, 2), talk(1, 1)]
    found = policy_logprobs(talks, lambda one: [-len(one.id) - step for step, _ in enumerate(one.actions)])
    assert found.tolist() == [[-2, -3], [-2, 0]] and found.dtype == torch.float64
    with pytest.raises(ValueError, match=r"conversation 'c0' has 2 actions, and the policy gave 1 log-prob"):
        policy_logprobs(talks, lambda one: [0.0])


def test_conversations_that_do_not_tell_enough_are_named() -> None:
    def opened(one: LoggedConversation, reward: str = "reward") -> LoggedEpisodes:
        return LoggedEpisodes.from_dataset(ConversationDataset.from_trajectories([talk(1, 1), one]), reward)

    with pytest.raises(ValueError, match="conversation 'c0' does not tell how likely its actions were"):
        opened(talk(0, 2, told=False))
    unknown = talk(0, 2)
    with pytest.raises(ValueError, match="conversation 'c0' does not tell whether it succeeded"):
        opened(replace(unknown, episode=replace(unknown.episode, success=None)), "success")
    with pytest.raises(ValueError, match="conversation 'c0' has no rewards"):
        opened(replace(unknown, rewarded=False))


def test_steps_and_tables_are_each_others_inverse_also_with_gaps() -> None:
    rewards = torch.tensor([[1.0, 9.0, 2.0], [9.0, 3.0, 9.0]])
    log = LoggedEpisodes(rewards, torch.zeros(2, 3), GAPS, torch.tensor([5, 5]))
    steps = log.steps(torch.arange(3.0)[:, None])
    assert steps.rewards.tolist() == [1, 2, 3] and steps.ends.tolist() == [False, True, True]
    assert steps.clusters is log.clusters and steps.episodes.tolist() == [0, 0, 1]
    assert log.table(steps.rewards).tolist() == [[1, 0, 2], [0, 3, 0]]
    # A step that is not there takes no time.
    assert log.returns(0.5).tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match=r"there are 3 steps, and values of \(2,\)"):
        log.table(torch.zeros(2))
    with pytest.raises(ValueError, match="one a step"):
        log.steps(torch.zeros(2, 1))


def test_columns_that_nothing_can_be_estimated_from_are_refused() -> None:
    good = {"rewards": torch.zeros(2, 3), "behavior_logprobs": torch.zeros(2, 3), "step_mask": GAPS}
    wrong_in = [torch.zeros(2, 3) for _ in range(2)]
    wrong_in[0][0, 2], wrong_in[1][1, 1] = math.nan, -math.inf
    for wrong, says in (
        ({"rewards": torch.zeros(2, 2)}, r"must be \(N, H\) of one size, not \(2, 2\), \(2, 3\) and \(2, 3\)"),
        ({name: column[:0] for name, column in good.items()}, r"of one size, not \(0, 3\)"),
        ({"step_mask": GAPS.float()}, "step_mask must be bool, not torch.float32"),
        ({"step_mask": GAPS & torch.tensor([[True], [False]])}, "episode 1 has no steps: leave it out"),
        ({"rewards": wrong_in[0]}, "the reward of episode 0, step 2 is nan"),
        ({"behavior_logprobs": wrong_in[1]}, "the behaviour log-probability of episode 1, step 1 is -inf"),
        ({"clusters": torch.zeros(3, dtype=torch.int64)}, r"clusters must be one for each of 2 episodes, not \(3,\)"),
    ):
        with pytest.raises(ValueError, match=says):
            LoggedEpisodes(**{**good, **wrong})
    # What stands where no step is has no part in it.
    wrong_in[0][0] = torch.tensor([0.0, math.nan, 0.0])
    assert LoggedEpisodes(**{**good, "rewards": wrong_in[0]}).returns().tolist() == [0, 0]


def test_no_rows_are_an_empty_table() -> None:
    values, mask = padded([])
    assert values.shape == mask.shape == (0, 0)
