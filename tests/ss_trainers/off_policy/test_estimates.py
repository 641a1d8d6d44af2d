"""All estimators on one log: that they come near the truth as often as they say, and refuse where they should."""

import math
from dataclasses import replace

import pytest
import torch

from ss_trainers.off_policy.episodes import LoggedEpisodes
from ss_trainers.off_policy.estimates import (
    ESTIMATORS,
    EvaluationSettings,
    PolicyEvaluation,
    evaluate_off_policy,
)
from ss_trainers.off_policy.fitted_q import FittedQConfig, FittedValues, fitted_q_evaluation
from tests.ss_trainers.off_policy.chain import BEHAVIOR, GAMMA, TARGET, TRUTH, Walks, walked

SETTINGS = EvaluationSettings(gamma=GAMMA, resamples=200)
LOGS = 60


def evaluated(walks: Walks, right: float = TARGET, settings: EvaluationSettings = SETTINGS) -> PolicyEvaluation:
    config = FittedQConfig(gamma=GAMMA, hidden=0)
    values = fitted_q_evaluation(walks.log.steps(walks.features), walks.choices(right), config)
    return evaluate_off_policy(walks.log, walks.logprobs(right), values, settings)


# --- what they say ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluations() -> list[PolicyEvaluation]:
    return [evaluated(walked(100, seed)) for seed in range(LOGS)]


# As published, and of the doubly robust estimate with values that were fitted to half of the log.
@pytest.mark.parametrize(("name", "spread"), [("is", 0.082), ("wis", 0.043), ("pdis", 0.082), ("dr", 0.01)])
def test_estimates_of_the_chain_are_near_what_it_earns(
    evaluations: list[PolicyEvaluation], name: str, spread: float
) -> None:
    found = [one.estimates[name] for one in evaluations]
    values = torch.tensor([one.value for one in found])
    assert values.mean().item() == pytest.approx(TRUTH, abs=3 * spread / math.sqrt(LOGS) + 0.005)
    assert values.std().item() == pytest.approx(spread, rel=0.3)
    # 57 expected; resampling a hundred episodes of uneven weights makes intervals a little narrow.
    assert sum(one.low <= TRUTH <= one.high for one in found) >= 50
    assert all(one.effective_samples == whole.effective_samples for one, whole in zip(found, evaluations, strict=True))


def test_the_model_has_the_least_error_of_all_and_an_interval_that_is_not_to_be_trusted(
    evaluations: list[PolicyEvaluation],
) -> None:
    errors = {name: sum(abs(one.estimates[name].value - TRUTH) for one in evaluations) / LOGS for name in ESTIMATORS}
    assert min(errors, key=errors.__getitem__) in ("fqe", "dr") and errors["dr"] < errors["wis"] < errors["is"]
    held = sum(one.estimates["fqe"].low <= TRUTH <= one.estimates["fqe"].high for one in evaluations)
    # In a world without chance a table errs by what was never seen, of which no resampling tells.
    assert held < LOGS / 2


@pytest.mark.parametrize("name", ["is", "wis", "pdis"])
def test_the_policy_that_was_logged_earns_what_the_log_did(name: str) -> None:
    walks = walked(80, seed=0)
    found = evaluated(walks, BEHAVIOR)
    assert found.estimates[name].value == pytest.approx(float(walks.log.returns(GAMMA).mean()))
    assert found.estimates[name].bounds == pytest.approx(found.behavior.bounds)
    assert found.effective_samples == pytest.approx(80) and found.mean_weight.bounds == pytest.approx((1, 1))
    assert found.estimates["dr"].value == pytest.approx(found.behavior.value, abs=0.02)


def test_any_values_will_do_for_the_doubly_robust_estimate_and_right_ones_leave_nothing_to_chance() -> None:
    # A world that pays V(s) - gamma V(s') at each step, whatever is done.
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(50, 3, dtype=torch.float64, generator=generator)
    following = torch.cat([values[:, 1:], torch.zeros(50, 1)], 1)
    likely = torch.rand(50, 3, dtype=torch.float64, generator=generator).log()
    log = LoggedEpisodes(values - 0.5 * following, likely, torch.ones(50, 3, dtype=torch.bool))
    model = FittedValues(values.flatten(), values.flatten())
    found = evaluate_off_policy(log, likely / 2, model, EvaluationSettings(gamma=0.5, least=1.0))
    low, high = found.estimates["dr"].bounds
    assert found.estimates["dr"].value == pytest.approx(float(values[:, 0].mean()))
    # All that is left is which states episodes begin in.
    assert high - low == pytest.approx(2 * 1.96 * float(values[:, 0].std()) / math.sqrt(50), rel=0.2)
    assert found.estimates["fqe"].value is None and "fitted_q_evaluation" in found.estimates["fqe"].reason


def test_twins_are_resampled_together() -> None:
    walks = walked(80, seed=0)
    alone = evaluate_off_policy(walks.log, walks.logprobs(TARGET), settings=SETTINGS)
    columns = [column.repeat(2, 1) for column in (walks.log.rewards, walks.log.behavior_logprobs, walks.log.step_mask)]
    twice = walks.logprobs(TARGET).repeat(2, 1)
    twins = evaluate_off_policy(LoggedEpisodes(*columns, torch.arange(80).repeat(2)), twice, settings=SETTINGS)
    apart = evaluate_off_policy(LoggedEpisodes(*columns), twice, settings=SETTINGS)
    for name in ("is", "wis", "pdis"):
        assert twins.estimates[name].bounds == pytest.approx(alone.estimates[name].bounds)
        narrow, wide = (one.estimates[name].high - one.estimates[name].low for one in (apart, twins))
        assert narrow < 0.9 * wide


def test_the_seed_decides_and_the_level_widens() -> None:
    walks = walked(60, seed=0)
    state = torch.get_rng_state()
    first, again, other, wide = (
        evaluated(walks, settings=replace(SETTINGS, **changed)) for changed in ({}, {}, {"seed": 1}, {"level": 0.99})
    )
    assert first == again != other and torch.equal(state, torch.get_rng_state())
    for name in ESTIMATORS:
        assert wide.estimates[name].low <= first.estimates[name].low
        assert first.estimates[name].high <= wide.estimates[name].high
        assert first.estimates[name].value == other.estimates[name].value


# --- what they do not say ---------------------------------------------------------------------------


def test_a_log_that_says_too_little_is_refused_with_the_reason() -> None:
    found = evaluated(walked(30, seed=0), right=0.99)
    assert found.effective_samples < 10
    for name, estimate in found.estimates.items():
        assert (estimate.value, estimate.low, estimate.high, estimate.bounds) == (None, None, None, None)
        assert estimate.effective_samples == (None if name == "fqe" else found.effective_samples)
        assert str(estimate) == "–"
        assert "the 30 logged episodes tell as much about this policy as" in estimate.reason
        assert "evaluate a policy that is closer" in estimate.reason
    eager = evaluated(walked(30, seed=0), right=0.99, settings=replace(SETTINGS, least=1.0))
    assert all(estimate.value is not None and not estimate.reason for estimate in eager.estimates.values())


def test_what_was_never_logged_is_not_made_up_by_a_model() -> None:
    walks = walked(100, seed=0, right=1.0)
    found = evaluated(walks, right=0.0)
    assert found.effective_samples == 0 and found.mean_weight.bounds == (0, 0)
    assert all(
        estimate.value is None and "as 0.0 of its own" in estimate.reason for estimate in found.estimates.values()
    )


def test_without_values_two_estimators_say_nothing_and_why() -> None:
    walks = walked(60, seed=0)
    found = evaluate_off_policy(walks.log, walks.logprobs(TARGET), settings=SETTINGS)
    assert {name for name, one in found.estimates.items() if one.value is None} == {"dr", "fqe"}
    assert found.estimates["dr"].reason == "no values of the policy were given: fitted_q_evaluation learns them"


def test_weights_that_are_wrong_are_seen_in_their_mean() -> None:
    walks = walked(400, seed=0)
    low, high = evaluated(walks).mean_weight.bounds
    assert low < 1 < high
    # The log was played by a policy that goes right 6 times in 10, and says 8.
    wrong = replace(walks.log, behavior_logprobs=walks.logprobs(0.8))
    low, high = evaluate_off_policy(wrong, walks.logprobs(0.9), settings=SETTINGS).mean_weight.bounds
    assert high < 1


def test_log_probabilities_and_values_that_do_not_fit_are_refused() -> None:
    walks = walked(20, seed=0)
    likely = walks.logprobs(TARGET)
    for value in (math.nan, math.inf):
        wrong = likely.clone()
        wrong[3, 2] = value
        with pytest.raises(ValueError, match=f"the policy's log-probability of episode 3, step 2 is {value}"):
            evaluate_off_policy(walks.log, wrong)
    with pytest.raises(ValueError, match=r"are \(20, 7\), and the log is \(20, 8\)"):
        evaluate_off_policy(walks.log, likely[:, :7])
    steps = int(walks.log.step_mask.sum())
    with pytest.raises(ValueError, match=rf"there are {steps} steps, and values of \(3,\)"):
        evaluate_off_policy(walks.log, likely, FittedValues(torch.zeros(3), torch.zeros(3)))
    with pytest.raises(ValueError, match=r"values are of \(3,\) episodes, and the log has 20"):
        evaluate_off_policy(walks.log, likely, FittedValues(torch.zeros(steps), torch.zeros(steps), torch.zeros(3)))
    model = fitted_q_evaluation(walks.log.steps(walks.features), walks.choices(TARGET), FittedQConfig(hidden=0))
    with pytest.raises(ValueError, match=r"fitted with a gamma of 1\.0, and the settings have 0\.9"):
        evaluate_off_policy(walks.log, likely, model, SETTINGS)
    # What it would never do is no mistake.
    never = likely.clone()
    never[0, 0] = -math.inf
    assert (
        evaluate_off_policy(walks.log, never, settings=replace(SETTINGS, least=1.0)).estimates["is"].value is not None
    )


def test_settings_that_no_evaluation_could_mean_are_refused() -> None:
    for wrong, says in (
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"resamples": 0}, "resamples must be at least 1"),
        ({"gamma": -0.1}, "gamma must be from 0 to 1"),
        ({"least": -1.0}, "least must be at least 0"),
    ):
        with pytest.raises(ValueError, match=says):
            EvaluationSettings(**wrong)
