"""Which scenarios are played until an iteration has enough to learn from."""

import pytest
import torch

from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers import DAPO, GRPO, DAPOConfig, TrainingConfig
from ss_trainers.rollout import EpisodesFailedError, Rollouts
from ss_trainers.sampling import sample, training_episodes

TRAINING = TrainingConfig(groups_per_iteration=4, group_size=3, seed=5)


class Played:
    """Plays episodes by a rule: how many attempts at the scenario of a group succeed."""

    def __init__(self, successes, returns=None, broken=()):
        self._successes, self._returns, self._broken = successes, returns, broken
        self.purposes, self.asked = [], []

    def __call__(self, episodes, purpose):
        self.purposes.append(purpose)
        self.asked.append(list(episodes))
        made, seen, dropped = [], {}, []
        for episode in episodes:
            if episode.group_id in self._broken:
                dropped.append("stuck")
                continue
            place = seen[episode.group_id] = seen.get(episode.group_id, -1) + 1
            success = place < self._successes(episode.group_id)
            turn = ConversationTurn("assistant", "", token_ids=(1,), logprobs=(0.0,), reward=float(success))
            made.append(MultiTurnTrajectory((turn,), prompt_ids=(5,), group_id=episode.group_id, success=success))
        return Rollouts(tuple(made), tuple(dropped))


def groups(trajectories):
    return sorted({trajectory.group_id for trajectory in trajectories})


def test_without_a_filter_each_scenario_is_played_once():
    play = Played(lambda group: 0)
    taken = sample(3, TRAINING, GRPO(), play)
    assert taken.rounds == 1 and taken.kept == taken.played.trajectories and len(taken.kept) == 12
    assert play.asked == [training_episodes(3, TRAINING)] and play.purposes == ["train"]


def test_scenarios_are_played_until_enough_are_kept_and_no_more():
    # Of each round, the two scenarios of even number tell attempts apart.
    play = Played(lambda group: 1 if group % 2 == 0 else 3)
    taken = sample(0, TRAINING, DAPO(DAPOConfig(sampling_rounds=9)), play)
    assert taken.rounds == 2 and len(taken.played.trajectories) == 24
    assert groups(taken.kept) == [0, 2, 4, 6] and len(taken.kept) == 12
    assert play.purposes == ["train", "train 1"]
    seeds = [{episode.seed for episode in asked} for asked in play.asked]
    assert len(seeds[0]) == len(seeds[1]) == 4 and not seeds[0] & seeds[1]


def test_more_than_enough_is_cut_to_what_was_asked_for():
    play = Played(lambda group: 1 if group != 0 else 0)
    taken = sample(0, TRAINING, DAPO(), play)
    assert taken.rounds == 2 and groups(taken.kept) == [1, 2, 3, 4]


@pytest.mark.parametrize("rounds", [1, 3])
def test_after_the_last_round_what_there_is_is_taken(rounds):
    play = Played(lambda group: 0)
    taken = sample(0, TRAINING, DAPO(DAPOConfig(sampling_rounds=rounds)), play)
    assert taken.rounds == rounds == len(play.purposes)
    # One round is no dynamic sampling: the equal groups are left for the algorithm to drop.
    assert len(taken.kept) == (12 if rounds == 1 else 0)


def test_episodes_that_broke_off_are_told_and_the_others_kept():
    taken = sample(0, TRAINING, DAPO(), Played(lambda group: 2, broken=(1,)))
    assert taken.played.dropped == ("stuck",) * 3 and groups(taken.kept) == [0, 2, 3, 4]
    with pytest.raises(EpisodesFailedError, match=r"all 48 episodes of iteration 1, the first: stuck"):
        sample(0, TRAINING, DAPO(), Played(lambda group: 2, broken=range(99)))


def test_rounds_follow_from_the_seed_and_the_iteration():
    first, second = training_episodes(2, TRAINING, 1), training_episodes(2, TRAINING, 1)
    assert first == second != training_episodes(2, TRAINING) and first != training_episodes(3, TRAINING, 1)
    assert torch.tensor([episode.group_id for episode in first]).unique().tolist() == [4, 5, 6, 7]
