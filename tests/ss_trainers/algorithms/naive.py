"""Every algorithm as loops over numbers: no masks, no batches, nothing of the package but configs.

A row is a dictionary: ``now`` (log-probabilities of its action tokens, differentiable), ``old`` and ``reference``
(numbers), ``turns`` (which turn each token is of), ``rewards`` (of the turns), ``return``, ``group``, ``success``,
``values`` and ``foreseen`` (of the critic now, differentiable, and before), ``weights``.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ss_trainers.algorithms.registry import make_algorithm

Row = dict[str, Any]


def _plain(value) -> float:
    return value.item() if isinstance(value, torch.Tensor) else value


def smaller(one, other):
    return one if _plain(one) <= _plain(other) else other


def greater(one, other):
    return one if _plain(one) >= _plain(other) else other


def between(low, value, high):
    return low if _plain(value) < low else high if _plain(value) > high else value


def group_of(row: Row, rows: list[Row]) -> list[Row]:
    return [other for other in rows if other["group"] == row["group"]]


def relative(row: Row, rows: list[Row], config: Any) -> float:
    returns = [member["return"] for member in group_of(row, rows)]
    mean = sum(returns) / len(returns)
    if config.advantage_scale == "none" or max(returns) == min(returns):
        return row["return"] - mean
    squares = sum((value - mean) ** 2 for value in returns)
    unbiased = getattr(config, "unbiased_std", False)
    return (row["return"] - mean) / max(math.sqrt(squares / (len(returns) - unbiased)), config.std_floor)


def whitened(parts: list[list[float]], floor: float) -> list[list[float]]:
    everything = [value for part in parts for value in part]
    if max(everything) == min(everything):
        return [[0.0 for _ in part] for part in parts]
    mean = sum(everything) / len(everything)
    spread = max(math.sqrt(sum((value - mean) ** 2 for value in everything) / len(everything)), floor)
    return [[(value - mean) / spread for value in part] for part in parts]


def clipped(ratio, advantage, low, high):
    return smaller(ratio * advantage, between(1 - low, ratio, 1 + high) * advantage)


def token_mean(terms: list[list[Any]]):
    tokens = sum(len(row) for row in terms)
    return sum(sum(row) for row in terms) / max(1, tokens)


def sequence_mean(terms: list[list[Any]]):
    said = [row for row in terms if row]
    return sum(sum(row) / len(row) for row in said) / max(1, len(said))


def aggregated(terms: list[list[Any]], kind: str, max_length: int | None):
    if kind == "constant":
        return sum(sum(row) for row in terms) / (len(terms) * max_length)
    if kind == "sequence_sum":
        return sum(sum(row) for row in terms) / max(1, sum(bool(row) for row in terms))
    return sequence_mean(terms) if kind == "sequence_mean" else token_mean(terms)


def price(now, reference, estimator):
    difference = now - reference
    return torch.exp(-difference) - 1 + difference if estimator == "k3" else difference**2 / 2


def penalties(rows: list[Row], config: Any) -> list[list[Any]]:
    return [
        [
            price(now, reference, config.kl_estimator)
            for now, reference in zip(row["now"], row["reference"], strict=True)
        ]
        for row in rows
    ]


def weighed(rows: list[Row], terms: list[list[Any]]) -> list[list[Any]]:
    return [
        [w * term for w, term in zip(row["weights"], part, strict=True)] for row, part in zip(rows, terms, strict=True)
    ]


def ratios_of(row: Row) -> list[Any]:
    return [torch.exp(now - old) for now, old in zip(row["now"], row["old"], strict=True)]


def sequence_ratio(row: Row):
    differences = [now - old for now, old in zip(row["now"], row["old"], strict=True)]
    return torch.exp(sum(differences) / len(differences)) if differences else torch.tensor(1.0, dtype=torch.float64)


# --- the algorithms ------------------------------------------------------------------------------


def grpo(rows: list[Row], config: Any):
    terms = [
        [clipped(ratio, relative(row, rows, config), config.clip_low, config.clip_high) for ratio in ratios_of(row)]
        for row in rows
    ]
    loss = -aggregated(weighed(rows, terms), config.aggregation, config.max_length)
    if config.kl_coefficient:
        priced = aggregated(weighed(rows, penalties(rows, config)), config.aggregation, config.max_length)
        loss = loss + config.kl_coefficient * priced
    return loss


def rloo(rows: list[Row], config: Any):
    def reward(row: Row) -> float:
        gone = sum(old - reference for old, reference in zip(row["old"], row["reference"], strict=True))
        return row["return"] - config.kl_coefficient * gone

    terms = []
    for index, row in enumerate(rows):
        others = [reward(other) for j, other in enumerate(rows) if j != index and other["group"] == row["group"]]
        advantage = reward(row) - sum(others) / len(others) if others else 0.0
        terms.append([clipped(ratio, advantage, config.clip_low, config.clip_high) for ratio in ratios_of(row)])
    return -aggregated(weighed(rows, terms), config.aggregation, config.max_length)


def token_rewards(row: Row, coefficient: float) -> list[float]:
    rewards = [-coefficient * (old - reference) for old, reference in zip(row["old"], row["reference"], strict=True)]
    for index, turn in enumerate(row["turns"]):
        if index + 1 == len(row["turns"]) or row["turns"][index + 1] != turn:
            rewards[index] += row["rewards"][turn]
    return rewards


def reinforce_plus_plus(rows: list[Row], config: Any):
    gained = []
    for row in rows:
        rewards = token_rewards(row, config.kl_coefficient)
        if config.baseline and rewards:
            returns = [member["return"] for member in group_of(row, rows)]
            rewards[-1] -= sum(returns) / len(returns)
        gained.append([sum(rewards[index:]) for index in range(len(rewards))])
    terms = [
        [
            clipped(ratio, value, config.clip_low, config.clip_high)
            for ratio, value in zip(ratios_of(row), part, strict=True)
        ]
        for row, part in zip(rows, whitened(gained, config.std_floor), strict=True)
    ]
    return -token_mean(weighed(rows, terms))


def gspo(rows: list[Row], config: Any):
    terms = []
    for row in rows:
        advantage, whole = relative(row, rows, config), sequence_ratio(row)
        own = [torch.exp(now - now.detach()) for now in row["now"]]
        shares = [whole.detach() * each for each in own] if config.level == "token" else [whole for _ in own]
        terms.append([clipped(share, advantage, config.clip_low, config.clip_high) for share in shares])
    loss = -sequence_mean(weighed(rows, terms))
    return loss + (
        config.kl_coefficient * sequence_mean(weighed(rows, penalties(rows, config))) if config.kl_coefficient else 0.0
    )


def gepo(rows: list[Row], config: Any):
    def probability(numbers):
        return math.exp(sum(numbers) / len(numbers)) if len(numbers) else 1.0

    terms = []
    for row in rows:
        before = [probability(member["old"]) for member in group_of(row, rows) if len(member["old"])]
        expected = sum(value**2 for value in before) / sum(before) if before else 1.0
        weight = (
            torch.exp(sum(row["now"]) / len(row["now"])) / expected
            if len(row["now"])
            else torch.tensor(1.0, dtype=torch.float64)
        )
        if config.ratio_cap is not None:
            weight = smaller(weight, torch.tensor(config.ratio_cap, dtype=torch.float64))
        terms.append([weight * relative(row, rows, config) for _ in row["now"]])
    loss = -sequence_mean(weighed(rows, terms))
    return loss + (
        config.kl_coefficient * sequence_mean(weighed(rows, penalties(rows, config))) if config.kl_coefficient else 0.0
    )


def dapo(rows: list[Row], config: Any):
    if config.overlong_length is not None:
        shaped = []
        for row in rows:
            over = (config.overlong_length - config.overlong_buffer) - len(row["now"])
            shaped.append({**row, "return": row["return"] + min(0.0, max(-1.0, over / config.overlong_buffer))})
        rows = shaped
    scaled = [relative(row, rows, _Std(config.std_floor)) for row in rows]
    terms = [
        [clipped(ratio, advantage, config.clip_low, config.clip_high) for ratio in ratios_of(row)]
        for row, advantage in zip(rows, scaled, strict=True)
    ]
    return -token_mean(weighed(rows, terms))


def cispo(rows: list[Row], config: Any):
    terms = [
        [
            min(ratio.item(), config.ratio_cap) * relative(row, rows, config) * now
            for ratio, now in zip(ratios_of(row), row["now"], strict=True)
        ]
        for row in rows
    ]
    return -token_mean(weighed(rows, terms))


def behavior_cloning(rows: list[Row], config: Any):
    terms = [[float(config.keep == "all" or row["success"]) * now for now in row["now"]] for row in rows]
    return -aggregated(weighed(rows, terms), config.aggregation, None)


def critique_revision(rows: list[Row], config: Any):
    return -token_mean(weighed(rows, [list(row["now"]) for row in rows]))


def rlaif(rows: list[Row], config: Any):
    inner = make_algorithm(config.objective, config.settings or {}).config
    return globals()[config.objective](rows, inner)


# Without a log it is its objective.
offline_grpo = rlaif


def rejection_sampling(rows: list[Row], config: Any):
    terms = []
    for row in rows:
        members = group_of(row, rows)
        returns = [member["return"] for member in members]
        best = next(member for member in members if member["return"] == max(returns))
        kept = row["success"] if config.keep == "successes" else best is row and max(returns) > min(returns)
        terms.append([float(kept) * now for now in row["now"]])
    return -token_mean(weighed(rows, terms))


def online_dpo(rows: list[Row], config: Any):
    """The linear part of each pair's loss around where the update began."""
    terms = [[0.0 * now for now in row["now"]] for row in rows]
    for group in {row["group"] for row in rows}:
        members = [index for index, row in enumerate(rows) if row["group"] == group]
        returns = [rows[index]["return"] for index in members]
        if max(returns) == min(returns):
            continue
        best, worst = members[returns.index(max(returns))], members[returns.index(min(returns))]
        gone = [
            sum(old - reference for old, reference in zip(rows[at]["old"], rows[at]["reference"], strict=True))
            for at in (best, worst)
        ]
        weight = config.beta / (1 + math.exp(config.beta * (gone[0] - gone[1])))
        terms[best] = [weight * now for now in rows[best]["now"]]
        terms[worst] = [-weight * now for now in rows[worst]["now"]]
    return -aggregated(weighed(rows, terms), "sequence_sum", None)


def estimates(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    advantages: list[float] = []
    after, advantage = 0.0, 0.0
    for reward, value in reversed(list(zip(rewards, values, strict=True))):
        advantage = reward + gamma * after - value + gamma * lam * advantage
        after = value
        advantages.insert(0, advantage)
    return advantages


def by_turn(row: Row, numbers: list[float]) -> list[list[float]]:
    return [[number for number, turn in zip(numbers, row["turns"], strict=True) if turn == k] for k in kinds(row)]


def kinds(row: Row) -> list[int]:
    return list(range(max(row["turns"]) + 1)) if row["turns"] else []


def actor_critic(rows: list[Row], *, level, gamma, actor, critic, kl, surrogate, normalize, value_clip, coefficient):
    """``actor(n)`` and ``critic`` are lambda, of n actions."""
    gained, targets = [], []
    for row in rows:
        if level == "token":
            rewards, values = token_rewards(row, kl), row["foreseen"]
        else:
            differences = [old - reference for old, reference in zip(row["old"], row["reference"], strict=True)]
            gone = by_turn(row, differences)
            rewards = [row["rewards"][k] - kl * sum(gone[k]) for k in kinds(row)]
            values = [numbers[0] for numbers in by_turn(row, row["foreseen"])]
        ahead = estimates(rewards, values, gamma, actor(len(rewards)))
        aims = [a + v for a, v in zip(estimates(rewards, values, gamma, critic), values, strict=True)]
        if level == "token":
            gained.append(ahead)
            targets.append(list(enumerate(aims)))
        else:
            gained.append([ahead[turn] for turn in row["turns"]])
            targets.append([(row["turns"].index(k), aims[k]) for k in kinds(row)])
    if normalize:
        gained = whitened(gained, 1e-6)
    terms = [
        [surrogate(ratio, value) for ratio, value in zip(ratios_of(row), part, strict=True)]
        for row, part in zip(rows, gained, strict=True)
    ]
    errors = []
    for row, aims in zip(rows, targets, strict=True):
        for place, aim in aims:
            value, before = row["values"][place], row["foreseen"][place]
            error = (value - aim) ** 2
            if value_clip is not None:
                near = before + between(-value_clip, value - before, value_clip)
                error = greater(error, (near - aim) ** 2)
            errors.append(error / 2)
    return -token_mean(weighed(rows, terms)) + coefficient * sum(errors) / max(1, len(errors))


def ppo(rows: list[Row], config: Any):
    def surrogate(ratio, advantage):
        objective = clipped(ratio, advantage, config.clip, config.clip)
        if config.dual_clip is not None and advantage < 0:
            objective = greater(objective, torch.tensor(config.dual_clip * advantage, dtype=torch.float64))
        return objective

    return actor_critic(
        rows,
        level=config.level,
        gamma=config.gamma,
        actor=lambda actions: config.gae_lambda,
        critic=config.gae_lambda,
        kl=config.kl_coefficient,
        surrogate=surrogate,
        normalize=config.normalize_advantages,
        value_clip=config.value_clip,
        coefficient=config.value_coefficient,
    )


def vapo(rows: list[Row], config: Any):
    def factor(actions: int) -> float:
        return min(1.0, max(config.least_lambda, 1 - 1 / (config.length_alpha * max(1, actions))))

    loss = actor_critic(
        rows,
        level="token",
        gamma=1.0,
        actor=factor,
        critic=config.critic_lambda,
        kl=0.0,
        surrogate=lambda ratio, advantage: clipped(ratio, advantage, config.clip_low, config.clip_high),
        normalize=config.normalize_advantages,
        value_clip=config.value_clip,
        coefficient=config.value_coefficient,
    )
    done = [now for row in rows if row["success"] for now in row["now"]]
    return loss - config.imitation_coefficient * (sum(done) / len(done) if done else 0.0)


class _Std:
    advantage_scale = "std"

    def __init__(self, std_floor: float) -> None:
        self.std_floor = std_floor
