"""Fitted Q evaluation: exact where it can be, a mean over the policy everywhere, and open about what it can't know."""

import math
from dataclasses import replace

import pytest
import torch

from ss_trainers.off_policy.fitted_q import (
    FittedQConfig,
    LoggedSteps,
    PolicyActions,
    UnsettledError,
    fitted_q_evaluation,
)
from tests.ss_trainers.off_policy.chain import BEHAVIOR, GAMMA, TARGET, TRUTH, value, walked

TABLE = FittedQConfig(gamma=GAMMA, hidden=0, ridge=0.0, folds=1, tolerance=1e-9)
ONE = torch.ones(1, dtype=torch.float64)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def marks(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


# --- what it learns ---------------------------------------------------------------------------------


def test_the_chain_of_the_tests_is_the_one_that_was_published() -> None:
    assert value(TARGET) == pytest.approx(TRUTH, abs=5e-5)


@pytest.mark.parametrize("right", [0.3, BEHAVIOR, TARGET, 1.0])
def test_a_table_gives_what_policies_earn_where_all_that_they_do_was_logged(right: float) -> None:
    walks = walked(1_000, seed=0)
    found = fitted_q_evaluation(walks.log.steps(walks.features), walks.choices(right), TABLE)
    # The world is certain, so nothing is left to chance.
    assert found.estimate == pytest.approx(value(right), abs=1e-6)
    # In the last state, going right is worth 1 at any time, and going left at the last step nothing.
    states, actions = walks.states[walks.log.step_mask], walks.actions[walks.log.step_mask]
    assert found.action_values[(states == 4) & (actions == 0)].numpy() == pytest.approx(1.0, abs=1e-6)
    last = walks.log.steps(walks.features).ends & (walks.log.rewards[walks.log.step_mask] == 0)
    assert found.action_values[last].numpy() == pytest.approx(0.0, abs=1e-6)


def test_the_values_of_the_logs_own_policy_are_about_its_mean_return() -> None:
    walks = walked(400, seed=1)
    returns = walks.log.returns(GAMMA)
    found = fitted_q_evaluation(walks.log.steps(walks.features), walks.choices(BEHAVIOR), FittedQConfig(gamma=GAMMA))
    assert found.estimate == pytest.approx(float(returns.mean()), abs=3 * float(returns.std()) / 20)


def test_a_state_is_worth_the_mean_over_the_policy_and_not_its_best_action() -> None:
    # One step: the first action earns 1 and the second 0, and the policy takes them 1 and 3 times in 4.
    log = LoggedSteps(column(0, 1), torch.tensor([1.0, 0.0]).double(), marks(1, 1))
    often = PolicyActions(column(0, 1, 0, 1), torch.tensor([0, 0, 1, 1]), column(0.25, 0.75, 0.25, 0.75)[:, 0])
    found = fitted_q_evaluation(log, often, TABLE)
    assert found.action_values.tolist() == pytest.approx([1.0, 0.0])
    assert found.state_values.tolist() == pytest.approx([0.25, 0.25]) and found.estimate == pytest.approx(0.25)
    drawn = PolicyActions.drawn(torch.tensor([[[0.0], [1.0], [1.0], [1.0]]] * 2).double())
    again = fitted_q_evaluation(log, drawn, TABLE)
    assert again.state_values.tolist() == pytest.approx([0.25, 0.25])


def test_random_features_tell_what_is_good_in_one_state_and_bad_in_another() -> None:
    # Exclusive or: nothing that is linear in state and action can say it.
    pairs = torch.cartesian_prod(torch.arange(2.0), torch.arange(2.0)).double().repeat(50, 1)
    right = (pairs[:, 0] != pairs[:, 1]).double()
    log = LoggedSteps(pairs, right, torch.ones(len(pairs), dtype=torch.bool))
    same = PolicyActions(pairs, torch.arange(len(pairs)), torch.ones(len(pairs)).double())
    errors = {
        hidden: float((fitted_q_evaluation(log, same, FittedQConfig(hidden=hidden)).action_values - right).abs().max())
        for hidden in (0, 64)
    }
    assert errors[0] > 0.4 and errors[64] < 0.01


def test_features_may_be_in_any_unit() -> None:
    walks = walked(60, seed=0)
    steps, choices = walks.log.steps(walks.features), walks.choices(TARGET)
    found = fitted_q_evaluation(steps, choices)
    scaled = fitted_q_evaluation(
        replace(steps, features=1000 * steps.features + 7), replace(choices, features=1000 * choices.features + 7)
    )
    torch.testing.assert_close(scaled.action_values, found.action_values, rtol=1e-6, atol=1e-6)


def test_what_next_states_are_worth_is_clipped_to_the_bounds() -> None:
    # Both first steps earn 0 and lead to a state that is worth 3 in the log; at most 1 can be earned, it is said.
    log = LoggedSteps(column(0, 1, 0, 1), torch.tensor([0.0, 3.0, 0.0, 3.0]).double(), marks(0, 1, 0, 1))
    same = PolicyActions(log.features, torch.arange(4), ONE.expand(4))
    free = fitted_q_evaluation(log, same, TABLE)
    bound = fitted_q_evaluation(log, same, replace(TABLE, bounds=(0.0, 1.0)))
    assert free.action_values.tolist() == pytest.approx([GAMMA * 3, 3.0] * 2)
    assert bound.action_values.tolist() == pytest.approx([GAMMA, 3.0] * 2)
    assert bound.estimate == pytest.approx(GAMMA)


# --- how sure it is ---------------------------------------------------------------------------------


def bandits(episodes: int, seed: int) -> tuple[LoggedSteps, PolicyActions]:
    """Two choices between 0 and 1, evenly logged, after which 1 is earned as often as they say, in a table.

    The policy chooses 1 nine times in ten: it earns .81 x .8 + .18 x .5 + .01 x .2 = .74.
    """
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(2, (2, episodes), generator=generator)
    success = torch.rand(episodes, generator=generator) < 0.2 + 0.3 * (first + second)
    # Of a table of 2 first choices, and 4 second ones that know the first.
    own = torch.stack([first, 2 + 2 * first + second], 1).flatten()
    possible = torch.stack([first * 0, first * 0 + 1, 2 + 2 * first, 3 + 2 * first], 1).flatten()
    ends = torch.tensor([False, True]).repeat(episodes)
    rewards = torch.where(ends, success.repeat_interleave(2), 0.0).double()
    log = LoggedSteps(torch.nn.functional.one_hot(own, 6).double(), rewards, ends)
    steps, chances = torch.arange(2 * episodes).repeat_interleave(2), torch.tensor([0.1, 0.9]).double()
    return log, PolicyActions(torch.nn.functional.one_hot(possible, 6).double(), steps, chances.repeat(2 * episodes))


def test_the_terms_of_episodes_tell_how_much_the_estimate_varies_from_log_to_log() -> None:
    estimates, told, first_states = [], [], []
    config = FittedQConfig(hidden=0, ridge=0.0, folds=1)
    for seed in range(80):
        log, policy = bandits(150, seed)
        found = fitted_q_evaluation(log, policy, config)
        assert found.terms is not None and found.estimate is not None
        estimates.append(found.estimate)
        told.append(float(found.terms.std()) / math.sqrt(150))
        first_states.append(float(found.state_values[log.starts].std()))
    spread = float(torch.tensor(estimates).std())
    assert sum(estimates) / 80 == pytest.approx(0.74, abs=3 * spread / math.sqrt(80))
    # Of 80 logs the spread is known to a twelfth; here all begin in the same state, whose value alone would say 0.
    assert sum(told) / 80 == pytest.approx(spread, rel=0.25)
    assert max(first_states) < 1e-9


def test_the_values_of_an_episode_in_a_fold_know_nothing_of_what_it_earned() -> None:
    walks = walked(60, seed=3)
    steps, choices = walks.log.steps(walks.features), walks.choices(TARGET)
    spoilt = steps.rewards.clone()
    spoilt[steps.episodes == 7] = 5.0
    for folds, knows in ((2, False), (1, True)):
        config = FittedQConfig(gamma=GAMMA, folds=folds)
        before, after = (
            fitted_q_evaluation(each, choices, config).action_values[steps.episodes == 7]
            for each in (steps, replace(steps, rewards=spoilt))
        )
        assert bool((before - after).abs().max() > 0.01) == knows


def test_folds_do_not_part_a_cluster() -> None:
    walks = walked(60, seed=3)
    steps, choices = walks.log.steps(walks.features), walks.choices(TARGET)
    twins = replace(steps, clusters=torch.arange(60) // 2)
    spoilt = twins.rewards.clone()
    spoilt[steps.episodes == 7] = 5.0
    before, after = (
        fitted_q_evaluation(each, choices, FittedQConfig(gamma=GAMMA, tolerance=1e-12)).action_values[
            steps.episodes == 6
        ]
        for each in (twins, replace(twins, rewards=spoilt))
    )
    torch.testing.assert_close(before, after, rtol=1e-9, atol=1e-9)


def test_the_same_seed_gives_the_same_values_and_the_global_generator_is_left_alone() -> None:
    walks = walked(50, seed=0)
    steps, choices, state = walks.log.steps(walks.features), walks.choices(TARGET), torch.get_rng_state()
    first, second, other = (fitted_q_evaluation(steps, choices, FittedQConfig(seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first.action_values, second.action_values) and first.estimate == second.estimate
    assert not torch.equal(first.action_values, other.action_values)
    assert torch.equal(state, torch.get_rng_state())


def test_values_that_grow_from_regression_to_regression_are_refused() -> None:
    # The log's actions are 0 and 1, and the policy's in the state after a 1 is a 3: three times what is to be learnt.
    log = LoggedSteps(column(0, 0, 1, 0), torch.tensor([0.0, 0.0, 1.0, 0.0]).double(), marks(0, 1, 0, 1))
    bold = PolicyActions(column(0, 0, 1, 3), torch.arange(4), ONE.expand(4))
    with pytest.raises(UnsettledError, match=r"after \d+ regressions values still change .*: give bounds") as caught:
        fitted_q_evaluation(log, bold, TABLE)
    assert caught.value.change > 1 and caught.value.iterations > 1
    bound = fitted_q_evaluation(log, bold, replace(TABLE, bounds=(0.0, 1.0)))
    assert bound.action_values[2].item() == pytest.approx(1 + GAMMA, abs=1e-6)


# --- what it is not given ---------------------------------------------------------------------------


def test_steps_that_nothing_can_be_learnt_from_are_named() -> None:
    good = {"features": column(0, 1), "rewards": torch.zeros(2).double(), "ends": marks(0, 1)}
    nan = torch.tensor([0.0, math.nan]).double()
    for wrong, says in (
        ({"features": torch.zeros(0, 1)}, r"with a row or more, not torch.float32 \(0, 1\)"),
        ({"features": torch.zeros(2, 1, dtype=torch.int64)}, r"must be float \(N, F\)"),
        ({"features": nan[:, None]}, "features of logged steps are not finite in row 1"),
        ({"rewards": nan}, "the reward of step 1 is not finite"),
        ({"rewards": torch.zeros(3)}, r"rewards must be \(2,\) and ends bool \(2,\), one a step, not \(3,\)"),
        ({"ends": torch.zeros(2)}, "ends bool"),
        ({"ends": marks(1, 0)}, "the last step must be the end of its episode"),
        ({"clusters": torch.zeros(2, dtype=torch.int64)}, "clusters must be one for each episode: there are 1"),
    ):
        with pytest.raises(ValueError, match=says):
            LoggedSteps(**{**good, **wrong})


def test_policies_that_do_not_say_what_they_do_are_named() -> None:
    log = LoggedSteps(column(0, 1), torch.zeros(2).double(), marks(0, 1))
    for features, steps, chances, says in (
        (column(0, 1), [0, 1], [1.0, 0.9], "the chances of what the policy does at step 1 add up to 0.9, not 1"),
        (column(0), [0], [1.0], "at step 1 add up to 0, not 1"),
        (column(0, 1), [0, 2], [1.0, 1.0], "action 1 is of step 2, and there are 2"),
        (torch.zeros(2, 3).double(), [0, 1], [1.0, 1.0], "they have 3 numbers, and those of the log 1"),
    ):
        actions = PolicyActions(features, torch.tensor(steps), torch.tensor(chances))
        with pytest.raises(ValueError, match=says):
            fitted_q_evaluation(log, actions)
    with pytest.raises(ValueError, match=r"the chance of action 1 is -0\.5"):
        PolicyActions(column(0, 1), torch.arange(2), torch.tensor([1.0, -0.5]))
    with pytest.raises(ValueError, match="one an action"):
        PolicyActions(column(0, 1), torch.arange(3), torch.ones(2))
    with pytest.raises(ValueError, match=r"\(T, n, F\), not \(2, 1\)"):
        PolicyActions.drawn(column(0, 1))


def test_settings_that_no_fit_could_mean_are_refused() -> None:
    for wrong, says in (
        ({"gamma": 1.1}, "gamma must be from 0 to 1"),
        ({"hidden": -1}, "hidden must be at least 0"),
        ({"folds": 0}, "folds must be at least 1"),
        ({"tolerance": 0.0}, "tolerance must be a share"),
        ({"bounds": (1.0, 0.0)}, "bounds must be a least and a greatest return"),
    ):
        with pytest.raises(ValueError, match=says):
            FittedQConfig(**wrong)
    log = LoggedSteps(column(0), torch.zeros(1).double(), marks(1))
    with pytest.raises(ValueError, match="2 folds need as many groups of episodes, and there are 1"):
        fitted_q_evaluation(log, PolicyActions(column(0), torch.zeros(1, dtype=torch.int64), ONE))
