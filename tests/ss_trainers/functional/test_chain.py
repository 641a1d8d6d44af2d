"""Offline learning and off-policy evaluation on a chain of five states, small enough to be solved exactly.

The agent begins in state 0. ``RIGHT`` goes on, and from the last state to the goal, which is worth 1 and the end;
``LEFT`` goes back, at state 0 nowhere; ``WAIT`` costs 1 and changes nothing. The log goes right 6 times in 10 and left
otherwise: nothing in it says what waiting costs.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ss_trainers.functional.advantages import returns_to_go
from ss_trainers.functional.conservatism import conservative_gap
from ss_trainers.functional.expectiles import advantage_weights, expectile_loss
from ss_trainers.functional.off_policy import (
    SupportError,
    bootstrap_interval,
    doubly_robust,
    effective_samples,
    expected_values,
    importance_sampled,
    log_trajectory_weights,
    per_decision,
    require_support,
    weighted_mean,
)
from ss_trainers.functional.returns import bellman_target, episode_returns
from ss_trainers.functional.support import supported_actions, supported_values

RIGHT, LEFT, WAIT = range(3)
STATES, GAMMA = 5, 0.9
# By state and action. Nothing comes after the goal, so that any state can stand for it.
NEXT_STATES = torch.tensor([[min(state + 1, 4), max(state - 1, 0), state] for state in range(STATES)])
REWARDS = torch.tensor([[float(state == 4), 0.0, -1.0] for state in range(STATES)], dtype=torch.float64)
GOAL = torch.tensor([[state == 4, False, False] for state in range(STATES)])
BEST = GAMMA**4


def policy(right: float) -> Tensor:
    """Goes right so often, and left otherwise: (S, A)."""
    return torch.tensor([right, 1 - right, 0.0], dtype=torch.float64).expand(STATES, -1)


def exact_values(probabilities: Tensor) -> Tensor:
    """V of a policy, from the linear equations that it satisfies: (S,)."""
    moves = torch.zeros(STATES, STATES, dtype=torch.float64)
    for action in range(3):
        goes_on = torch.where(GOAL[:, action], 0.0, probabilities[:, action])
        moves[torch.arange(STATES), NEXT_STATES[:, action]] += goes_on
    return torch.linalg.solve(torch.eye(STATES).double() - GAMMA * moves, (probabilities * REWARDS).sum(1))


@dataclass(frozen=True)
class Log:
    """Steps of whole episodes, one after the other: (N,) each."""

    states: Tensor
    actions: Tensor
    ends: Tensor

    def shares(self) -> Tensor:
        """How often each action was taken in each state: (S, A)."""
        counts = torch.bincount(self.states * 3 + self.actions, minlength=3 * STATES).view(STATES, 3).double()
        return counts / counts.sum(1, keepdim=True)


def logged(episodes: int, seed: int) -> Log:
    generator = torch.Generator().manual_seed(seed)
    steps = []
    for _ in range(episodes):
        state, ended = 0, False
        while not ended:
            action = RIGHT if torch.rand((), generator=generator) < 0.6 else LEFT
            ended = bool(GOAL[state, action])
            steps.append((state, action, ended))
            state = int(NEXT_STATES[state, action])
    states, actions, ends = zip(*steps, strict=True)
    return Log(torch.tensor(states), torch.tensor(actions), torch.tensor(ends))


def greedy_return(choice: Tensor) -> float:
    """What always taking these actions, (S,), earns in 60 steps."""
    state, earned = 0, 0.0
    for step in range(60):
        action = int(choice[state])
        earned += GAMMA**step * REWARDS[state, action].item()
        if GOAL[state, action]:
            break
        state = int(NEXT_STATES[state, action])
    return earned


def learn_action_values(shares: Tensor, support: Tensor, conservatism: float = 0.0) -> Tensor:
    """Q-learning by gradient descent on the log's mean loss, from 2 everywhere: (S, A)."""
    values = torch.full((STATES, 3), 2.0, dtype=torch.float64, requires_grad=True)
    actions = torch.arange(3).expand(STATES, -1)
    for _ in range(1200):
        best = supported_values(values.detach(), support).amax(1)
        targets = bellman_target(REWARDS, best[NEXT_STATES], GOAL, GAMMA)
        loss = (values - targets).square() / 2
        if conservatism:
            loss = loss + conservatism * conservative_gap(values[:, None, :].expand(-1, 3, -1), actions)
        (slope,) = torch.autograd.grad((shares * loss).sum(), values)
        values.data -= 0.5 * slope
    return values.detach()


def learn_values(shares: Tensor, expectile: float) -> tuple[Tensor, Tensor]:
    """Implicit Q-learning by gradient descent: V (S,) and Q (S, A)."""
    values = torch.zeros(STATES, dtype=torch.float64, requires_grad=True)
    for _ in range(1200):
        action_values = bellman_target(REWARDS, values.detach()[NEXT_STATES], GOAL, GAMMA)
        loss = expectile_loss(values[:, None], action_values, expectile)
        (slope,) = torch.autograd.grad((shares * loss).sum(), values)
        values.data -= 0.5 * slope
    return values.detach(), action_values


@pytest.fixture(scope="module")
def log() -> Log:
    return logged(150, seed=0)


# --- learning ------------------------------------------------------------------------------------

EVERYTHING = torch.ones(STATES, 3, dtype=torch.bool)


def test_q_learning_waits_for_ever_since_nobody_told_it_what_waiting_costs(log) -> None:
    choice = learn_action_values(log.shares(), EVERYTHING).argmax(1)
    assert choice.tolist() == [WAIT] * STATES
    # Sixty steps of -1: -10 (1 - .9^60).
    assert greedy_return(choice) == pytest.approx(-9.98, abs=0.005)


@pytest.mark.parametrize("conservatism", [0.1, 1.0])
def test_conservative_q_learning_goes_to_the_goal(log, conservatism) -> None:
    values = learn_action_values(log.shares(), EVERYTHING, conservatism)
    assert values.argmax(1).tolist() == [RIGHT] * STATES
    assert greedy_return(values.argmax(1)) == pytest.approx(0.6561) == pytest.approx(BEST)
    assert bool((values[:, WAIT] < values[:, RIGHT] - 1).all())


def test_batch_constrained_q_learning_finds_the_best_values_of_what_was_done(log) -> None:
    support = supported_actions(log.shares().log(), 0.3)
    values = learn_action_values(log.shares(), support)
    choice = supported_values(values, support).argmax(1)
    assert greedy_return(choice) == pytest.approx(BEST)
    assert values[:, RIGHT].tolist() == pytest.approx([GAMMA ** (4 - state) for state in range(STATES)], abs=1e-6)


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.9])
def test_implicit_q_learning_clones_the_actions_that_lead_to_the_goal(log, expectile) -> None:
    values, action_values = learn_values(log.shares(), expectile)
    weights = advantage_weights(action_values - values[:, None], beta=3.0)
    choice = (log.shares() * weights).argmax(1)
    assert choice.tolist() == [RIGHT] * STATES and greedy_return(choice) == pytest.approx(BEST)


def test_the_mean_expectile_is_the_value_of_the_behaviour_policy_and_higher_ones_near_the_best(log) -> None:
    shares = log.shares()
    half, nine, most = (learn_values(shares, expectile)[0] for expectile in (0.5, 0.9, 0.99))
    torch.testing.assert_close(half, exact_values(shares), rtol=0, atol=1e-6)
    assert half[0] < nine[0] < most[0] < BEST
    assert nine[0].item() == pytest.approx(0.614, abs=2e-3) and most[0].item() == pytest.approx(BEST, abs=5e-3)


def test_published_values_of_one_log() -> None:
    # How often that log went right in each state is recovered from the values of its policy, given to four digits.
    right = torch.tensor([0.6117, 0.6320, 0.6023, 0.5960, 0.5778], dtype=torch.float64)
    shares = torch.stack([right, 1 - right, torch.zeros(STATES)], 1)
    expected = [0.3006, 0.3552, 0.4494, 0.5945, 0.8037]
    assert exact_values(shares).tolist() == pytest.approx(expected, abs=1e-4)
    assert learn_values(shares, 0.5)[0].tolist() == pytest.approx(expected, abs=1e-3)
    assert learn_values(shares, 0.9)[0][0].item() == pytest.approx(0.614, abs=1e-3)


# --- evaluation of a policy that was not logged --------------------------------------------------


def fitted_values(shares: Tensor, probabilities: Tensor) -> Tensor:
    """Fitted Q evaluation, on the actions that were logged: V of the policy, (S,)."""
    values = torch.zeros(STATES, 3, dtype=torch.float64)
    for _ in range(400):
        following = expected_values(values[NEXT_STATES], probabilities.log()[NEXT_STATES])
        values = torch.where(shares > 0, bellman_target(REWARDS, following, GOAL, GAMMA), math.nan)
    return expected_values(values, probabilities.log())


def test_fitted_q_evaluation_is_exact_where_all_that_the_policy_does_was_logged(log) -> None:
    for probabilities in (policy(0.8), policy(0.3), log.shares()):
        found = fitted_values(log.shares(), probabilities)
        torch.testing.assert_close(found, exact_values(probabilities), rtol=0, atol=1e-9)


def test_fitted_q_evaluation_of_the_logs_own_policy_is_about_its_mean_return(log) -> None:
    returns = episode_returns(log.ends.double(), log.ends, log.ends & False, GAMMA)
    first = returns[torch.cat([torch.tensor([True]), log.ends[:-1]])]
    error = (first.std() / len(first) ** 0.5).item()
    assert len(first) == 150
    assert fitted_values(log.shares(), log.shares())[0].item() == pytest.approx(first.mean().item(), abs=3 * error)


HORIZON, LOGS, EPISODES = 8, 200, 100
TARGET, BEHAVIOR = policy(0.8), policy(0.6)


@dataclass(frozen=True)
class Episodes:
    """States, actions and rewards of all logs' episodes, and which steps there are: (N, H) each."""

    states: Tensor
    actions: Tensor
    rewards: Tensor
    mask: Tensor

    def logprobs(self, probabilities: Tensor) -> Tensor:
        return probabilities[self.states, self.actions].log()

    def weights(self, probabilities: Tensor) -> Tensor:
        return log_trajectory_weights(self.logprobs(probabilities), self.logprobs(BEHAVIOR), self.mask)

    def returns(self) -> Tensor:
        return returns_to_go(self.rewards, self.mask, GAMMA)[:, 0]


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    chances = torch.rand(LOGS * EPISODES, HORIZON, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    actions = torch.where(chances < 0.6, RIGHT, LEFT)
    state, alive = torch.zeros(len(actions), dtype=torch.int64), torch.ones(len(actions), dtype=torch.bool)
    states, mask = [], []
    for step in range(HORIZON):
        states.append(state)
        mask.append(alive)
        alive = alive & ~GOAL[state, actions[:, step]]
        state = NEXT_STATES[state, actions[:, step]]
    visited, there = torch.stack(states, 1), torch.stack(mask, 1)
    return Episodes(visited, actions, torch.where(there, REWARDS[visited, actions], 0.0), there)


def values_by_step(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """V (H, S) and Q (H, S, A) of a policy that has eight steps in all."""
    following, values, action_values = torch.zeros(STATES, dtype=torch.float64), [], []
    for _ in range(HORIZON):
        action_values.append(bellman_target(REWARDS, following[NEXT_STATES], GOAL, GAMMA))
        following = expected_values(action_values[-1], probabilities.log())
        values.append(following)
    return torch.stack(values[::-1]), torch.stack(action_values[::-1])


TRUTH = values_by_step(TARGET)[0][0, 0].item()


def estimates(episodes: Episodes) -> dict[str, Tensor]:
    """What each estimator makes of each of the logs: (LOGS,) each."""
    weights, returns = episodes.weights(TARGET), episodes.returns()
    values, action_values = values_by_step(TARGET)
    steps = torch.arange(HORIZON).expand_as(episodes.states)
    logged = (episodes.logprobs(TARGET), episodes.logprobs(BEHAVIOR), episodes.rewards)
    exact = action_values[steps, episodes.states, episodes.actions], values[steps, episodes.states]
    constant = torch.full_like(episodes.rewards, 0.3)
    by_episode = {
        "IS": importance_sampled(weights, returns),
        "PDIS": per_decision(*logged, episodes.mask, GAMMA),
        "DR with exact values": doubly_robust(*logged, *exact, episodes.mask, GAMMA),
        "DR with a constant": doubly_robust(*logged, constant, constant, episodes.mask, GAMMA),
    }
    found = {name: terms.view(LOGS, EPISODES).mean(1) for name, terms in by_episode.items()}
    pairs = zip(returns.view(LOGS, EPISODES), weights.view(LOGS, EPISODES), strict=True)
    return {**found, "WIS": torch.stack([weighted_mean(*pair) for pair in pairs])}


def test_the_policy_earns_what_was_published() -> None:
    assert pytest.approx(0.3984, abs=5e-5) == TRUTH


def test_estimators_have_the_published_means_and_spreads(episodes) -> None:
    found = estimates(episodes)
    for name, mean, spread in (("IS", 0.395, 0.082), ("WIS", 0.394, 0.043), ("DR with a constant", 0.397, 0.059)):
        # Both are of 200 logs: their difference has twice the variance.
        error = spread * (2 / LOGS) ** 0.5
        assert found[name].mean().item() == pytest.approx(mean, abs=3 * error), name
        assert found[name].std().item() == pytest.approx(spread, abs=3 * error / 2**0.5), name
    exact = found["DR with exact values"]
    assert exact.tolist() == pytest.approx([TRUTH] * LOGS, abs=1e-12)


def test_all_but_the_weighted_one_are_unbiased_and_all_but_the_plain_one_spread_less(episodes) -> None:
    found = estimates(episodes)
    for name in ("IS", "PDIS", "DR with a constant"):
        error = (found[name].std() / LOGS**0.5).item()
        assert found[name].mean().item() == pytest.approx(TRUTH, abs=3 * error), name
    # The reward comes with the last action: there is no later weight that PDIS could leave out.
    torch.testing.assert_close(found["PDIS"], found["IS"])
    assert found["WIS"].std() < found["DR with a constant"].std() < found["IS"].std()


def test_intervals_of_most_logs_hold_the_truth(episodes) -> None:
    generator = torch.Generator().manual_seed(1)
    returns, weights = episodes.returns().view(LOGS, -1), episodes.weights(TARGET).view(LOGS, -1)
    held = 0
    for log in range(50):
        assert require_support(weights[log]) > 30
        low, high = bootstrap_interval(returns[log], generator, weights[log], resamples=100)
        held += low <= TRUTH <= high
    # 47.5 expected, with a standard deviation of 1.5; resampling a hundred episodes makes intervals a little narrow.
    assert held >= 42


def test_a_log_that_hardly_ever_does_as_a_policy_would_is_refused(episodes) -> None:
    # One mistake, and the policy that only goes right would not have played the episode.
    weights = episodes.weights(policy(1.0)).view(LOGS, -1)
    counts = (episodes.mask.sum(1) == STATES).view(LOGS, -1).sum(1)
    assert [effective_samples(row).item() for row in weights] == pytest.approx(counts.tolist())
    few, many = int(counts.argmin()), int(counts.argmax())
    with pytest.raises(SupportError, match=f"100 logged episodes .* as {counts[few]}.0 of its own"):
        require_support(weights[few])
    assert require_support(weights[many]) == pytest.approx(float(counts.max())) and counts.max() >= 10
