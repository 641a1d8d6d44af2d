import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ss_trainers.functional.continual import (
    average_accuracy,
    backward_transfer,
    diagonal_fisher,
    ewc_penalty,
    forgetting,
    forward_transfer,
    lwf_loss,
    merged_fisher,
    sampled_lwf_loss,
)
from ss_trainers.functional.ratios import sequence_logprob

NAN, INFINITY = float("nan"), float("inf")


def vector(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


# --- elastic weight consolidation ----------------------------------------------------------------

FISHER = [vector(0.5, 0.01), torch.tensor([[2.0], [0.0]], dtype=torch.float64)]
ANCHORS = [vector(1.0, -1.0), torch.tensor([[3.0], [5.0]], dtype=torch.float64)]


def test_two_parameters_that_have_moved() -> None:
    # 50 (.5 * .01 + .01 * .09).
    assert ewc_penalty([vector(1.1, -0.7)], ANCHORS[:1], FISHER[:1], 100.0).item() == pytest.approx(0.295)


def test_the_penalty_is_the_sum_over_all_tensors_and_not_their_mean() -> None:
    moved = [ANCHORS[0] + 1, ANCHORS[1] + 1]
    assert ewc_penalty(moved, ANCHORS, FISHER, 2.0).item() == pytest.approx(0.51 + 2.0)


def test_where_the_parameters_were_there_is_neither_penalty_nor_force() -> None:
    parameters = [anchor.clone().requires_grad_() for anchor in ANCHORS]
    penalty = ewc_penalty(parameters, ANCHORS, FISHER, 7.0)
    assert penalty.item() == 0.0
    assert not any(gradient.any() for gradient in torch.autograd.grad(penalty, parameters))


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 5)), min_size=1, max_size=6), st.floats(0, 50)
)
def test_the_force_is_in_proportion_to_the_distance_the_fisher_and_the_weight(rows, weight) -> None:
    parameters, anchors, fisher = torch.tensor(rows, dtype=torch.float64).T
    parameters, anchors, fisher = (each.clone().requires_grad_() for each in (parameters, anchors, fisher))
    penalty = ewc_penalty([parameters], [anchors], [fisher], weight)
    penalty.backward()
    with torch.no_grad():
        torch.testing.assert_close(parameters.grad, weight * fisher * (parameters - anchors), rtol=1e-12, atol=1e-12)
    assert penalty.item() >= 0 and (weight > 0 or penalty.item() == 0)
    assert anchors.grad is None and fisher.grad is None


def test_the_fisher_squares_each_sample_before_it_averages() -> None:
    samples = [[vector(1.0, 2.0), vector(3.0)], [vector(-1.0, 0.0), vector(1.0)]]
    first, second = diagonal_fisher(samples)
    # The mean gradient is [0, 1] and [2]: its square would be [0, 1] and [4].
    assert first.tolist() == [1.0, 2.0] and second.tolist() == [5.0]


def test_gradients_may_come_from_a_generator_or_stacked() -> None:
    samples = [[vector(1.0, 2.0), vector(3.0)], [vector(-1.0, 0.0), vector(1.0)]]
    stacked = [torch.stack(each) for each in zip(*samples, strict=True)]
    for given_as in (iter(samples), zip(*stacked, strict=True)):
        assert [each.tolist() for each in diagonal_fisher(given_as)] == [[1.0, 2.0], [5.0]]


def test_samples_of_a_categorical_policy_have_the_variance_of_their_score() -> None:
    # Each action as often as it is probable: the Fisher information of a logit is then exactly p (1 - p).
    logits = vector(0.5, 0.25, 0.25).log().requires_grad_()
    samples = [torch.autograd.grad(logits.log_softmax(0)[action], logits) for action in (0, 0, 1, 2)]
    assert diagonal_fisher(samples)[0].tolist() == pytest.approx([0.25, 0.1875, 0.1875])


def test_the_tokens_of_an_action_are_one_sample() -> None:
    # One parameter that moves the log-probabilities of two tokens by 1 and 2: (1 + 2)², neither 1² + 2² nor their mean.
    parameter = vector(0.0).requires_grad_()
    logprobs = torch.stack([parameter[0] * 1, parameter[0] * 2, parameter[0] * 9])[None]
    mask = torch.tensor([[True, True, False]])
    gradient = torch.autograd.grad(sequence_logprob(logprobs, mask).sum(), parameter)
    assert diagonal_fisher([gradient])[0].item() == 9.0


def test_squares_of_half_precision_do_not_overflow_and_nothing_given_is_changed() -> None:
    gradients = [[torch.tensor([1000.0], dtype=torch.float16)] for _ in range(2)]
    (found,) = diagonal_fisher(gradients)
    assert found.dtype == torch.float32 and found.item() == 1e6
    exact = [vector(3.0)]
    assert diagonal_fisher([exact, exact])[0].item() == 9.0 and exact[0].item() == 3.0


def test_a_merged_fisher_fades_and_grows() -> None:
    older, newer = [vector(1.0, 2.0)], [vector(0.5, 0.0)]
    assert merged_fisher(older, newer, 0.5)[0].tolist() == [1.0, 1.0]
    assert merged_fisher(older, newer, 1.0)[0].tolist() == [1.5, 2.0]
    assert merged_fisher(older, newer, 0.0)[0].tolist() == [0.5, 0.0]
    assert older[0].tolist() == [1.0, 2.0]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=6), st.floats(0, 1))
def test_a_task_weighs_less_by_the_same_factor_with_each_one_after_it(tasks, decay) -> None:
    merged = [vector(tasks[0])]
    for new in tasks[1:]:
        merged = merged_fisher(merged, [vector(new)], decay)
    expected = math.fsum(new * decay ** (len(tasks) - 1 - place) for place, new in enumerate(tasks))
    assert merged[0].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ewc_penalty([], [], [], 1.0), "belong to no parameter"),
        (lambda: ewc_penalty(ANCHORS, ANCHORS[:1], FISHER, 1.0), "anchors must be one for each of 2 parameters, not 1"),
        (lambda: ewc_penalty(ANCHORS, ANCHORS, FISHER[::-1], 1.0), r"fisher .* number 0 is \(2, 1\), .* is \(2,\)"),
        (lambda: ewc_penalty(ANCHORS, ANCHORS, FISHER, -1.0), "weight must be 0 or more and finite, not -1.0"),
        (lambda: ewc_penalty(ANCHORS, ANCHORS, FISHER, NAN), "weight must be 0 or more and finite, not nan"),
        (lambda: diagonal_fisher([]), "mean over samples, and there are none"),
        (lambda: diagonal_fisher([[]]), "gradients of sample 0 belong to no parameter"),
        (lambda: diagonal_fisher([FISHER, FISHER[:1]]), "sample 1 must be one for each of 2 parameters, not 1"),
        (lambda: diagonal_fisher([FISHER, FISHER[::-1]]), "the gradients of sample 1 must have the shapes"),
        (lambda: diagonal_fisher([[vector(1.0)], [vector(NAN)]]), "gradient 0 of sample 1 is NaN or infinite"),
        (lambda: diagonal_fisher([[torch.tensor([1e30])]]), "gradient 0 of sample 0 is NaN or infinite"),
        (lambda: merged_fisher(FISHER, FISHER[:1], 1.0), "new_fisher must be one for each of 2 parameters, not 1"),
        (lambda: merged_fisher(FISHER, FISHER, 1.1), r"decay must be from 0 \(.*\) to 1 \(.*\), not 1.1"),
        (lambda: merged_fisher(FISHER, FISHER, NAN), "decay must be from 0 .*, not nan"),
        (lambda: merged_fisher([vector(1.0)], [vector(-1.0)], 1.0), r"new_fisher\[0\] must be 0 or more and finite"),
        (lambda: merged_fisher([vector(NAN)], [vector(1.0)], 1.0), r"fisher\[0\] must be 0 or more and finite"),
    ],
)
def test_fishers_that_do_not_fit_are_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# --- learning without forgetting -----------------------------------------------------------------

BEFORE, NOW = vector(2.0, 0.0)[None], vector(1.0, 0.0)[None]
ONE = torch.tensor([True])


@st.composite
def distributions(draw, rows=3, words=4):
    """Logits of two models and a mask: (rows, words) twice, (rows,)."""
    numbers = st.lists(st.floats(-8, 8), min_size=rows * words, max_size=rows * words)
    logits = [torch.tensor(draw(numbers), dtype=torch.float64).view(rows, words) for _ in range(2)]
    return *logits, torch.tensor(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))


def gradient(loss: Tensor, *inputs: Tensor) -> Tensor:
    return torch.autograd.grad(loss, inputs)[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 0.105378),
        ({"temperature": 1.0}, 0.067131),
        ({"temperature": 1.0, "squared_temperature": False}, 0.067131),
        ({"squared_temperature": False}, 0.026345),
        ({"weight": 10.0}, 1.053783),
        ({"weight": 0.0}, 0.0),
    ],
)
def test_one_token_between_two_words(settings, expected) -> None:
    assert lwf_loss(NOW, BEFORE, ONE, **settings).item() == pytest.approx(expected, abs=1e-6)


def test_the_value_by_hand() -> None:
    sigmoids = [1 / (1 + math.exp(-each)) for each in (1.0, 0.5)]
    old, new = ((each, 1 - each) for each in sigmoids)
    by_hand = 4 * sum(p * math.log(p / q) for p, q in zip(old, new, strict=True))
    assert lwf_loss(NOW, BEFORE, ONE).item() == pytest.approx(by_hand, rel=1e-12)


@given(distributions(), st.floats(0.5, 5))
def test_equal_logits_cost_nothing(models, temperature) -> None:
    logits, _, mask = models
    assert lwf_loss(logits, logits, mask, temperature).item() == 0.0


@given(distributions(), st.floats(0.5, 5), st.floats(0, 9))
def test_the_gradient_is_the_difference_of_the_softened_distributions(models, temperature, weight) -> None:
    now, before, mask = models
    now.requires_grad_()
    found = gradient(lwf_loss(now, before, mask, temperature, weight), now)
    moved = (now.detach() / temperature).softmax(-1) - (before / temperature).softmax(-1)
    expected = weight * temperature * moved * mask[:, None] / max(1, int(mask.sum()))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@given(distributions(), st.lists(st.floats(-50, 50), min_size=6, max_size=6))
def test_a_constant_added_to_the_logits_of_a_token_changes_nothing(models, shifts) -> None:
    now, before, mask = models
    ours, theirs = torch.tensor(shifts, dtype=torch.float64).view(2, 3, 1)
    torch.testing.assert_close(
        lwf_loss(now + ours, before + theirs, mask), lwf_loss(now, before, mask), rtol=1e-9, atol=1e-12
    )


@given(distributions())
def test_the_loss_is_never_negative_and_has_its_direction(models) -> None:
    now, before, mask = models
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=before), torch.distributions.Categorical(logits=now)
    )[mask]
    found = lwf_loss(now, before, mask, temperature=1.0)
    assert found.item() >= -1e-12
    assert found.item() == pytest.approx(expected.sum().item() / max(1, len(expected)), rel=1e-9, abs=1e-12)


def test_at_a_high_temperature_it_is_half_the_variance_of_the_difference() -> None:
    # Hinton et al. 2015, section 2.1: centred logits are matched.
    assert lwf_loss(NOW, BEFORE, ONE, temperature=1e4).item() == pytest.approx(0.5 * 0.25, rel=1e-3)


@pytest.mark.parametrize("loss", [lwf_loss, sampled_lwf_loss])
def test_what_is_masked_has_no_influence_and_no_gradient(loss) -> None:
    shape = (2, 3, 4) if loss is lwf_loss else (2, 3)
    mask = torch.tensor([[True, False, True], [False, True, False]])
    generator = torch.Generator().manual_seed(0)
    now, before = (-torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    wide = mask.view(2, 3, *[1] * (len(shape) - 2)).expand(shape)
    holed = now.masked_fill(~wide, NAN).requires_grad_()
    value = loss(holed, before.masked_fill(~wide, INFINITY), mask)
    assert value.item() == pytest.approx(loss(now, before, mask).item()) and value.item() > 0
    found = gradient(value, holed)
    assert found.isfinite().all() and not found[~wide].any() and found[wide].any()


@pytest.mark.parametrize("loss", [lwf_loss, sampled_lwf_loss])
def test_nothing_under_the_mask_is_zero_with_gradient_zero(loss) -> None:
    now = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    value = loss(now, now.detach() + vector(0.0, 1.0, 2.0), torch.zeros(2 if loss is lwf_loss else (2, 3)).bool())
    assert value.item() == 0.0 and not gradient(value, now).any()


@given(distributions(), st.integers(0, 3))
def test_parts_with_the_whole_batch_normaliser_add_up(models, cut) -> None:
    now, before, mask = models
    tokens = max(1.0, float(mask.sum()))
    whole = lwf_loss(now, before, mask)
    parts = [lwf_loss(now[at], before[at], mask[at], normalizer=tokens) for at in (slice(cut), slice(cut, None))]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-12, atol=1e-12)


def test_words_that_the_previous_model_never_says_count_for_nothing() -> None:
    before = vector(2.0, 0.0, -INFINITY, -1e9)[None]
    now = vector(1.0, 0.0, -INFINITY, -INFINITY)[None].requires_grad_()
    value = lwf_loss(now, before, ONE)
    assert value.item() == pytest.approx(lwf_loss(NOW, BEFORE, ONE).item()) and gradient(value, now).isfinite().all()
    # What it never said and the policy does is a price of the words that it did say.
    assert lwf_loss(vector(1.0, 0.0, 3.0)[None], before[:, :3], ONE) > value


def test_half_precision_is_computed_in_single() -> None:
    found = lwf_loss(NOW.bfloat16(), BEFORE.bfloat16(), ONE)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(lwf_loss(NOW, BEFORE, ONE).item(), rel=1e-5)


@given(distributions(rows=1))
def test_sampled_tokens_have_on_average_the_gradient_of_the_whole_distribution(models) -> None:
    now, before, _ = models
    now.requires_grad_()
    logprobs, previous = now.log_softmax(-1), before.log_softmax(-1)
    mask, probabilities = torch.tensor([[True]]), logprobs.detach().exp()[0]
    # Every word as a sample of its own, weighed by how probable it is.
    samples = [sampled_lwf_loss(logprobs[:, [word]], previous[:, [word]], mask) for word in range(4)]
    mean = sum(p * each for p, each in zip(probabilities, samples, strict=True))
    torch.testing.assert_close(
        gradient(mean, now), gradient(lwf_loss(now, before, mask[0], temperature=1.0), now), rtol=1e-9, atol=1e-9
    )
    other_way = (logprobs.exp() * (logprobs - previous)).sum()
    assert mean.item() == pytest.approx(other_way.item(), rel=1e-9, abs=1e-9)


def test_the_previous_model_gets_no_gradient() -> None:
    before, now = BEFORE.clone().requires_grad_(), NOW.clone().requires_grad_()
    lwf_loss(now, before, ONE).backward()
    sampled_lwf_loss(now, before, torch.ones(1, 2).bool()).backward()
    assert before.grad is None and now.grad is not None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lwf_loss(NOW, BEFORE[0], ONE), r"previous_logits must have the shape \(1, 2\), not \(2,\)"),
        (lambda: lwf_loss(NOW, BEFORE, ONE[0]), r"action_mask must have the shape \(1,\), not \(\)"),
        (lambda: lwf_loss(NOW, BEFORE, ONE.long()), r"of torch.bool, not torch.int64: give action_mask.bool\(\)"),
        (lambda: lwf_loss(NOW, BEFORE, ONE, 0.0), "temperature must be positive and finite, not 0.0"),
        (lambda: lwf_loss(NOW, BEFORE, ONE, NAN), "temperature must be positive and finite, not nan"),
        (lambda: lwf_loss(NOW, BEFORE, ONE, weight=-1.0), "weight must be 0 or more and finite, not -1.0"),
        (lambda: sampled_lwf_loss(NOW, BEFORE[0], NOW > 0), r"previous_logprobs must have the shape \(1, 2\)"),
        (lambda: sampled_lwf_loss(NOW, BEFORE, ONE), r"action_mask must have the shape \(1, 2\), not \(1,\)"),
        (lambda: sampled_lwf_loss(NOW, BEFORE, NOW.long()), "of torch.bool, not torch.int64"),
        (lambda: sampled_lwf_loss(NOW, BEFORE, NOW > 0, INFINITY), "weight must be 0 or more and finite, not inf"),
    ],
)
def test_distributions_that_do_not_fit_are_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# --- figures -------------------------------------------------------------------------------------

THREE_TASKS = torch.tensor([[0.9, 0.1, 0.1], [0.7, 0.8, 0.2], [0.6, 0.75, 0.85]], dtype=torch.float64)
FIGURES = {
    "accuracy": average_accuracy,
    "backward": backward_transfer,
    "forward": lambda matrix: forward_transfer(matrix, torch.zeros(len(matrix))),
    "forgetting": forgetting,
}


@st.composite
def accuracy_matrices(draw):
    tasks = draw(st.integers(2, 5))
    numbers = st.lists(st.floats(0, 1), min_size=tasks**2, max_size=tasks**2)
    return torch.tensor(draw(numbers), dtype=torch.float64).view(tasks, tasks)


def test_figures_of_three_tasks() -> None:
    assert average_accuracy(THREE_TASKS).item() == pytest.approx(2.2 / 3)
    # ((.6 - .9) + (.75 - .8)) / 2.
    assert backward_transfer(THREE_TASKS).item() == pytest.approx(-0.175)
    assert forgetting(THREE_TASKS).item() == pytest.approx(0.175)
    # ((.1 - .05) + (.2 - .1)) / 2; what the untrained policy does of the first task is not used.
    assert forward_transfer(THREE_TASKS, vector(NAN, 0.05, 0.1)).item() == pytest.approx(0.075)


def test_forgetting_is_measured_from_the_best_and_not_from_just_after_the_task() -> None:
    # The first task is best after the second, .95, and the second before it is learnt, .85; the last row counts for
    # no maximum.
    matrix = torch.tensor([[0.9, 0.85, 0.0], [0.95, 0.8, 0.0], [0.6, 0.9, 0.0]], dtype=torch.float64)
    assert forgetting(matrix).item() == pytest.approx((0.35 - 0.05) / 2)
    assert backward_transfer(matrix).item() == pytest.approx((-0.3 + 0.1) / 2)


@given(accuracy_matrices())
def test_where_each_task_is_best_just_after_it_was_learnt_forgetting_is_the_loss_in_transfer(matrix) -> None:
    for task in range(len(matrix) - 1):
        matrix[task, task] = matrix[:-1, task].max()
    assert forgetting(matrix).item() == pytest.approx(-backward_transfer(matrix).item(), abs=1e-12)


@given(accuracy_matrices())
def test_forgetting_is_never_less_than_the_loss_in_transfer(matrix) -> None:
    assert forgetting(matrix).item() >= -backward_transfer(matrix).item() - 1e-12


@given(accuracy_matrices(), st.floats(-5, 5))
def test_what_compares_does_not_change_with_a_constant_and_the_average_moves_with_it(matrix, shift) -> None:
    baseline = matrix[0].flip(0)
    before = [backward_transfer(matrix), forgetting(matrix), forward_transfer(matrix, baseline)]
    after = [each(matrix + shift) for each in (backward_transfer, forgetting)]
    after.append(forward_transfer(matrix + shift, baseline + shift))
    torch.testing.assert_close(torch.stack(after), torch.stack(before), rtol=1e-9, atol=1e-9)
    assert average_accuracy(matrix + shift).item() == pytest.approx(average_accuracy(matrix).item() + shift, abs=1e-9)


def test_a_single_task_has_an_average_accuracy() -> None:
    assert average_accuracy(torch.tensor([[1]])).item() == 1.0


@pytest.mark.parametrize("name", FIGURES)
def test_a_matrix_that_is_not_square_is_refused(name) -> None:
    for matrix in (torch.zeros(2, 3), torch.zeros(3), torch.zeros(2, 2, 2)):
        with pytest.raises(ValueError, match=r"accuracies must be square, .*, not \("):
            FIGURES[name](matrix)


@pytest.mark.parametrize(("name", "least"), [("accuracy", 1), ("backward", 2), ("forward", 2), ("forgetting", 2)])
def test_too_few_tasks_are_refused(name, least) -> None:
    with pytest.raises(ValueError, match=f"accuracies must be of {least} or more tasks, not {least - 1}"):
        FIGURES[name](torch.zeros(least - 1, least - 1))


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("accuracy", [(2, 0), (2, 1), (2, 2)]),
        ("backward", [(0, 0), (1, 1), (2, 0), (2, 1)]),
        ("forward", [(0, 1), (1, 2)]),
        ("forgetting", [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]),
    ],
)
@pytest.mark.parametrize("hole", [NAN, INFINITY])
def test_what_a_figure_needs_has_to_be_measured_and_nothing_else(name, needed, hole) -> None:
    for after in range(3):
        for task in range(3):
            matrix = THREE_TASKS.clone()
            matrix[after, task] = hole
            if (after, task) in needed:
                with pytest.raises(ValueError, match=rf"accuracies\[{after}, {task}\] is {hole}: evaluate task {task}"):
                    FIGURES[name](matrix)
            else:
                assert FIGURES[name](matrix).item() == FIGURES[name](THREE_TASKS).item()


def test_a_baseline_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"untrained must have the shape \(3,\), not \(2,\)"):
        forward_transfer(THREE_TASKS, vector(0.0, 0.0))
    with pytest.raises(ValueError, match="untrained must be finite but for the first task"):
        forward_transfer(THREE_TASKS, vector(0.0, 0.0, NAN))
