import math
import random
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from ss_trainers.algorithms.grpo import GRPO, GRPOConfig
from ss_trainers.collate import collate, split_by_length
from ss_trainers.policy import LanguagePolicy
from ss_trainers.types import BatchCounts, merge_metrics
from tests.ss_trainers.samples import gpt2, llama, trajectories

TEMPERATURE = 0.8

CONFIGS = {
    "grpo": GRPOConfig(),
    "paper": GRPOConfig(aggregation="sequence_mean", kl_coefficient=0.04),
    "dr_grpo": GRPOConfig.dr_grpo(max_length=30),
    "clip_higher": GRPOConfig(clip_low=0.1, clip_high=0.28, unbiased_std=True, kl_coefficient=0.1, kl_estimator="k2"),
}


def naive_loss(model, given, config, reference, temperature=TEMPERATURE):
    """GRPO token by token in Python: every sequence by itself, all logits, no masks, no tensors of advantages."""
    returns = [one.total_reward for one in given]
    terms, lengths = [], []
    for number, one in enumerate(given):
        group = [returns[i] for i, other in enumerate(given) if other.group_id == one.group_id]
        mean = sum(group) / len(group)
        advantage = returns[number] - mean
        if config.advantage_scale == "std":
            squares = sum((value - mean) ** 2 for value in group)
            advantage /= max(math.sqrt(squares / (len(group) - config.unbiased_std)), config.std_floor)
        ids = [*one.prompt_ids, *(token for turn in one.turns for token in turn.token_ids)]
        logprobs = (model(torch.tensor([ids])).logits[0].double() / temperature).log_softmax(-1)
        with torch.no_grad():
            anchor = (reference(torch.tensor([ids])).logits[0].double() / temperature).log_softmax(-1)
        position, losses = len(one.prompt_ids), []
        for turn in one.turns:
            for place, token in enumerate(turn.token_ids):
                if turn.logprobs is not None:
                    current, old = logprobs[position - 1, token], turn.logprobs[place]
                    ratio = torch.exp(current - old)
                    bounded = min(max(ratio, 1 - config.clip_low), 1 + config.clip_high)
                    loss = -min(ratio * advantage, bounded * advantage)
                    difference = current - anchor[position - 1, token]
                    k3 = torch.exp(-difference) - 1 + difference
                    penalty = k3 if config.kl_estimator == "k3" else difference**2 / 2
                    losses.append(loss + config.kl_coefficient * penalty)
                position += 1
        terms.append(losses)
        lengths.append(len(losses))
    if config.aggregation == "sequence_mean":
        return sum(sum(losses) / len(losses) for losses in terms if losses) / sum(map(bool, lengths))
    total = sum(sum(losses) for losses in terms)
    return total / (len(given) * config.max_length if config.max_length else sum(lengths))


def gradient_of(model):
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in model.parameters()])


def near_policy(model, given):
    """The trajectories with behaviour log-probabilities near the model's, so that some ratios clip."""
    rng = random.Random(0)
    batch = collate(given, share_prefix=False, dtype=torch.float64)
    with torch.no_grad():
        logprobs = LanguagePolicy(model).logprobs(batch, TEMPERATURE)
    result = []
    for row, one in enumerate(given):
        own = iter(logprobs[row][batch.action_mask[row]].tolist())
        turns = [
            turn
            if turn.logprobs is None
            else replace(turn, logprobs=tuple(next(own) + rng.gauss(0, 0.2) for _ in turn.logprobs))
            for turn in one.turns
        ]
        result.append(replace(one, turns=tuple(turns)))
    return result


def ours(model, reference, given, config, share, max_tokens, once):
    algorithm, policy = GRPO(config), LanguagePolicy(model)
    batch = collate(given, share_prefix=share, dtype=torch.float64)
    with torch.no_grad():
        anchor = LanguagePolicy(reference).logprobs(batch, TEMPERATURE)
    batch = algorithm.prepare(replace(batch, reference_logprobs=anchor))
    counts, parts = BatchCounts.of(batch), split_by_length(batch, max_tokens)
    model.zero_grad()
    outputs = []
    with policy.prompt_encoded_once(parts) if once else nullcontext():
        for part in parts:
            outputs.append(algorithm.loss(part, policy.logprobs(part, TEMPERATURE), counts))
            outputs[-1].loss.backward()
    return outputs


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("make", [llama, gpt2])
def test_loss_and_gradient_equal_a_naive_loop_with_and_without_shared_prompt_for_any_split(make, name):
    config, model, reference = CONFIGS[name], make(), make(seed=1)
    given = near_policy(model, trajectories(random.Random(7), count=6))
    loss = naive_loss(model, given, config, reference)
    model.zero_grad()
    loss.backward()
    expected = gradient_of(model)
    for share, max_tokens, once in [(0, 10**6, 0), (1, 10**6, 0), (1, 60, 0), (1, 1, 1), (1, 60, 1), (0, 30, 0)]:
        outputs = ours(model, reference, given, config, bool(share), max_tokens, bool(once))
        assert sum(output.loss.item() for output in outputs) == pytest.approx(loss.item(), rel=1e-6)
        assert (gradient_of(model) - expected).norm() <= 1e-6 * expected.norm()


def test_metrics_of_micro_batches_merge_into_those_of_the_batch():
    model = llama()
    given = near_policy(model, trajectories(random.Random(2), count=9))
    config = GRPOConfig(kl_coefficient=0.1)
    whole = merge_metrics(ours(model, model, given, config, True, 10**6, False))
    split = merge_metrics(ours(model, model, given, config, True, 50, False))
    assert whole == pytest.approx(split)
    assert whole["clip_low"] > 0
    assert whole["clip_high"] > 0
    assert whole["ratio_min"] < whole["ratio_mean"] < whole["ratio_max"]
    assert whole["kl"] == pytest.approx(0.0, abs=1e-12)


def test_on_policy_the_gradient_is_that_of_reinforce():
    model, algorithm = llama(), GRPO()
    batch = collate(trajectories(random.Random(5)), dtype=torch.float64)
    batch = algorithm.prepare(batch)
    logprobs = LanguagePolicy(model).logprobs(batch)
    output = algorithm.loss(replace(batch, old_logprobs=logprobs.detach()), logprobs)
    (gradient,) = torch.autograd.grad(output.loss, logprobs)
    expected = -batch.advantages / batch.action_mask.sum()
    torch.testing.assert_close(gradient, expected)


def test_a_batch_without_actions_has_loss_and_gradient_zero():
    model, algorithm = llama(), GRPO()
    given = [
        replace(one, turns=tuple(t for t in one.turns if t.role == "user")) for one in trajectories(random.Random(4))
    ]
    batch = collate(given)
    batch = algorithm.prepare(batch)
    output = algorithm.loss(batch, LanguagePolicy(model).logprobs(batch))
    output.loss.backward()
    assert output.loss.item() == 0.0
    assert gradient_of(model).eq(0).all()
    assert all(math.isfinite(value) for value in output.metrics.values())


def test_a_row_without_actions_changes_nothing_but_the_constant_length_mean():
    model = llama()
    given = near_policy(model, trajectories(random.Random(8), count=3))
    silent = replace(given[0], turns=(given[0].turns[0],), group_id=77)
    for name in ("grpo", "paper"):
        alone = ours(model, model, given, CONFIGS[name], True, 10**6, False)[0]
        with_silent = ours(model, model, [*given, silent], CONFIGS[name], True, 10**6, False)[0]
        assert with_silent.loss.item() == pytest.approx(alone.loss.item(), rel=1e-9)


def test_advantages_are_the_groups_on_action_tokens_and_zero_elsewhere():
    batch = collate(trajectories(random.Random(6)), dtype=torch.float64)
    batch = replace(batch, returns=torch.tensor([1.0, 0, 0, 1, 1, 1], dtype=torch.float64))
    advantages = GRPO(GRPOConfig(advantage_scale="none")).prepare(batch).advantages
    expected = torch.tensor([2 / 3, -1 / 3, -1 / 3, 0, 0, 0], dtype=torch.float64)[:, None] * batch.action_mask
    torch.testing.assert_close(advantages, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"advantage_scale": "sd"}, "advantage_scale"),
        ({"aggregation": "mean"}, "aggregation"),
        ({"kl_estimator": "k1"}, "kl_estimator"),
        ({"aggregation": "constant"}, "max_length"),
        ({"max_length": 5}, "max_length"),
        ({"aggregation": "constant", "max_length": 0}, "at least 1 token"),
        ({"clip_low": -0.1}, "clip_low"),
        ({"kl_coefficient": float("nan")}, "kl_coefficient"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GRPOConfig(**settings)


def test_a_missing_part_of_the_batch_is_named():
    batch = collate(trajectories(random.Random(6)))
    with pytest.raises(ValueError, match="no advantages"):
        GRPO().loss(batch, batch.behavior_logprobs)
    batch = replace(batch, advantages=batch.behavior_logprobs)
    with pytest.raises(ValueError, match="reference_logprobs"):
        GRPO(GRPOConfig(kl_coefficient=0.1)).loss(batch, batch.behavior_logprobs)
