import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.support import (
    perturbed_actions,
    soft_clipped_minimum,
    supported_actions,
    supported_candidates,
    supported_values,
)
from tests.ss_trainers.functional.tables import tables

PROBABILITIES = torch.tensor([0.6, 0.35, 0.05], dtype=torch.float64)


def scored_actions():
    """Logits and values of some actions, (N, A) each."""
    return tables(st.floats(-20, 20), st.floats(-20, 20), most_columns=5)


# --- discrete actions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.0, [True, True, True]),
        (0.08, [True, True, True]),
        (0.3, [True, True, False]),
        (0.59, [True, False, False]),
        (1.0, [True, False, False]),
    ],
)
def test_support_of_three_actions(threshold, expected) -> None:
    assert supported_actions(PROBABILITIES.log(), threshold).tolist() == expected


def test_the_best_of_the_supported_actions() -> None:
    values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert supported_values(values, supported_actions(PROBABILITIES.log())).argmax().item() == 1


def test_an_action_without_support_is_not_chosen_where_all_values_are_negative() -> None:
    values, support = torch.tensor([-1.0, -2.0, -5.0]), torch.tensor([True, False, False])
    assert (values * support).argmax().item() == 1
    assert supported_values(values, support).argmax().item() == 0


def test_an_action_that_is_as_likely_as_the_threshold_is_not_supported() -> None:
    assert supported_actions(torch.tensor([0.5, 0.25, 0.25]).log(), 0.5).tolist() == [True, False, False]


def test_equally_likely_actions_are_all_supported_at_any_threshold() -> None:
    assert supported_actions(torch.tensor([0.4, 0.4, 0.2]).log(), 1.0).tolist() == [True, True, False]


@given(scored_actions())
def test_threshold_zero_chooses_as_without_one_and_nearly_one_as_the_behaviour_policy(choices) -> None:
    logits, values = choices
    free = supported_values(values, supported_actions(logits, 0.0))
    assert torch.equal(free.argmax(-1), values.argmax(-1))
    for threshold in (1 - 1e-12, 1.0):
        bound = supported_values(values, supported_actions(logits, threshold)).argmax(-1, keepdim=True)
        torch.testing.assert_close(logits.gather(-1, bound).squeeze(-1), logits.amax(-1), rtol=0, atol=1e-11)


@given(scored_actions(), st.floats(0, 1), st.floats(-5, 5))
def test_the_choice_is_always_in_the_support_of_the_policy(choices, threshold, shift) -> None:
    logits, values = choices
    chosen = supported_values(values - 100, supported_actions(logits, threshold)).argmax(-1, keepdim=True)
    probabilities = logits.softmax(-1)
    relative = (probabilities.gather(-1, chosen).squeeze(-1) / probabilities.amax(-1)).tolist()
    assert all(share > threshold * (1 - 1e-9) for share in relative)
    assert torch.equal(supported_actions(logits.log_softmax(-1) + shift, 0.5), supported_actions(logits, 0.5)) or (
        # A share that rounds to the threshold.
        (probabilities / probabilities.amax(-1, keepdim=True) - 0.5).abs().min() < 1e-9
    )


@given(scored_actions(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_supports_no_more(choices, one, other) -> None:
    low, high = sorted((one, other))
    assert bool((supported_actions(choices[0], low) | ~supported_actions(choices[0], high)).all())


def test_values_without_support_have_no_gradient() -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    supported_values(values, torch.tensor([True, False])).amax().backward()
    assert values.grad.tolist() == [1.0, 0.0]


# --- candidates ----------------------------------------------------------------------------------


def test_candidates_within_a_nat_of_the_likeliest() -> None:
    likelihood = torch.tensor([[-0.5, -1.5, -1.6, -0.1], [-3.0, -2.0, 9.0, -2.5]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False], [True, True, False, True]])
    # Above all of them is one that is not there.
    assert supported_candidates(likelihood, mask, 1.0).tolist() == [
        [True, True, False, False],
        [True, True, False, True],
    ]
    assert supported_candidates(likelihood, mask, 0.0).tolist() == [
        [True, False, False, False],
        [False, True, False, False],
    ]


def test_a_row_without_candidates_supports_none() -> None:
    assert not supported_candidates(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool), 5.0).any()


@given(scored_actions(), st.floats(0.001, 1))
def test_with_a_mask_of_all_it_is_the_filter_of_actions(choices, threshold) -> None:
    logits = choices[0]
    margin = -math.log(threshold)
    candidates = supported_candidates(logits, torch.ones_like(logits, dtype=torch.bool), margin)
    relative = logits - logits.amax(-1, keepdim=True)
    clear = (relative + margin).abs() > 1e-9
    assert torch.equal(candidates[clear], supported_actions(logits, threshold)[clear])
    assert bool(candidates.gather(-1, logits.argmax(-1, keepdim=True)).all())


# --- critics that disagree -----------------------------------------------------------------------


def test_two_critics_that_say_two_and_four() -> None:
    values = torch.tensor([[2.0], [4.0]], requires_grad=True)
    mixed = soft_clipped_minimum(values)
    mixed.sum().backward()
    assert mixed.tolist() == [2.5] and values.grad.flatten().tolist() == [0.75, 0.25]


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=4), st.floats(0, 1))
def test_the_mixture_lies_between_the_critics(numbers, weight) -> None:
    values = torch.tensor(numbers, dtype=torch.float64)
    assert values.min() - 1e-9 <= soft_clipped_minimum(values, weight) <= values.max() + 1e-9
    assert soft_clipped_minimum(values, 1.0) == values.min() and soft_clipped_minimum(values, 0.0) == values.max()


# --- continuous actions --------------------------------------------------------------------------


def test_actions_are_moved_a_twentieth_of_their_range_at_most() -> None:
    actions = torch.tensor([0.5, -1.98, 2.0], dtype=torch.float64)
    perturbation = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)
    moved = perturbed_actions(actions, perturbation, 0.05, max_action=2.0)
    assert moved.tolist() == pytest.approx([0.6, -2.0, 2.0])


@given(scored_actions(), st.floats(0, 1))
def test_perturbed_actions_stay_near_and_in_range(numbers, bound) -> None:
    actions, perturbation = (number.tanh() for number in numbers)
    moved = perturbed_actions(actions, perturbation, bound)
    assert moved.abs().max() <= 1 and (moved - actions).abs().max() <= bound + 1e-12
