"""Every algorithm against loops over numbers, for any mask and any split."""

from __future__ import annotations

import math
import pickle
import random
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_trainers.algorithms.grpo import GRPOConfig
from ss_trainers.algorithms.registry import ALGORITHMS, algorithm_class, make_algorithm
from ss_trainers.algorithms.rloo import RLOO
from ss_trainers.collate import collate, split_by_length
from ss_trainers.types import BatchCounts, TokenBatch, merge_metrics
from tests.ss_trainers.algorithms import naive
from tests.ss_trainers.samples import trajectories

# Name of a case -> algorithm and its settings: the defaults, and what they leave out.
CASES = {
    "behavior_cloning": ("behavior_cloning", {}),
    "behavior_cloning, successes": ("behavior_cloning", {"keep": "successes", "aggregation": "sequence_mean"}),
    "cispo": ("cispo", {"ratio_cap": 1.1}),
    "cispo, plain": ("cispo", {"advantage_scale": "none"}),
    "critique_revision": ("critique_revision", {}),
    "dapo": ("dapo", {}),
    "dapo, overlong": ("dapo", {"overlong_length": 8, "overlong_buffer": 5}),
    "gepo": ("gepo", {}),
    "gepo, all": ("gepo", {"ratio_cap": 1.01, "advantage_scale": "std", "kl_coefficient": 0.1}),
    "grpo": ("grpo", {}),
    "grpo, paper": ("grpo", {"aggregation": "sequence_mean", "kl_coefficient": 0.04, "unbiased_std": True}),
    "grpo, dr": ("grpo", {"advantage_scale": "none", "aggregation": "constant", "max_length": 30}),
    "gspo": ("gspo", {}),
    "gspo, wide": ("gspo", {"clip_low": 0.2, "clip_high": 0.3, "kl_coefficient": 0.1, "kl_estimator": "k2"}),
    "gspo, token": ("gspo", {"clip_low": 0.01, "clip_high": 0.02, "level": "token"}),
    # Without a log: what it does with one is in test_offline_grpo.py.
    "offline_grpo": ("offline_grpo", {"online_ratio": 1.0}),
    "offline_grpo, gspo": (
        "offline_grpo",
        {"online_ratio": 1.0, "objective": "gspo", "settings": {"kl_coefficient": 0.1}},
    ),
    "online_dpo": ("online_dpo", {}),
    "online_dpo, strict": ("online_dpo", {"beta": 2.0}),
    "ppo": ("ppo", {}),
    "ppo, all": ("ppo", {"dual_clip": 1.5, "gamma": 0.9, "kl_coefficient": 0.2, "value_clip": 0.05}),
    "ppo, turns": ("ppo", {"level": "turn", "gamma": 0.9, "kl_coefficient": 0.2, "normalize_advantages": False}),
    "reinforce_plus_plus": ("reinforce_plus_plus", {}),
    "reinforce_plus_plus, all": ("reinforce_plus_plus", {"baseline": True, "kl_coefficient": 0.3}),
    "rejection_sampling": ("rejection_sampling", {}),
    "rejection_sampling, best": ("rejection_sampling", {"keep": "best"}),
    "rlaif": ("rlaif", {}),
    "rlaif, gspo": ("rlaif", {"objective": "gspo", "settings": {"kl_coefficient": 0.1, "clip_low": 0.2}}),
    "rloo": ("rloo", {}),
    "rloo, all": ("rloo", {"aggregation": "token_mean", "kl_coefficient": 0.3}),
    "vapo": ("vapo", {}),
    "vapo, all": ("vapo", {"length_alpha": 0.5, "least_lambda": 0.1, "critic_lambda": 0.7, "value_clip": 0.05}),
}


def batch_of(seed: int, rows: int = 7, group_size: int = 3, empty: str = "none") -> TokenBatch:
    """A batch of several turns, with all that an algorithm may read, near enough for some ratios to be clipped."""
    rng = random.Random(seed)
    given_rows = trajectories(rng, rows, group_size=group_size)
    given_rows = [replace(one, success=rng.random() < 0.5) for one in given_rows]
    batch = collate(given_rows, dtype=torch.float64)
    mask, shape = batch.action_mask, batch.action_mask.shape
    if empty == "some":
        mask = mask & torch.tensor([rng.random() < 0.6 for _ in range(len(batch))])[:, None]
    elif empty == "all":
        mask = mask & False
    turn_ids = torch.where(mask, batch.turn_ids, -1)
    noise = torch.Generator().manual_seed(seed)

    def near(scale: float) -> torch.Tensor:
        moved = batch.behavior_logprobs + scale * torch.randn(shape, generator=noise, dtype=torch.float64)
        return torch.where(mask, moved, 0.0)

    return replace(
        batch,
        action_mask=mask,
        turn_ids=turn_ids,
        behavior_logprobs=torch.where(mask, batch.behavior_logprobs, 0.0),
        old_logprobs=near(0.1),
        reference_logprobs=near(0.3),
        importance_weights=torch.rand(shape, generator=noise, dtype=torch.float64) + 0.5,
        values=torch.where(mask, torch.randn(shape, generator=noise, dtype=torch.float64), 0.0),
    )


def rows_of(batch: TokenBatch, logprobs: torch.Tensor, values: torch.Tensor) -> list[naive.Row]:
    """The batch without its padding and masks."""
    rows = []
    for index in range(len(batch)):
        places = batch.action_mask[index].nonzero()[:, 0].tolist()

        def numbers(field: torch.Tensor, places=places, index=index) -> list[float]:
            return [float(field[index, place]) for place in places]

        rows.append(
            {
                "now": [logprobs[index, place] for place in places],
                "old": numbers(batch.old_logprobs),
                "reference": numbers(batch.reference_logprobs),
                "turns": [int(turn) for turn in numbers(batch.turn_ids)],
                "rewards": batch.turn_rewards[index].tolist(),
                "return": float(batch.returns[index]),
                "group": int(batch.group_ids[index]),
                "success": bool(batch.successes[index]),
                "values": [values[index, place] for place in places],
                "foreseen": numbers(batch.values),
                "weights": numbers(batch.importance_weights),
            }
        )
    return rows


def current(batch: TokenBatch, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and values after some steps of training, as leaves."""
    noise = torch.Generator().manual_seed(1000 + seed)
    moved = [
        field + 0.15 * torch.randn(field.shape, generator=noise, dtype=torch.float64)
        for field in (batch.old_logprobs, batch.values)
    ]
    return moved[0].requires_grad_(), moved[1].requires_grad_()


def gradients(loss: torch.Tensor, *leaves: torch.Tensor) -> list[torch.Tensor]:
    if not loss.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if one is None else one for leaf, one in zip(leaves, found, strict=True)]


def ours(name: str, given_settings: dict, batch: TokenBatch, seed: int, parts: int):
    """The sum of the losses of so many parts, its gradients, and the outputs."""
    algorithm = make_algorithm(name, given_settings)
    prepared = algorithm.prepare(batch)
    counts, (logprobs, values) = BatchCounts.of(prepared), current(batch, seed)
    outputs = []
    for rows in torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed)).tensor_split(parts):
        part = prepared.select(rows)
        width = part.input_ids.shape[1]
        outputs.append(algorithm.loss(part, logprobs[rows, :width], counts, values[rows, :width]))
    loss = sum(output.loss for output in outputs)
    return loss, gradients(loss, logprobs, values), outputs


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert torch.isfinite(found).all()
    assert (found - expected).norm() <= 1e-6 * expected.norm() + 1e-12


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10)  # of each of some thirty cases
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 4), st.sampled_from(["none", "some"]))
def test_loss_and_gradient_are_those_of_a_loop_for_any_split(case, seed, rows, group_size, empty) -> None:
    name, given_settings = CASES[case]
    batch = batch_of(seed, rows, group_size, empty)
    if not batch.action_mask.any():
        return
    algorithm = make_algorithm(name, given_settings)
    logprobs, values = current(batch, seed)
    expected = getattr(naive, name)(rows_of(batch, logprobs, values), algorithm.config)
    expected = torch.as_tensor(expected, dtype=torch.float64)
    slopes = gradients(expected, logprobs, values)
    for parts in {1, 2, rows}:
        loss, found, _ = ours(name, given_settings, batch, seed, parts)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-12)
        for one, other in zip(found, slopes, strict=True):
            assert_near(one, other)


@pytest.mark.parametrize("case", CASES)
def test_nothing_said_is_no_loss_and_no_gradient(case) -> None:
    name, given_settings = CASES[case]
    loss, found, outputs = ours(name, given_settings, batch_of(3, empty="all"), 3, 2)
    assert loss.item() == 0.0 and not any(one.any() for one in found)
    assert all(math.isfinite(value) for output in outputs for value in output.metrics.values())


@pytest.mark.parametrize("case", CASES)
def test_what_is_outside_the_mask_may_be_anything(case) -> None:
    name, given_settings = CASES[case]
    batch = batch_of(5, empty="some")
    outside = ~batch.action_mask
    fields = ("behavior_logprobs", "old_logprobs", "reference_logprobs", "values")
    broken = replace(batch, **{name: getattr(batch, name).masked_fill(outside, float("nan")) for name in fields})
    algorithm, results = make_algorithm(name, given_settings), []
    logprobs, values = current(batch, 5)
    for given_batch in (batch, broken):
        prepared = algorithm.prepare(given_batch)
        results.append(algorithm.loss(prepared, logprobs, None, values).loss)
    assert results[1].item() == pytest.approx(results[0].item(), rel=1e-12)
    for one, other in zip(
        gradients(results[0], logprobs, values), gradients(results[1], logprobs, values), strict=True
    ):
        assert_near(other, one)


@pytest.mark.parametrize("case", CASES)
def test_metrics_of_parts_merge_into_those_of_the_whole(case) -> None:
    name, given_settings = CASES[case]
    batch = batch_of(2, rows=9)
    whole = merge_metrics(ours(name, given_settings, batch, 2, 1)[2])
    assert merge_metrics(ours(name, given_settings, batch, 2, 4)[2]) == pytest.approx(whole)
    assert all(math.isfinite(value) for value in whole.values())
    assert {"policy_loss", "entropy", "clip_low", "clip_high", "ratio_mean", "ratio_min", "ratio_max"} <= set(whole)


def test_figures_of_the_policys_own_samples_leave_out_what_was_logged() -> None:
    batch = batch_of(2, rows=9)
    logged = torch.arange(9) % 3 == 0
    mixed = replace(batch, group_ids=torch.where(logged, -1 - torch.arange(9), batch.group_ids))
    metrics = merge_metrics(ours("grpo", {}, mixed, 2, 4)[2])
    logprobs, _ = current(batch, 2)
    said = batch.action_mask & ~logged[:, None]
    assert metrics["entropy"] == pytest.approx(-logprobs[said].mean().item())
    distance = (logprobs - batch.behavior_logprobs)[said].abs().mean().item()
    assert metrics["logprob_difference"] == pytest.approx(distance)
    alone = merge_metrics(ours("grpo", {}, mixed.select(logged.nonzero()[:, 0]), 2, 1)[2])
    assert not {"entropy", "logprob_difference"} & set(alone) and "ratio_mean" in alone


# Its weights are not 1 on the policy's own samples.
@pytest.mark.parametrize("case", [case for case in CASES if "gepo" not in case])
def test_on_the_policys_own_samples_all_ratios_are_one(case) -> None:
    name, given_settings = CASES[case]
    batch = replace(batch_of(4), importance_weights=None)
    algorithm = make_algorithm(name, given_settings)
    metrics = algorithm.loss(algorithm.prepare(batch), batch.old_logprobs, None, batch.values).metrics
    assert metrics["ratio_min"] == metrics["ratio_max"] == 1.0


@pytest.mark.parametrize("case", CASES)
def test_equal_outcomes_teach_what_is_not_relative(case) -> None:
    name, given_settings = CASES[case]
    batch = batch_of(6)
    same = replace(batch, returns=torch.ones_like(batch.returns), successes=batch.successes & False)
    algorithm = make_algorithm(name, given_settings)
    prepared = algorithm.prepare(same)
    relative_only = name in ("grpo", "gspo", "cispo", "rejection_sampling", "gepo") or case in ("dapo", "rloo")
    if relative_only:
        assert not prepared.advantages.any()
        assert bool(algorithm.worth_training(prepared).any()) == bool(given_settings.get("kl_coefficient"))
    if algorithm.needs_critic:
        assert algorithm.worth_training(prepared).all()


@pytest.mark.parametrize("case", CASES)
def test_algorithms_are_pickled_and_made_again_from_their_settings(case) -> None:
    name, given_settings = CASES[case]
    algorithm = make_algorithm(name, given_settings)
    twin = pickle.loads(pickle.dumps(algorithm))
    again = make_algorithm(name, asdict(algorithm.config))
    assert twin.config == again.config == algorithm.config and twin.name == name
    batch = batch_of(8)
    first, second = (one.prepare(batch).advantages for one in (algorithm, twin))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_every_algorithm_is_here() -> None:
    assert {name for name, _ in CASES.values()} | {"shuffled"} == set(ALGORITHMS)
    for name in ALGORITHMS:
        found = algorithm_class(name)
        assert found.name == name
        if name == "offline_grpo":  # by default it needs a log
            with pytest.raises(ValueError, match="OfflineGRPOTrainer"):
                found()
        else:
            assert found().config == found.config_class()


def test_a_critic_learns_alone_where_it_is_asked_to() -> None:
    algorithm = make_algorithm("vapo", {})
    batch = algorithm.prepare(batch_of(9))
    _, values = current(batch_of(9), 9)
    output = algorithm.loss(batch, None, None, values)
    assert set(output.metrics) == {"value_loss"} and output.loss.item() == pytest.approx(
        algorithm.config.value_coefficient * output.metrics["value_loss"]
    )


def test_parts_that_are_missing_are_named() -> None:
    batch = collate(trajectories(random.Random(6)))
    with pytest.raises(ValueError, match=r"no advantages: call GSPO.prepare"):
        make_algorithm("gspo", {}).loss(batch, batch.behavior_logprobs)
    with pytest.raises(ValueError, match=r"PPO needs batch.values"):
        make_algorithm("ppo", {}).prepare(batch)
    with pytest.raises(ValueError, match=r"needs batch.reference_logprobs"):
        make_algorithm("rloo", {"kl_coefficient": 0.1}).prepare(batch)
    for name, chosen in (("rejection_sampling", {}), ("behavior_cloning", {"keep": "successes"})):
        with pytest.raises(ValueError, match="does not tell what succeeded"):
            make_algorithm(name, chosen).prepare(batch)
    split = split_by_length(replace(batch, advantages=batch.behavior_logprobs), 20)[0]
    with pytest.raises(TypeError, match="rloo takes a RLOOConfig, not a GRPOConfig"):
        RLOO(GRPOConfig())
    with pytest.raises(ValueError, match="no log_expectations: prepare the whole batch"):
        make_algorithm("gepo", {}).loss(split, split.behavior_logprobs)


@pytest.mark.parametrize(
    ("name", "given_settings", "message"),
    [
        ("grop", {}, "there is no algorithm 'grop'; did you mean 'grpo'"),
        ("gspo", {"clip": 0.1}, "unknown setting 'clip' of GSPOConfig"),
        ("gspo", {"level": "turn"}, "level"),
        ("gepo", {"ratio_cap": 0.5}, "ratio_cap must be at least 1"),
        ("dapo", {"overlong_length": 9}, "belong together"),
        ("dapo", {"overlong_length": 9, "overlong_buffer": 10}, "must not be greater"),
        ("dapo", {"sampling_rounds": 0}, "sampling_rounds must be at least 1"),
        ("ppo", {"kl_target": 0.1}, "needs a kl_coefficient"),
        ("ppo", {"gae_lambda": 1.1}, "gae_lambda must be from 0.0 to 1.0"),
        ("ppo", {"dual_clip": 0.9}, "dual_clip"),
        ("vapo", {"length_alpha": 0}, "length_alpha must be positive"),
        ("vapo", {"critic_iterations": -1}, "critic_iterations must not be negative"),
        ("online_dpo", {"beta": -1}, "beta must not be negative"),
        ("rloo", {"aggregation": "constant"}, "max_length"),
        ("reinforce_plus_plus", {"clip_low": -1}, "clip_low"),
        ("rejection_sampling", {"keep": "all"}, "keep"),
        ("behavior_cloning", {"keep": "best"}, "keep"),
        ("cispo", {"ratio_cap": 0.9}, "ratio_cap"),
        ("shuffled", {"algorithm": "none"}, "there is no algorithm 'none'"),
        ("shuffled", {"algorithm": "dapo"}, "set sampling_rounds to 1 to shuffle them"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, given_settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_algorithm(name, given_settings)
