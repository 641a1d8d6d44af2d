"""A chain of five states that is walked for eight steps at most, and logs of it: all that a policy earns is known.

``RIGHT`` goes on, and from the last state to the goal, which is worth 1 and the end; ``LEFT`` goes back, at state 0
nowhere. A policy goes right so often, in every state.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ss_trainers.off_policy.episodes import LoggedEpisodes
from ss_trainers.off_policy.fitted_q import PolicyActions

RIGHT, LEFT = range(2)
STATES, HORIZON, GAMMA = 5, 8, 0.9
BEHAVIOR, TARGET, TRUTH = 0.6, 0.8, 0.3984


@dataclass(frozen=True)
class Walks:
    """Episodes: where they were and what they did at each step, (N, H), and what is known of them all."""

    states: Tensor
    actions: Tensor
    log: LoggedEpisodes

    def logprobs(self, right: float) -> Tensor:
        return torch.where(self.actions == RIGHT, right, 1 - right).double().log()

    @property
    def features(self) -> Tensor:
        """One of eighty numbers is 1: those of a step, a state and an action."""
        return self._shown(self.actions)[self.log.step_mask]

    def choices(self, right: float) -> PolicyActions:
        """Both actions everywhere."""
        both = [self._shown(torch.full_like(self.actions, action))[self.log.step_mask] for action in (RIGHT, LEFT)]
        steps = torch.arange(len(both[0]))
        chances = torch.tensor([right, 1 - right]).double().repeat_interleave(len(steps))
        return PolicyActions(torch.cat(both), steps.repeat(2), chances)

    def _shown(self, actions: Tensor) -> Tensor:
        places = (torch.arange(HORIZON) * STATES + self.states) * 2 + actions
        return torch.nn.functional.one_hot(places, HORIZON * STATES * 2).double()


def walked(episodes: int, seed: int, right: float = BEHAVIOR) -> Walks:
    """A log of a policy."""
    chances = torch.rand(episodes, HORIZON, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    actions = torch.where(chances < right, RIGHT, LEFT)
    state, going = torch.zeros(episodes, dtype=torch.int64), torch.ones(episodes, dtype=torch.bool)
    states, mask, rewards = [], [], []
    for step in range(HORIZON):
        goal = going & (state == STATES - 1) & (actions[:, step] == RIGHT)
        states.append(state)
        mask.append(going)
        rewards.append(goal.double())
        going = going & ~goal
        state = torch.where(actions[:, step] == RIGHT, state + 1, state - 1).clamp(0, STATES - 1)
    behavior = torch.where(actions == RIGHT, right, 1 - right).double().log()
    log = LoggedEpisodes(torch.stack(rewards, 1), behavior, torch.stack(mask, 1))
    return Walks(torch.stack(states, 1), actions, log)


def value(right: float) -> float:
    """What a policy earns."""
    following = torch.zeros(STATES + 1, dtype=torch.float64)
    for _ in range(HORIZON):
        onward = GAMMA * following[1:]
        onward[-1] = 1.0
        back = GAMMA * following[[max(0, state - 1) for state in range(STATES)]]
        following = torch.cat([right * onward + (1 - right) * back, torch.zeros(1)])
    return float(following[0])
